"""BackendTLSPolicy in the real Envoy: TLS to a server with the right name, and to no other."""

from __future__ import annotations

import json
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
import trustme

from tests.wire.application import free_port
from tests.wire.edge import edge
from tests.wire.test_gateway_connections import naming_application

DOCUMENTS = """
apiVersion: tulle.dev/v1
kind: App
metadata: {{name: shop, namespace: shop}}
spec: {{services: {{vault: {{ports: [{{port: 7000, name: http}}], command: vault}}}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec: {{gatewayClassName: tulle, listeners: [{{name: http, port: {port}, protocol: HTTP}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: all, namespace: shop}}
spec: {{parentRefs: [{{name: edge}}], rules: [{{backendRefs: [{{name: vault, port: 7000}}]}}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: ca, namespace: shop}}
data: {{ca.crt: {authority}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: vault, namespace: shop}}
spec:
  targetRefs: [{{group: "", kind: Service, name: vault}}]
  validation: {{hostname: {hostname}, caCertificateRefs: [{{group: "", kind: ConfigMap, name: ca}}]}}
"""
_ANSWER = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nvault"


@pytest.mark.parametrize(
    ("hostname", "own_authority", "status"),
    [("vault.example", True, 200), ("other.example", True, 503), ("vault.example", False, 503)],
)
async def test_a_gateway_asks_its_backends_for_certificates(
    hostname: str, own_authority: bool, status: int, tmp_path: Path
) -> None:
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    trusted = authority if own_authority else trustme.CA(key_type=trustme.KeyType.ECDSA)
    behind = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("vault.example", key_type=trustme.KeyType.ECDSA).configure_cert(behind)
    asked: list[str | None] = []
    behind.sni_callback = lambda _, name, __: asked.append(name)
    port = free_port()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(naming_application(_ANSWER, behind))
        pem = json.dumps(trusted.cert_pem.bytes().decode())
        text = DOCUMENTS.format(port=port, authority=pem, hostname=hostname)
        await stack.enter_async_context(edge(text, ("shop", "edge-istio"), {"vault": server}, tmp_path))
        client = await stack.enter_async_context(httpx2.AsyncClient())
        answer = await client.get(f"http://127.0.0.1:{port}/")
    assert answer.status_code == status
    assert set(asked) == {hostname}
    if status == 200:
        assert answer.text == "vault"
