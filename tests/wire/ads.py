"""A discovery server on a Unix socket, and clients that are scripted line by line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc.aio

from tulle.ads import wire
from tulle.ads.cache import Cache
from tulle.ads.client import CHANNEL_OPTIONS, Upstream
from tulle.ads.disk import Disk
from tulle.ads.server import SERVER_OPTIONS, Server
from tulle.ads.wire import DeltaRequest, DeltaResponse
from tulle.kit.backoff import Backoff

EOF = vars(grpc.aio)["EOF"]


@contextlib.asynccontextmanager
async def serving(
    cache: Cache,
    socket: Path,
    *,
    authorize: Callable[[Any, str], Any] = lambda _context, node: node,
    **options: Any,
) -> AsyncIterator[Server]:
    """A server of `cache` on `socket`. By default a node's id is its name in the cache."""
    server = Server(cache, authorize=authorize, **options)
    grpc_server = grpc.aio.server(options=SERVER_OPTIONS)
    await server.add_to(grpc_server)
    grpc_server.add_insecure_port(f"unix:{socket}")
    await grpc_server.start()
    try:
        yield server
    finally:
        await grpc_server.stop(None)


@contextlib.asynccontextmanager
async def following(
    cache: Cache, upstream: Path, *nodes: str, downstream: Server | None = None, disk: Disk | None = None
) -> AsyncIterator[Upstream]:
    """An agent's upstream end that keeps `nodes` of `cache` equal to what the server on `upstream` has."""
    client = Upstream(
        lambda: grpc.aio.insecure_channel(f"unix:{upstream}", options=CHANNEL_OPTIONS),
        cache,
        downstream=downstream,
        disk=disk,
        backoff=lambda: Backoff(0.02, 0.1),
    )
    for node in nodes:
        client.add_node(node, node)
    task = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Client:
    """One stream of a scripted client."""

    def __init__(self, call: Any, node: str) -> None:
        self.call = call
        self._node = node

    async def say(self, request: DeltaRequest) -> None:
        """Send a request; the first one carries the node."""
        content = request.encode() if not self._node else with_node(request, self._node).encode()
        self._node = ""
        await self.call.write(content)

    async def hear(self) -> DeltaResponse:
        """The next response."""
        async with asyncio.timeout(20):
            content = await self.call.read()
        assert content is not EOF, "the server ended the stream"
        return wire.parse_delta_response(content)

    async def accept(self) -> DeltaResponse:
        """The next response, acknowledged."""
        response = await self.hear()
        await self.say(DeltaRequest(response.type_url, nonce=response.nonce))
        return response


def with_node(request: DeltaRequest, node: str) -> DeltaRequest:
    return DeltaRequest(
        request.type_url,
        request.subscribe,
        request.unsubscribe,
        request.versions,
        request.nonce,
        request.refusal,
        node,
        request.features,
    )


@contextlib.asynccontextmanager
async def connected(socket: Path, node: str, channel: Any = None) -> AsyncIterator[Client]:
    """A stream of `node`, on a connection of its own or on `channel`."""
    async with contextlib.AsyncExitStack() as stack:
        if channel is None:
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"unix:{socket}"))
        call = channel.stream_stream(wire.DELTA)()
        stack.callback(call.cancel)
        yield Client(call, node)
