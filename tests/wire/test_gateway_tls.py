"""`tls` of a Gateway in the real Envoy: who may come in by which certificate, and what backends are shown."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme
import yaml

from tests.wire.application import free_ports, http_application
from tests.wire.edge import edge
from tests.wire.test_gateway_connections import naming_application

API = "gateway.networking.k8s.io/v1"
_ANSWER = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nvault"


def _authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


def _secret(name: str, leaf: trustme.LeafCert) -> dict[str, Any]:
    chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
    content = {"tls.crt": chain.decode(), "tls.key": leaf.private_key_pem.bytes().decode()}
    return _document("v1", "Secret", name, stringData=content)


def _document(api: str, kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, **content}


def _authorities(name: str, authority: trustme.CA) -> dict[str, Any]:
    return _document("v1", "ConfigMap", name, data={"ca.crt": authority.cert_pem.bytes().decode()})


def _asking(name: str, mode: str = "AllowValidOnly") -> dict[str, Any]:
    refs = [{"group": "", "kind": "ConfigMap", "name": name}]
    return {"validation": {"caCertificateRefs": refs, "mode": mode}}


def _route(name: str, port: int, **more: Any) -> dict[str, Any]:
    rules = [{"backendRefs": [{"name": name, "port": port}]}]
    return _document(API, "HTTPRoute", name, spec={"parentRefs": [{"name": "edge"}], "rules": rules, **more})


@dataclass(frozen=True)
class Edge:
    """A gateway, and how to ask it."""

    strict: int
    other: int
    loose: int
    server: trustme.CA
    known: trustme.CA
    others: trustme.CA

    async def ask(self, port: int, of: trustme.CA | None = None) -> str:
        """The name of the server that answers; "refused" for a handshake that fails."""
        trust = ssl.create_default_context()
        self.server.configure_trust(trust)
        if of is not None:
            of.issue_cert("client.example", key_type=trustme.KeyType.ECDSA).configure_cert(trust)
        async with httpx2.AsyncClient(verify=trust) as client:
            try:
                answer = await client.get(
                    f"https://127.0.0.1:{port}/",
                    headers={"host": "shop.example"},
                    extensions={"sni_hostname": "shop.example"},
                )
            except (httpx2.TransportError, ssl.SSLError):
                return "refused"
        return answer.json()["server"]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Edge]:
    async with AsyncExitStack() as stack:
        strict, other, loose = free_ports(3)
        made = Edge(strict, other, loose, _authority(), _authority(), _authority())
        listeners = [
            {
                "name": name,
                "port": port,
                "protocol": "HTTPS",
                "tls": {"certificateRefs": [{"name": "server"}]},
            }
            for name, port in (("strict", made.strict), ("other", made.other), ("loose", made.loose))
        ]
        frontend = {
            "default": _asking("known"),
            "perPort": [
                {"port": made.other, "tls": _asking("others")},
                {"port": made.loose, "tls": _asking("known", "AllowInsecureFallback")},
            ],
        }
        services = {"web": {"ports": [{"port": 80, "name": "http"}], "command": "web"}}
        documents = [
            _document("tulle.dev/v1", "App", "shop", spec={"services": services}),
            _document(
                API,
                "Gateway",
                "edge",
                spec={"gatewayClassName": "tulle", "listeners": listeners, "tls": {"frontend": frontend}},
            ),
            _secret("server", made.server.issue_cert("shop.example", key_type=trustme.KeyType.ECDSA)),
            _authorities("known", made.known),
            _authorities("others", made.others),
            _route("web", 80),
        ]
        web = await stack.enter_async_context(http_application("web"))
        text = yaml.safe_dump_all(documents)
        await stack.enter_async_context(edge(text, ("shop", "edge-istio"), {"web": web}, tmp_path))
        yield made


async def test_each_port_lets_in_who_shows_a_certificate_of_its_own_authority(gateway: Edge) -> None:
    assert await gateway.ask(gateway.strict, gateway.known) == "web"
    assert await gateway.ask(gateway.strict, gateway.others) == "refused"
    assert await gateway.ask(gateway.strict) == "refused"
    assert await gateway.ask(gateway.other, gateway.others) == "web"
    assert await gateway.ask(gateway.other, gateway.known) == "refused"


async def test_an_insecure_fallback_lets_everybody_in(gateway: Edge) -> None:
    for of in (gateway.known, gateway.others, None):
        assert await gateway.ask(gateway.loose, of) == "web"


@pytest.mark.parametrize(("shown", "status"), [(True, 200), (False, 503)])
async def test_a_backend_that_asks_for_it_is_shown_the_gateways_certificate(
    shown: bool, status: int, tmp_path: Path
) -> None:
    servers, clients = _authority(), _authority()
    behind = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    behind.verify_mode = ssl.CERT_REQUIRED
    clients.configure_trust(behind)
    servers.issue_cert("vault.example", key_type=trustme.KeyType.ECDSA).configure_cert(behind)
    (port,) = free_ports(1)
    spec: dict[str, Any] = {
        "gatewayClassName": "tulle",
        "listeners": [{"name": "http", "port": port, "protocol": "HTTP"}],
    }
    if shown:
        spec["tls"] = {"backend": {"clientCertificateRef": {"name": "client"}}}
    validation = {
        "hostname": "vault.example",
        "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "servers"}],
    }
    services = {"vault": {"ports": [{"port": 7000, "name": "http"}], "command": "vault"}}
    documents = [
        _document("tulle.dev/v1", "App", "shop", spec={"services": services}),
        _document(API, "Gateway", "edge", spec=spec),
        _secret("client", clients.issue_cert("edge.example", key_type=trustme.KeyType.ECDSA)),
        _authorities("servers", servers),
        _document(
            API,
            "BackendTLSPolicy",
            "vault",
            spec={
                "targetRefs": [{"group": "", "kind": "Service", "name": "vault"}],
                "validation": validation,
            },
        ),
        _route("vault", 7000),
    ]
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(naming_application(_ANSWER, behind))
        text = yaml.safe_dump_all(documents)
        await stack.enter_async_context(edge(text, ("shop", "edge-istio"), {"vault": vault}, tmp_path))
        async with httpx2.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{port}/")
    assert answer.status_code == status
