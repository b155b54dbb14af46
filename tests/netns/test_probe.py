"""Probes and their sockets in real namespaces."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.netns.network import Net, real_network
from tulle.agent.inner_socket import InnerSockets
from tulle.agent.probe import Prober, Verdict
from tulle.kit.mark import APPLICATION_SOURCE, PROXY_MARK
from tulle.model.agentapi import Probe

pytestmark = pytest.mark.root_only("namespaces are made here without a mesh, as root")

ADDRESS = "10.201.0.77"
SERVER = """
import socket
listener = socket.create_server(("0.0.0.0", 9080))
print("listens", flush=True)
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n")
    connection.close()
"""


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Net]:
    async with real_network(tmp_path) as net:
        yield net


async def no_exec(_command: tuple[str, ...], _seconds: float) -> tuple[int, str]:
    raise AssertionError("not an exec probe")


async def test_a_probe_reaches_the_application_inside_and_nobody_else_moves(net: Net) -> None:
    inside = await net.workload("orders", ADDRESS)
    other = await net.workload("other", "10.201.0.78")
    sockets = InnerSockets()
    prober = Prober(sockets)
    here = Path("/proc/self/ns/net").readlink()
    application = await asyncio.create_subprocess_exec(
        "nsenter", f"--net={inside}", "--", "python3", "-c", SERVER, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert application.stdout is not None
        await application.stdout.readline()
        for kind in ("tcp", "http"):
            probe = Probe(kind=kind, port=9080, timeout_seconds=20)
            attempts = [prober.check(probe, inside, ADDRESS, no_exec) for _ in range(20)]
            assert all(verdict.ok for verdict in await asyncio.gather(*attempts))
            refused = await prober.check(probe, other, "10.201.0.78", no_exec)
            assert refused == Verdict(False, "nothing listens on port 9080")
    finally:
        application.kill()
        await application.wait()
    for task in Path("/proc/self/task").iterdir():
        assert (task / "ns" / "net").readlink() == here
    sockets.close()


async def test_the_socket_is_like_the_proxys_own_to_its_application(net: Net) -> None:
    inside = await net.workload("orders", ADDRESS)
    sockets = InnerSockets()
    made = await sockets.stream(inside)
    assert made.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == PROXY_MARK
    assert made.getsockname()[0] == APPLICATION_SOURCE
    made.close()
    sockets.close()


async def test_a_namespace_that_was_removed_is_told(net: Net) -> None:
    inside = await net.workload("orders", ADDRESS)
    await net.remove("orders", ADDRESS)
    sockets = InnerSockets()
    with pytest.raises(OSError):  # which one depends on how it was removed
        await sockets.stream(inside)
    sockets.close()
