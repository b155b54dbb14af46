"""How often who answers on one gRPC channel: names.py TARGET.

For each line of standard input, TIMES [NAME=VALUE], prints {name: count} of that many calls with that header;
a call that fails counts as its status.
"""

import collections
import json
import sys

import grpc

if __name__ == "__main__":
    with grpc.insecure_channel(sys.argv[1]) as channel:
        who = channel.unary_unary("/test.Names/Who")
        for line in sys.stdin:
            times, *headers = line.split()
            metadata = [tuple(header.split("=", 1)) for header in headers]
            counts = collections.Counter()
            for _ in range(int(times)):
                try:
                    counts[who(b"", timeout=30, metadata=metadata).decode()] += 1
                except grpc.RpcError as error:
                    counts[error.code().name] += 1
            print(json.dumps(counts), flush=True)
