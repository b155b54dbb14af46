"""Ingresses in the real Envoy: Kubernetes' own examples of paths and hosts, certificates by SNI."""

from __future__ import annotations

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

API = "networking.k8s.io/v1"
SERVICES = ("one", "two", "three", "rest")


def _path(service: str, path: str, kind: str = "Prefix") -> dict[str, object]:
    backend = {"service": {"name": service, "port": {"name": "http"}}}
    return {"path": path, "pathType": kind, "backend": backend}


def _rule(host: str, *paths: dict[str, object]) -> dict[str, object]:
    return {"host": host, "http": {"paths": list(paths)}}


def _ingress(name: str, **spec: object) -> dict[str, object]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": API, "kind": "Ingress", "metadata": metadata, "spec": spec}


def _secret(name: str, leaf: trustme.LeafCert) -> dict[str, object]:
    chain = b"".join(each.bytes() for each in leaf.cert_chain_pems).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "shop"},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": chain, "tls.key": leaf.private_key_pem.bytes().decode()},
    }


def _documents(authority: trustme.CA) -> str:
    services = {name: {"ports": [{"port": 8000, "name": "http"}], "command": name} for name in SERVICES}
    rules = [
        _rule(
            "paths.example.com",
            _path("one", "/aaa"),
            _path("two", "/aaa/bbb"),
            _path("three", "/aaa", "Exact"),
            _path("three", "/slash/"),
        ),
        _rule("*.foo.com", _path("one", "/")),
        _rule("exact.foo.com", _path("two", "/", "ImplementationSpecific")),
    ]
    default = {"service": {"name": "rest", "port": {"number": 8000}}}
    tls = [
        {"hosts": ["paths.example.com"], "secretName": "first"},
        {"hosts": ["*.foo.com"], "secretName": "second"},
    ]
    return yaml.safe_dump_all(
        [
            {
                "apiVersion": "tulle.dev/v1",
                "kind": "App",
                "metadata": {"name": "shop", "namespace": "shop"},
                "spec": {"services": services},
            },
            _secret("first", authority.issue_cert("paths.example.com")),
            _secret("second", authority.issue_cert("*.foo.com")),
            _ingress("edge", ingressClassName="tulle", rules=rules, tls=tls, defaultBackend=default),
        ]
    )


@dataclass(frozen=True)
class Edge:
    """The proxy of the Ingress, and how to ask it."""

    plain: int
    https: int
    trust: ssl.SSLContext

    async def ask(self, host: str, path: str = "/") -> str:
        """The name of the server that answers, or the status."""
        async with httpx2.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{self.plain}{path}", headers={"host": host})
        return answer.json()["server"] if answer.is_success else str(answer.status_code)

    async def ask_tls(self, name: str, host: str) -> str:
        """The same by TLS for a server name; "refused" for a handshake that fails."""
        async with httpx2.AsyncClient(verify=self.trust) as client:
            try:
                url, extensions = f"https://127.0.0.1:{self.https}/aaa/bbb", {"sni_hostname": name}
                answer = await client.get(url, headers={"host": host}, extensions=extensions)
            except (httpx2.TransportError, ssl.SSLError):
                return "refused"
        return answer.json()["server"]


@pytest.fixture
async def ingress(tmp_path: Path) -> AsyncIterator[Edge]:
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with AsyncExitStack() as stack:
        servers = {each: await stack.enter_async_context(http_application(each)) for each in SERVICES}
        plain, https = free_ports(2)
        at = ("istio-system", "istio-ingressgateway")
        ports = {80: plain, 443: https}
        await stack.enter_async_context(edge(_documents(authority), at, servers, tmp_path, ports))
        yield Edge(plain, https, trust)


async def test_paths_are_matched_by_elements_the_longest_first(ingress: Edge) -> None:
    asked = ("/aaa", "/aaa/", "/aaa/ccc", "/aaa/bbb", "/aaa/bbb/ccc?x=/aaa", "/aaa/bbbxyz", "/slash", "/aaab")
    found = [await ingress.ask("paths.example.com", path) for path in asked]
    assert found == ["three", "one", "one", "two", "two", "one", "three", "rest"]


async def test_a_wildcard_stands_for_one_label_and_the_rest_has_a_default(ingress: Edge) -> None:
    hosts = ("bar.foo.com", "Bar.Foo.com:80", "exact.foo.com", "baz.bar.foo.com", "foo.com", "elsewhere.net")
    found = [await ingress.ask(host) for host in hosts]
    assert found == ["one", "one", "two", "rest", "rest", "rest"]


async def test_sni_chooses_the_certificate_and_the_host_header_the_rule(ingress: Edge) -> None:
    assert await ingress.ask_tls("paths.example.com", "paths.example.com") == "two"
    assert await ingress.ask_tls("a.foo.com", "a.foo.com") == "one"
    assert await ingress.ask_tls("a.foo.com", "paths.example.com") == "two"
    assert await ingress.ask_tls("elsewhere.net", "elsewhere.net") == "refused"
