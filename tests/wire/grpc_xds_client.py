"""gRPC's own xDS client, in a process of its own because it reads its bootstrap when gRPC starts.

Calls `xds:///NAME` for each line of standard input, which may be a header NAME=VALUE, and prints what came
back.
"""

from __future__ import annotations

import sys

import grpc


def main() -> None:
    """`python grpc_xds_client.py NAME`"""
    with grpc.insecure_channel(f"xds:///{sys.argv[1]}") as channel:
        call = channel.unary_unary("/test.Echo/Who")
        for line in sys.stdin:
            header, _, value = line.strip().partition("=")
            try:
                answer = call(b"", timeout=20, metadata=((header, value),) if header else ())
                print(answer.decode(), flush=True)
            except grpc.RpcError as error:
                print(f"error: {error.code().name}", flush=True)


if __name__ == "__main__":
    main()
