"""A peer that has vanished without a word is noticed, by either end, in the time that was asked for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.netns.faults.link import link_at
from tulle.ads.keepalive import keepalive

METHOD = "/test/Stream"
PATIENCE_SECONDS = 30.0
"""Many times what is asked for, and half of gRPC's own limit for an answer."""
SOON = keepalive(silence_seconds=1, answer_seconds=0.5)
NEVER = keepalive(silence_seconds=3600, answer_seconds=3600)


class Peer(grpc.GenericRpcHandler):
    """Its stream says one thing and then nothing; `left` is set when the caller is gone."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    def service(self, handler_call_details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(self._talk)

    async def _talk(self, _requests: object, context: Any) -> None:
        context.add_done_callback(lambda _context: self.left.set())
        await context.write(b"hello")
        await self.left.wait()


@contextlib.asynccontextmanager
async def lost_in_talk(peer: Peer, socket: Path, server: Any, client: Any) -> AsyncIterator[Any]:
    """A stream whose link was lost when both ends had spoken; with the options of either end."""
    grpc_server = grpc.aio.server(options=server)
    grpc_server.add_generic_rpc_handlers((peer,))
    grpc_server.add_insecure_port(f"unix:{socket}")
    await grpc_server.start()
    try:
        with link_at(socket) as link:
            async with grpc.aio.insecure_channel(f"unix:{socket}", options=client) as channel:
                call = channel.stream_stream(METHOD)()
                assert await call.read() == b"hello"
                await asyncio.to_thread(link.lose)
                async with asyncio.timeout(PATIENCE_SECONDS):
                    yield call
    finally:
        await grpc_server.stop(None)


async def test_a_client_gives_up_a_server_that_has_vanished(tmp_path: Path) -> None:
    async with lost_in_talk(Peer(), tmp_path / "s", server=NEVER, client=SOON) as call:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_gives_up_a_client_that_has_vanished(tmp_path: Path) -> None:
    peer = Peer()
    async with lost_in_talk(peer, tmp_path / "s", server=SOON, client=NEVER):
        await peer.left.wait()
