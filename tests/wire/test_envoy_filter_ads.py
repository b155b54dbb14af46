"""EnvoyFilters over the discovery service: what Envoy refuses is told of and stops nothing else, and what it
asks for by name it gets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from tests.unit.mesh.worldly import publish, world_of
from tests.wire.application import free_port
from tests.wire.test_ads_envoy import NODE, Mesh, cache, envoy, mesh
from tulle.ads.cache import Cache
from tulle.ads.resource import EXTENSION, LISTENER, Resource
from tulle.app.pipeline import Pipeline, proxy_node
from tulle.mesh.policy.envoy_filter import ENVOY_FILTER
from tulle.mesh.resolve import Resolution
from tulle.model.resource import Key

__all__ = ["cache", "mesh"]  # fixtures

EDGE = ("istio-system", "istio-ingressgateway")
HTTP = "envoy.filters.network.http_connection_manager"
LUA = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: web, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ["*"]}}]
---
"""
SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec:
  hosts: ["*"]
  gateways: [web]
  http: [{{directResponse: {{status: 200, body: {{string: {said}}}}}}}]
"""


def envoy_filter(*patches: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: f, namespace: istio-system}}
spec: {{configPatches: [{", ".join(patches)}]}}
"""


class Edge:
    """A gateway's configuration, from documents into the cache that Envoy is served from."""

    def __init__(self, cache: Cache, port: int) -> None:
        self._cache = cache
        self._world = world_of((GATEWAY + SERVICE).format(port=port, said="one"))
        self.pipeline = Pipeline(self._world, Resolution(self._world), Cache())
        self.push()

    def push(self) -> None:
        self.pipeline.turn()
        content = self.pipeline.content(EDGE)
        self._cache.put("part", [Resource(one.type_url, one.name, one.body, one.needs) for one in content])

    def write(self, text: str) -> None:
        publish(self._world, text)
        self.push()

    def remove(self) -> None:
        self._world.resources.remove(Key(*ENVOY_FILTER, "istio-system", "f"))
        self.push()


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("tulle.xds.gateway.gateway_pipe", lambda number: str(tmp_path / f"{number}.sock"))
    return free_port()


async def get(port: int) -> httpx2.Response:
    async with httpx2.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{port}/")


async def says(port: int, text: str) -> None:
    async with asyncio.timeout(30):
        while (await get(port)).text != text:
            await asyncio.sleep(0.01)


BEHIND_THE_ROUTER = (
    f"{{applyTo: HTTP_FILTER, match: {{listener: {{filterChain: {{filter: {{name: {HTTP}}}}}}}}}, "
    f"patch: {{operation: INSERT_AFTER, value: {{name: late, typed_config: {{'@type': {LUA}}}}}}}}}"
)
NO_SUCH_BALANCER = (
    "{applyTo: CLUSTER, patch: {operation: ADD, value: "
    "{name: odd, type: STATIC, connect_timeout: 1s, lb_policy: CLUSTER_PROVIDED}}}"
)


@pytest.mark.parametrize("patch", [BEHIND_THE_ROUTER, NO_SUCH_BALANCER], ids=["listener", "cluster"])
async def test_what_envoy_refuses_is_the_filters_and_stops_nothing_else(
    patch: str, mesh: Mesh, cache: Cache, port: int, tmp_path: Path
) -> None:
    edge = Edge(cache, port)
    async with envoy(tmp_path):
        await mesh.synced()
        await says(port, "one")
        edge.write(envoy_filter(patch))
        assert edge.pipeline.findings() == ()  # the protobufs have nothing against it
        status = await mesh.rejected()
        for type_url, _, names in status.errors:
            for name in names:
                (origin,) = edge.pipeline.origins(proxy_node(EDGE), type_url, name)
                assert (origin.kind, origin.name, origin.field) == (
                    "EnvoyFilter",
                    "f",
                    "spec.configPatches[0]",
                )
        await says(port, "one")
        edge.write(SERVICE.format(said="two"))
        await says(port, "two")
        assert mesh.server.status(NODE).errors
        edge.remove()
        await mesh.synced()
        assert mesh.server.status(NODE).errors == ()
        await says(port, "two")


def extension(said: str) -> str:
    code = f"function envoy_on_response(handle) handle:headers():add('x-said', '{said}') end"
    value = (
        f'{{name: mine, typed_config: {{"@type": {LUA}, default_source_code: {{inline_string: "{code}"}}}}}}'
    )
    return f"{{applyTo: EXTENSION_CONFIG, patch: {{operation: ADD, value: {value}}}}}"


USE = (
    "{applyTo: HTTP_FILTER, "
    f"match: {{context: GATEWAY, listener: {{filterChain: {{filter: {{name: {HTTP}}}}}}}}}, "
    "patch: {operation: INSERT_BEFORE, value: {name: mine, "
    f"config_discovery: {{config_source: {{ads: {{}}}}, type_urls: [{LUA}]}}}}}}}}"
)


async def test_an_extension_by_its_name_is_changed_without_its_listener(
    mesh: Mesh, cache: Cache, port: int, tmp_path: Path
) -> None:
    edge = Edge(cache, port)
    async with envoy(tmp_path):
        edge.write(envoy_filter(extension("one"), USE))
        await mesh.synced()
        assert edge.pipeline.findings() == ()

        async def header(expected: str) -> None:
            async with asyncio.timeout(30):
                while (await get(port)).headers.get("x-said") != expected:
                    await asyncio.sleep(0.01)

        await header("one")
        held = mesh.server.subscription(NODE)
        assert held is not None
        assert set(held.acknowledged(EXTENSION)) == {"mine"}
        before = held.acknowledged(LISTENER)
        edge.write(envoy_filter(extension("two"), USE))
        await header("two")
        assert held.acknowledged(LISTENER) == before
