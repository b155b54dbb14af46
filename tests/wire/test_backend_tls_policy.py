"""BackendTLSPolicy in the real Envoy: TLS to a server with the right name, and to no other."""

from __future__ import annotations

import asyncio
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


ENDS_AND_PASSES = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  gatewayClassName: tulle
  listeners:
  - name: ends
    port: {port}
    protocol: TLS
    hostname: ends.example
    tls: {{certificateRefs: [{{name: cert}}]}}
  - {{name: passes, port: {port}, protocol: TLS, hostname: vault.example, tls: {{mode: Passthrough}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {{name: all, namespace: shop}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: ["*.example"]
  rules: [{{backendRefs: [{{name: vault, port: 7000}}]}}]
---
apiVersion: v1
kind: Secret
metadata: {{name: cert, namespace: shop}}
type: kubernetes.io/tls
stringData: {{tls.crt: {chain}, tls.key: {key}}}
---
"""


async def test_tls_that_ends_at_the_gateway_begins_anew_and_tls_that_passes_is_not_wrapped(
    tmp_path: Path,
) -> None:
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    behind = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("vault.example", key_type=trustme.KeyType.ECDSA).configure_cert(behind)
    own = authority.issue_cert("ends.example", key_type=trustme.KeyType.ECDSA)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    port = free_port()
    pem = json.dumps(authority.cert_pem.bytes().decode())
    app, _, _, *rest = DOCUMENTS.format(port=port, authority=pem, hostname="vault.example").split("---\n")
    gateway = ENDS_AND_PASSES.format(
        port=port,
        chain=json.dumps("".join(each.bytes().decode() for each in own.cert_chain_pems)),
        key=json.dumps(own.private_key_pem.bytes().decode()),
    )
    said: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(naming_application("vault", behind))
        text = "---\n".join([app, gateway, *rest])
        await stack.enter_async_context(edge(text, ("shop", "edge-istio"), {"vault": server}, tmp_path))
        for name in ("ends.example", "vault.example"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname=name)
            writer.write(b"who\n")
            said[name] = (await reader.read()).decode()
            writer.close()
    assert said == {"ends.example": "vault", "vault.example": "vault"}
