"""The reference for a push: grpc.aio with the same certificate, and as good as nothing behind it.

Each stream that says its first word is one proxy. On a line of standard input every stream is sent one
response, and the line that is answered tells when the last acknowledgement was read. What the control plane
needs beyond this, it needs for deciding what to send and for knowing who has it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop

from tulle.ads import wire
from tulle.ads.resource import ENDPOINT, Resource
from tulle.ads.server import SERVER_OPTIONS

_EOF: Any = vars(grpc.aio)["EOF"]


class Floor:
    """The streams, and how many of them have answered."""

    def __init__(self) -> None:
        self.contexts: list[Any] = []
        self.answered = 0
        self.last = 0.0
        self.complete = asyncio.Event()
        self.joined = asyncio.Event()

    async def serve(self, _requests: object, context: Any) -> None:
        await context.read()
        await context.read()  # it asks for clusters and for listeners
        self.contexts.append(context)
        self.joined.set()
        while await context.read() is not _EOF:
            self.answered += 1
            self.last = time.monotonic()
            if self.answered == len(self.contexts):
                self.complete.set()

    async def connected(self, streams: int) -> dict[str, float]:
        """Wait for so many streams; the answer names this process."""
        while len(self.contexts) < streams:
            self.joined.clear()
            await self.joined.wait()
        return {"pid": os.getpid()}

    async def push(self, size: int) -> dict[str, float]:
        """One response with so many bytes of content to everybody."""
        self.answered = 0
        self.complete.clear()
        resource = wire.Encoder().delta(Resource(ENDPOINT, "floor", b"\0" * size))
        message = wire.delta_response(ENDPOINT, "1", [resource])
        cpu, began = time.process_time(), time.monotonic()
        writes = [asyncio.create_task(each.write(message)) for each in self.contexts]
        await asyncio.wait(writes)
        async with asyncio.timeout(30):
            await self.complete.wait()
        return {"seconds": self.last - began, "cpu": time.process_time() - cpu}


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, floor: Floor) -> None:
        self._method = grpc.stream_stream_rpc_method_handler(floor.serve)

    def service(self, handler_call_details: Any) -> Any:
        return self._method if handler_call_details.method == wire.DELTA else None


async def _main(options: argparse.Namespace) -> None:
    floor = Floor()
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((_Handlers(floor),))
    chain, key, root = (
        (options.credentials / name).read_bytes() for name in ("serving.pem", "serving.key", "root.pem")
    )
    server.add_secure_port(
        f"unix:{options.socket}", grpc.ssl_server_credentials([(key, chain)], root, require_client_auth=True)
    )
    await server.start()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        order = json.loads(line)
        print(json.dumps(await getattr(floor, order.pop("order"))(**order)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--credentials", type=Path, required=True)
    uvloop.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
