"""The discovery sockets of a host's proxies."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from tulle.ads.cache import Cache
from tulle.ads.server import Refused, Server
from tulle.agent.layout import layout
from tulle.agent.process import User
from tulle.app.proxies import Proxies
from tulle.model.agentapi import WorkloadAssignment


class _Upstream:
    def add_node(self, *_given: object) -> None: ...


class _Keys:
    def put(self, *_given: object) -> None: ...


def _nobody(_context: object, _node: str) -> str:
    raise Refused("nobody")


def assignment(name: str) -> WorkloadAssignment:
    return WorkloadAssignment(
        namespace="shop", name=name, identity="", addresses=("10.0.0.1",), incarnation="one"
    )


@pytest.fixture
def runtime() -> Iterator[Path]:
    """Shorter than `tmp_path`: a socket's path has a limit."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


async def test_when_the_agent_ends_no_proxy_s_server_is_left(runtime: Path) -> None:
    paths = layout(runtime / "h", 1, {"XDG_RUNTIME_DIR": str(runtime)})
    user = User(os.geteuid(), os.getegid())
    upstream: Any = _Upstream()
    keys: Any = _Keys()
    proxies = Proxies(paths, Server(Cache(), authorize=_nobody), upstream, keys, user)
    await proxies.open(assignment("a"))
    await proxies.open(assignment("b"))
    await proxies.close_all()
    for name in ("a", "b"):
        async with grpc.aio.insecure_channel(f"unix:{paths.xds_socket('shop', name)}") as channel:
            assert not await _answers(channel)


async def _answers(channel: grpc.aio.Channel) -> bool:
    try:
        await channel.unary_unary("/a/b")(b"")
    except grpc.aio.AioRpcError as error:
        return error.code() is not grpc.StatusCode.UNAVAILABLE
    return True
