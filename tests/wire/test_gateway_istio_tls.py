"""Istio's task "Secure Gateways" with its redirect, and its passthrough by SNI, in the real Envoy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import trustme
import yaml

from tests.wire.application import free_ports, http_application
from tests.wire.edge import edge
from tests.wire.test_gateway_connections import naming_application

API = "networking.istio.io/v1"
VAULT = "outbound_.7000_._.vault.shop.svc.cluster.local"


def _secret(name: str, **content: bytes) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "istio-system"},
        "stringData": {key.replace("_", "."): value.decode() for key, value in content.items()},
    }


def _server(number: int, name: str, host: str, protocol: str = "HTTPS", **tls: object) -> dict[str, object]:
    return {"port": {"number": number, "name": name, "protocol": protocol}, "hosts": [host], "tls": tls}


def _pair(authority: trustme.CA, *names: str) -> tuple[bytes, bytes]:
    leaf = authority.issue_cert(*names)
    return b"".join(each.bytes() for each in leaf.cert_chain_pems), leaf.private_key_pem.bytes()


def _documents(ports: list[int], authority: trustme.CA, clients: trustme.CA) -> str:
    plain, https, across = ports
    first, second = _pair(authority, "httpbin.example.com"), _pair(authority, "helloworld.example.com")
    app = {
        "httpbin": {"ports": [{"port": 8000, "name": "http"}], "command": "httpbin"},
        "helloworld": {"ports": [{"port": 5000}], "command": "helloworld"},  # nobody says what it speaks
        "vault": {"ports": [{"port": 7000, "name": "tcp"}], "command": "vault"},
    }
    servers = [
        _server(plain, "http", "httpbin.example.com", "HTTP", httpsRedirect=True),
        _server(https, "simple", "helloworld.example.com", mode="SIMPLE", credentialName="helloworld"),
        _server(
            https,
            "mutual",
            "httpbin.example.com",
            mode="MUTUAL",
            credentialName="httpbin",
            subjectAltNames=["client.example.com"],
        ),
        _server(
            https,
            "optional",
            "maybe.example.com",
            mode="OPTIONAL_MUTUAL",
            credentialName="httpbin",
            maxProtocolVersion="TLSV1_2",
        ),
        _server(across, "across", "*.shop.svc.cluster.local", "TLS", mode="AUTO_PASSTHROUGH"),
    ]
    routes = {"httpbin.example.com": 8000, "maybe.example.com": 8000, "helloworld.example.com": 5000}
    documents: list[dict[str, object]] = [
        {
            "apiVersion": "tulle.dev/v1",
            "kind": "App",
            "metadata": {"name": "shop", "namespace": "shop"},
            "spec": {"services": app},
        },
        _secret("httpbin", tls_crt=first[0], tls_key=first[1]),
        _secret("httpbin-cacert", cacert=clients.cert_pem.bytes()),
        _secret("helloworld", cert=second[0], key=second[1]),
        {
            "apiVersion": API,
            "kind": "Gateway",
            "metadata": {"name": "edge", "namespace": "shop"},
            "spec": {"selector": {"istio": "ingressgateway"}, "servers": servers},
        },
    ]
    for host, port in routes.items():
        service = "helloworld" if port == 5000 else "httpbin"
        destination = {"host": service, "port": {"number": port}}
        documents.append(
            {
                "apiVersion": API,
                "kind": "VirtualService",
                "metadata": {"name": host, "namespace": "shop"},
                "spec": {
                    "hosts": [host],
                    "gateways": ["edge"],
                    "http": [{"route": [{"destination": destination}]}],
                },
            }
        )
    return yaml.safe_dump_all(documents)


@dataclass(frozen=True)
class Edge:
    """A gateway, and how to ask it."""

    plain: int
    https: int
    across: int
    authority: trustme.CA
    clients: trustme.CA

    async def ask(self, host: str, *certificate: str, of: trustme.CA | None = None) -> str:
        """The name of the server that answers; "refused" for a handshake that fails."""
        trust = ssl.create_default_context()
        trust.check_hostname = False
        self.authority.configure_trust(trust)
        if certificate:
            (of or self.clients).issue_cert(*certificate).configure_cert(trust)
        url = f"https://127.0.0.1:{self.https}/"
        async with httpx2.AsyncClient(verify=trust) as client:
            try:
                answer = await client.get(url, headers={"host": host}, extensions={"sni_hostname": host})
            except (httpx2.TransportError, ssl.SSLError):
                return "refused"
        return answer.json()["server"]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Edge]:
    authority, clients = trustme.CA(), trustme.CA()
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.set_alpn_protocols(["tulle"])
    authority.issue_cert("vault").configure_cert(own)
    async with AsyncExitStack() as stack:
        servers = {
            name: await stack.enter_async_context(http_application(name))
            for name in ("httpbin", "helloworld")
        }
        servers["vault"] = await stack.enter_async_context(naming_application("vault", own))
        ports = free_ports(3)
        text = _documents(ports, authority, clients)
        at = ("istio-system", "istio-ingressgateway")
        await stack.enter_async_context(edge(text, at, servers, tmp_path))
        yield Edge(*ports, authority, clients)


async def test_servers_on_one_port_each_ask_what_they_should_of_clients(gateway: Edge) -> None:
    assert await gateway.ask("helloworld.example.com") == "helloworld"
    assert await gateway.ask("httpbin.example.com", "client.example.com") == "httpbin"
    assert await gateway.ask("httpbin.example.com") == "refused"
    assert await gateway.ask("httpbin.example.com", "other.example.com") == "refused"
    assert await gateway.ask("httpbin.example.com", "client.example.com", of=trustme.CA()) == "refused"
    assert await gateway.ask("unknown.example.com") == "refused"


async def test_http_2_of_a_browser_becomes_what_a_server_speaks_of_which_nobody_says_it(
    gateway: Edge,
) -> None:
    trust = ssl.create_default_context()
    trust.check_hostname = False
    gateway.authority.configure_trust(trust)
    host = "helloworld.example.com"
    async with httpx2.AsyncClient(verify=trust, http2=True) as client:
        answer = await client.get(
            f"https://127.0.0.1:{gateway.https}/", headers={"host": host}, extensions={"sni_hostname": host}
        )
    assert (answer.http_version, answer.json()["server"]) == ("HTTP/2", "helloworld")


async def test_an_optional_certificate_must_be_right_if_there_is_one(gateway: Edge) -> None:
    assert await gateway.ask("maybe.example.com") == "httpbin"
    assert await gateway.ask("maybe.example.com", "anybody.example.com") == "httpbin"
    assert await gateway.ask("maybe.example.com", "anybody.example.com", of=trustme.CA()) == "refused"


async def test_plain_http_is_redirected(gateway: Edge) -> None:
    async with httpx2.AsyncClient() as client:
        headers = {"host": "httpbin.example.com"}
        answer = await client.get(f"http://127.0.0.1:{gateway.plain}/status?a=b", headers=headers)
    assert answer.status_code == 301
    assert answer.headers["location"] == "https://httpbin.example.com/status?a=b"


@pytest.mark.parametrize(
    ("name", "alpn", "answer"), [(VAULT, "tulle", "vault"), (VAULT, "other", ""), ("vault", "tulle", "")]
)
async def test_mtls_of_the_mesh_passes_by_the_service_in_its_sni(
    gateway: Edge, name: str, alpn: str, answer: str
) -> None:
    trust = ssl.create_default_context()
    trust.check_hostname = False
    gateway.authority.configure_trust(trust)
    trust.set_alpn_protocols([alpn])
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", gateway.across, ssl=trust, server_hostname=name
        )
        writer.write(b"who\n")
        said = (await reader.read()).decode()
        writer.close()
    except (ConnectionError, ssl.SSLError):
        said = ""
    assert said == answer
