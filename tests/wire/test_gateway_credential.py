"""TLS that a gateway begins with certificates from Secrets (Istio's task "Egress Gateways with TLS
Origination"), in the real Envoy."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
import yaml

from tests.wire.application import free_port
from tests.wire.edge import edge
from tests.wire.test_gateway_connections import naming_application

API = "networking.istio.io/v1"
NAME = "vault.example.com"


def _secret(name: str, content: dict[str, bytes]) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "istio-system"},
        "stringData": {key: value.decode() for key, value in content.items()},
    }


def _istio(kind: str, name: str, spec: dict[str, object]) -> dict[str, object]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def _documents(port: int, mode: str, trusted: trustme.CA, clients: trustme.CA) -> str:
    own = clients.issue_cert("gateway.example.com")
    chain = b"".join(each.bytes() for each in own.cert_chain_pems)
    tls = {"mode": mode, "credentialName": "client", "sni": NAME, "subjectAltNames": [NAME]}
    server = {"port": {"number": port, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}
    destination = {"destination": {"host": "vault", "port": {"number": 7000}}}
    return yaml.safe_dump_all(
        [
            {
                "apiVersion": "tulle.dev/v1",
                "kind": "App",
                "metadata": {"name": "shop", "namespace": "shop"},
                "spec": {
                    "services": {"vault": {"ports": [{"port": 7000, "name": "tcp"}], "command": "vault"}}
                },
            },
            _secret("client", {"tls.crt": chain, "tls.key": own.private_key_pem.bytes()}),
            _secret("client-cacert", {"ca.crt": trusted.cert_pem.bytes()}),
            _istio("Gateway", "edge", {"selector": {"istio": "egressgateway"}, "servers": [server]}),
            _istio(
                "VirtualService",
                "vault",
                {"hosts": ["*"], "gateways": ["edge"], "tcp": [{"route": [destination]}]},
            ),
            _istio("DestinationRule", "vault", {"host": "vault", "trafficPolicy": {"tls": tls}}),
        ]
    )


@pytest.mark.parametrize(
    ("mode", "knows", "answer"), [("MUTUAL", True, "vault"), ("SIMPLE", True, ""), ("MUTUAL", False, "")]
)
async def test_it_shows_its_certificate_and_knows_the_server(
    tmp_path: Path, mode: str, knows: bool, answer: str
) -> None:
    servers, clients = trustme.CA(), trustme.CA()
    demanding = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    demanding.verify_mode = ssl.CERT_REQUIRED
    clients.configure_trust(demanding)
    servers.issue_cert(NAME).configure_cert(demanding)
    port = free_port()
    text = _documents(port, mode, servers if knows else clients, clients)
    at = ("istio-system", "istio-egressgateway")
    async with naming_application("vault", demanding) as vault, edge(text, at, {"vault": vault}, tmp_path):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"who\n")
        try:
            said = await reader.read()
        except ConnectionError:
            said = b""
        writer.close()
    assert said.decode() == answer
