"""TLSRoute and TCPRoute at a gateway, in the real Envoy: bytes by weight, TLS by its server name."""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
import yaml

from tests.wire.application import free_port
from tests.wire.edge import edge

API = "gateway.networking.k8s.io/v1"
MORE = {"kind": "ListenerSet", "name": "more"}


@contextlib.asynccontextmanager
async def naming_application(name: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that says its name to whoever sends a line. Yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readline()
            writer.write(name.encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


@dataclass(frozen=True)
class Edge:
    """A gateway, and how to ask it."""

    tcp: int
    more: int
    tls: int
    trust: ssl.SSLContext

    async def ask(self, port: int, name: str = "") -> str:
        """The name of the server at the other end; "closed"."""
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=self.trust if name else None, server_hostname=name or None
            )
            writer.write(b"who\n")
            answer = await reader.read()
            writer.close()
        except (ConnectionError, ssl.SSLError):
            return "closed"
        return answer.decode() or "closed"


def _route(kind: str, name: str, refs: list[dict[str, object]], **more: object) -> dict[str, object]:
    spec = {"parentRefs": [{"name": "edge"}], "rules": [{"backendRefs": refs}], **more}
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def _documents(tcp: int, more: int, tls: int, pair: trustme.LeafCert) -> str:
    services = {
        name: {"ports": [{"port": 7000, "name": "tcp"}], "command": name} for name in ("one", "two", "vault")
    }
    ends = {"mode": "Terminate", "certificateRefs": [{"name": "cert"}]}
    listeners: list[dict[str, object]] = [
        {"name": "tcp", "port": tcp, "protocol": "TCP"},
        {
            "name": "wide",
            "port": tls,
            "protocol": "TLS",
            "hostname": "*.example",
            "tls": {"mode": "Passthrough"},
        },
        {"name": "ends", "port": tls, "protocol": "TLS", "hostname": "ends.example", "tls": ends},
    ]
    documents: list[dict[str, object]] = [
        {
            "apiVersion": "tulle.dev/v1",
            "kind": "App",
            "metadata": {"name": "shop", "namespace": "shop"},
            "spec": {"services": services},
        },
        {
            "apiVersion": API,
            "kind": "Gateway",
            "metadata": {"name": "edge", "namespace": "shop"},
            "spec": {
                "gatewayClassName": "tulle",
                "listeners": listeners,
                "allowedListeners": {"namespaces": {"from": "Same"}},
            },
        },
        {
            "apiVersion": API,
            "kind": "ListenerSet",
            "metadata": {"name": "more", "namespace": "shop"},
            "spec": {
                "parentRef": {"name": "edge"},
                "listeners": [
                    {"name": "tcp", "port": more, "protocol": "TCP"},
                    {
                        "name": "tls",
                        "port": tls,
                        "protocol": "TLS",
                        "hostname": "more.example",
                        "tls": {"mode": "Passthrough"},
                    },
                ],
            },
        },
        _route("TCPRoute", "more", [{"name": "two", "port": 7000}], parentRefs=[MORE]),
        _route(
            "TLSRoute",
            "more",
            [{"name": "vault", "port": 7000}],
            parentRefs=[MORE],
            hostnames=["*.example"],
        ),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "cert", "namespace": "shop"},
            "stringData": {
                "tls.crt": "".join(each.bytes().decode() for each in pair.cert_chain_pems),
                "tls.key": pair.private_key_pem.bytes().decode(),
            },
        },
        _route(
            "TCPRoute",
            "tcp",
            [{"name": name, "port": 7000, "weight": weight} for name, weight in (("one", 60), ("two", 40))],
        ),
        _route(
            "TLSRoute",
            "vault",
            [{"name": "vault", "port": 7000}],
            hostnames=["*.deep.example", "vault.example"],
        ),
        _route("TLSRoute", "ends", [{"name": "one", "port": 7000}], hostnames=["ends.example"]),
    ]
    return yaml.safe_dump_all(documents)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Edge]:
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    names = (
        "ends.example",
        "vault.example",
        "a.deep.example",
        "b.a.deep.example",
        "other.example",
        "more.example",
    )
    behind = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, key_type=trustme.KeyType.ECDSA).configure_cert(behind)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with AsyncExitStack() as stack:
        servers = {
            "one": await stack.enter_async_context(naming_application("one")),
            "two": await stack.enter_async_context(naming_application("two")),
            "vault": await stack.enter_async_context(naming_application("vault", behind)),
        }
        made = Edge(free_port(), free_port(), free_port(), trust)
        pair = authority.issue_cert("ends.example", key_type=trustme.KeyType.ECDSA)
        await stack.enter_async_context(
            edge(_documents(made.tcp, made.more, made.tls, pair), ("shop", "edge-istio"), servers, tmp_path)
        )
        yield made


async def test_connections_are_shared_by_weight(shop: Edge) -> None:
    connections, share = 300, 0.4
    seen = Counter([await shop.ask(shop.tcp) for _ in range(connections)])
    assert set(seen) == {"one", "two"}
    deviation = math.sqrt(connections * share * (1 - share))
    assert abs(seen["two"] - connections * share) < 5 * deviation


async def test_tls_goes_by_its_server_name_and_ends_where_that_is_asked_for(shop: Edge) -> None:
    assert await shop.ask(shop.tls, "vault.example") == "vault"
    assert await shop.ask(shop.tls, "a.deep.example") == "vault"
    assert await shop.ask(shop.tls, "b.a.deep.example") == "vault"
    assert await shop.ask(shop.tls, "ends.example") == "one"  # which speaks no TLS
    assert await shop.ask(shop.tls, "other.example") == "closed"
    assert await shop.ask(shop.tls, "example.org") == "closed"
    assert await shop.ask(shop.tls) == "closed"


async def test_listeners_of_a_listener_set_stand_beside_the_gateways_own(shop: Edge) -> None:
    assert await shop.ask(shop.more) == "two"
    assert await shop.ask(shop.tls, "more.example") == "vault"
    assert await shop.ask(shop.tls, "other.example") == "closed"  # it is the other listener's
