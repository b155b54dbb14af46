"""tunnel of a DestinationRule in the real Envoy: connections through another proxy."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.wire.application import free_port
from tests.wire.edge import edge

DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: proxy, namespace: shop}}
spec:
  hosts: [proxy.example]
  addresses: [192.0.2.1]
  ports: [{{number: 3128, name: tcp, protocol: TCP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{tcp: {proxy}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: proxy, namespace: shop}}
spec:
  host: proxy.example
  trafficPolicy: {{tunnel: {{protocol: {method}, targetHost: far.example, targetPort: 9000}}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  selector: {{istio: egressgateway}}
  servers: [{{port: {{number: {port}, name: tcp, protocol: TCP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: all, namespace: shop}}
spec:
  hosts: ["*"]
  gateways: [edge]
  tcp: [{{route: [{{destination: {{host: proxy.example, port: {{number: 3128}}}}}}]}}]
"""


@pytest.mark.parametrize(
    ("method", "request_line"),
    [("CONNECT", "CONNECT far.example:9000 HTTP/1.1"), ("POST", "POST / HTTP/1.1")],
)
async def test_connections_go_through_another_proxy(method: str, request_line: str, tmp_path: Path) -> None:
    heads: list[str] = []

    async def other_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await reader.read()
        writer.close()

    port = free_port()
    async with await asyncio.start_server(other_proxy, "127.0.0.1", 0) as server:
        proxy = server.sockets[0].getsockname()[1]
        text = DOCUMENTS.format(proxy=proxy, method=method, port=port)
        async with edge(text, ("istio-system", "istio-egressgateway"), {"proxy": proxy}, tmp_path):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await asyncio.wait_for(reader.readexactly(5), 20) == b"hello"
            writer.close()
    (head,) = heads
    assert head.splitlines()[0] == request_line
    assert "host: far.example:9000" in head.lower().splitlines()
