"""UDPRoute at a gateway, in the real Envoy: datagrams by weight, sessions, and what nobody takes."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.envoy import running
from tests.wire.application import free_ports
from tests.wire.edge import edge
from tests.wire.test_gateway_connections import naming_application
from tulle.app.relay import Target, clusters, listeners
from tulle.kit.mark import LARGEST_DATAGRAM, gateway_socket

DOCUMENTS = """
apiVersion: tulle.dev/v1
kind: App
metadata: {{name: shop, namespace: shop}}
spec:
  services:
    one: {{ports: [{{port: 53, protocol: udp}}], command: one}}
    two: {{ports: [{{port: 53, protocol: udp}}], command: two}}
    stream: {{ports: [{{port: 53, name: tcp}}], command: stream}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  gatewayClassName: tulle
  listeners:
  - {{name: shared, port: {shared}, protocol: UDP}}
  - {{name: both, port: {shared}, protocol: TCP}}
  - {{name: empty, port: {empty}, protocol: UDP}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {{name: both, namespace: shop}}
spec: {{parentRefs: [{{name: edge}}], rules: [{{backendRefs: [{{name: stream, port: 53}}]}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {{name: shared, namespace: shop}}
spec:
  parentRefs: [{{name: edge, sectionName: shared}}]
  rules:
  - backendRefs:
    - {{name: one, port: 53, weight: 60}}
    - {{name: nobody, port: 53, weight: 10}}
    - {{name: two, port: 53, weight: 30}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {{name: empty, namespace: shop}}
spec:
  parentRefs: [{{name: edge, sectionName: empty}}]
  rules: [{{backendRefs: [{{name: nobody, port: 53}}]}}]
"""
_QUESTION = b"who"
_SILENCE_SECONDS = 1.0
_TRIES = 5
_AT_ONCE = 25


class _Naming(asyncio.DatagramProtocol):
    """Answers every datagram with a name, and what it says besides the question."""

    def __init__(self, name: str) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(self._name.encode() + data.removeprefix(_QUESTION), addr)


@contextlib.asynccontextmanager
async def datagram_application(name: str) -> AsyncIterator[int]:
    """A server that answers every datagram with its name. Yields its port."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Naming(name), ("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


class Client:
    """One socket, which is one session."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(("127.0.0.1", port))

    async def ask(self, more: bytes = b"") -> str:
        """The name of who answers, and what was said; "" for silence. Raises ConnectionRefusedError where
        nobody listens."""
        loop = asyncio.get_running_loop()
        for _ in range(_TRIES):  # a datagram may be lost where there is much to do
            await loop.sock_sendall(self._socket, _QUESTION + more)
            with contextlib.suppress(TimeoutError):
                return (
                    await asyncio.wait_for(loop.sock_recv(self._socket, LARGEST_DATAGRAM), _SILENCE_SECONDS)
                ).decode()
        return ""

    def close(self) -> None:
        self._socket.close()


@dataclass(frozen=True)
class Edge:
    shared: int
    empty: int
    directory: Path
    """Where the gateway's Unix sockets are."""


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Edge]:
    async with AsyncExitStack() as stack:
        servers = {
            name: await stack.enter_async_context(datagram_application(name)) for name in ("one", "two")
        }
        servers["stream"] = await stack.enter_async_context(naming_application("stream"))
        made = Edge(*free_ports(2), tmp_path)
        text = DOCUMENTS.format(shared=made.shared, empty=made.empty)
        await stack.enter_async_context(edge(text, ("shop", "edge-istio"), servers, tmp_path))
        yield made


async def test_sessions_are_shared_by_weight_and_keep_their_server(shop: Edge) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(Client(shop.shared))) for _ in range(200)]
        room = asyncio.Semaphore(_AT_ONCE)

        async def ask(client: Client) -> str:
            async with room:
                return await client.ask()

        first = await asyncio.gather(*map(ask, clients))
        seen = Counter(first)
        for name, share in (("one", 0.6), ("two", 0.3), ("", 0.1)):
            deviation = math.sqrt(len(clients) * share * (1 - share))
            assert abs(seen[name] - len(clients) * share) < 5 * deviation, seen
        answered = [(client, name) for client, name in zip(clients, first, strict=True) if name]
        again = await asyncio.gather(*(ask(client) for client, _ in answered))
        assert again == [name for _, name in answered]


async def test_tcp_on_the_same_port_is_another_listener(shop: Edge) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.shared)
    writer.write(b"who\n")
    assert await reader.read() == b"stream"
    writer.close()


async def test_who_sends_to_a_listener_without_a_backend_is_told(shop: Edge) -> None:
    with contextlib.closing(Client(shop.empty)) as client, pytest.raises(ConnectionRefusedError):
        await client.ask()


async def test_large_datagrams_pass(shop: Edge) -> None:
    said = b"x" * 20_000
    answers = set[str]()
    with contextlib.ExitStack() as stack:
        while not {"one", "two"} <= {each[:3] for each in answers}:
            client = stack.enter_context(contextlib.closing(Client(shop.shared)))
            answers.add(await client.ask(said))
    assert answers - {""} == {f"one{said.decode()}", f"two{said.decode()}"}


async def test_the_relay_opens_a_udp_port_of_this_machine(shop: Edge, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    socket_ = shop.directory / gateway_socket(shop.shared, udp=True)
    opened = {Target("shop", "edge-istio", shop.shared, socket_, udp=True): port}
    static = {
        "listeners": [_untyped(each) for each in listeners(opened)["resources"]],
        "clusters": [_untyped(each) for each in clusters(opened)["resources"]],
    }
    own = tmp_path / "relay"
    own.mkdir()
    said = b"x" * 5_000
    answers = set[str]()
    async with running({"static_resources": static}, own):
        with contextlib.ExitStack() as stack:
            while not {"one", "two"} <= {each[:3] for each in answers}:
                client = stack.enter_context(contextlib.closing(Client(port)))
                answers.add(await client.ask(said))
                assert await client.ask(said) in answers
    assert answers - {""} == {f"one{said.decode()}", f"two{said.decode()}"}


def _untyped(resource: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in resource.items() if name != "@type"}
