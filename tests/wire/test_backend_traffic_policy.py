"""Budgets of retries and sessions of XBackendTrafficPolicy and of rules, in the real Envoy."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import h11
import httpx2
import pytest

from tests.wire.application import free_port, http_application
from tests.wire.edge import edge

DOCUMENTS = """
apiVersion: tulle.dev/v1
kind: App
metadata: {{name: shop, namespace: shop}}
spec:
  services:
    one: {{ports: [{{port: 80, name: http}}], command: one}}
    two: {{ports: [{{port: 80, name: http}}], command: two}}
    old: {{ports: [{{port: 80, name: http}}], command: old}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec: {{gatewayClassName: tulle, listeners: [{{name: http, port: {port}, protocol: HTTP}}]}}
---
"""
RETRIED = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: all, namespace: shop}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
  - retry: {{attempts: 1, codes: [503], backoff: 1ms}}
    backendRefs: [{{name: one, port: 80}}]
---
"""
BUDGETS = {
    "of what is under way": """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: one, namespace: shop}
spec: {host: one, trafficPolicy: {retryBudget: {percent: 50, minRetryConcurrency: 1}}}
""",
    "of an interval": """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: one, namespace: shop}
spec: {host: one, trafficPolicy: {retryBudget: {percent: 50, minRetryConcurrency: 1, budgetInterval: 1h}}}
""",
    "of a policy's interval": """
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: {name: one, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: one}]
  retryConstraint: {budget: {percent: 50, interval: 1h}, minRetryRate: {count: 1}}
""",
    "of a policy that allows hardly any": """
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: {name: one, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: one}]
  retryConstraint: {budget: {percent: 0, interval: 1h}, minRetryRate: {count: 1}}
""",
}
AT = ("shop", "edge-istio")
TOGETHER = 20


class Busy:
    """Answers requests to / at once. Those to /held it answers with 503, the first of them all together."""

    def __init__(self) -> None:
        self.held = 0
        self._all = asyncio.Event()

    async def status(self, request: h11.Request) -> int:
        if request.target == b"/":
            return 200
        self.held += 1
        if self.held == TOGETHER:
            self._all.set()
        await self._all.wait()
        return 503


@pytest.mark.parametrize(
    ("budget", "all_retried"),
    [
        ("of what is under way", False),
        ("of an interval", True),
        ("of a policy's interval", True),
        ("of a policy that allows hardly any", False),
    ],
)
async def test_requests_count_in_a_budget_for_its_interval(
    budget: str, all_retried: bool, tmp_path: Path
) -> None:
    busy = Busy()
    port = free_port()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(http_application("one", status=busy.status))
        text = (DOCUMENTS + RETRIED).format(port=port) + BUDGETS[budget]
        await stack.enter_async_context(edge(text, AT, {"one": server}, tmp_path))
        client = await stack.enter_async_context(httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}"))
        for _ in range(2 * TOGETHER):
            assert (await client.get("/")).status_code == 200
        answers = await asyncio.gather(*(client.get("/held") for _ in range(TOGETHER)))
    assert {each.status_code for each in answers} == {503}
    assert (busy.held == 2 * TOGETHER) == all_retried
    assert busy.held > TOGETHER, "the least number of retries"


SESSIONS = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: all, namespace: shop}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: /rule}}}}]
    sessionPersistence: {{sessionName: reader}}
    backendRefs:
    - {{name: one, port: 80}}
    - {{name: two, port: 80}}
    - {{name: old, port: 80, weight: {old}}}
  - matches: [{{path: {{type: PathPrefix, value: /policy}}}}]
    backendRefs: [{{name: one, port: 80}}, {{name: two, port: 80}}]
---
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: {{name: two, namespace: shop}}
spec:
  targetRefs: [{{group: "", kind: Service, name: two}}]
  sessionPersistence: {{sessionName: policy}}
"""


async def _servers(client: httpx2.AsyncClient, path: str, count: int) -> set[str]:
    return {(await client.get(path)).json()["server"] for _ in range(count)}


async def test_a_session_keeps_its_backend_whatever_the_weights(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        servers = {
            name: await stack.enter_async_context(http_application(name)) for name in ("one", "two", "old")
        }
        newcomers: list[httpx2.AsyncClient] = []
        text = (DOCUMENTS + SESSIONS).format(port=port, old=100)
        (tmp_path / "before").mkdir()
        async with edge(text, AT, servers, tmp_path / "before"):
            while True:
                client = await stack.enter_async_context(httpx2.AsyncClient(base_url=url))
                newcomers.append(client)
                if await _servers(client, "/rule", 1) == {"old"}:
                    break
            assert await _servers(client, "/rule", 10) == {"old"}
        text = (DOCUMENTS + SESSIONS).format(port=port, old=0)
        (tmp_path / "after").mkdir()
        async with edge(text, AT, servers, tmp_path / "after"):
            assert await _servers(client, "/rule", 10) == {"old"}, "its weight is 0 now"
            met: set[str] = set()
            for path in ("/rule", "/policy") * 20:
                async with httpx2.AsyncClient(base_url=url) as newcomer:
                    first = await _servers(newcomer, path, 1)
                    assert await _servers(newcomer, path, 4) == first
                    met |= first
            assert met == {"one", "two"}
