"""grpcio's own xDS client, without any proxy: from what people write to the calls that arrive."""

from __future__ import annotations

import json
import os
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc.aio

from tests.netns.shop.binomial import bounds
from tests.unit.mesh.worldly import publish, report, world_of
from tests.wire.test_ads_grpc import backend, call, client
from tulle.ads.cache import Cache
from tulle.ads.server import SERVER_OPTIONS, Server
from tulle.agent.proxyless import bootstrap
from tulle.app.pipeline import Pipeline
from tulle.mesh.declaration import Settings
from tulle.mesh.resolve import Resolution
from tulle.mesh.world import World

NODE = ("shop", "caller")
MESH = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: shop, namespace: shop}
spec:
  services:
    caller: {command: caller, proxy: grpc}
    echo:
      ports: [{port: 50051, name: grpc}]
      versions: {v1: {command: echo}, v2: {command: echo}}
---
apiVersion: v1
kind: Service
metadata: {name: echo-v1, namespace: shop}
spec: {selector: {app: echo, version: v1}, ports: [{name: grpc, port: 50051}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo-v2, namespace: shop}
spec: {selector: {app: echo, version: v2}, ports: [{name: grpc, port: 50051}]}
"""
CALLS = 400


def http_route(first: int, second: int, rule: str = "") -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: echo, namespace: shop}}
spec:
  parentRefs: [{{group: "", kind: Service, name: echo}}]
  rules:{rule}
  - backendRefs:
    - {{name: echo-v1, port: 50051, weight: {first}}}
    - {{name: echo-v2, port: 50051, weight: {second}}}
"""


class Mesh:
    """A control plane in small, and two servers where the mesh has put them: on loopback."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.world: World = world_of(MESH, Settings(workload_cidr=f"127.{1 + os.getpid() % 250}.0.0/16"))
        cache = Cache()
        self._pipeline = Pipeline(self.world, Resolution(self.world), cache)
        self.server = Server(cache, authorize=lambda _context, node: node)

    def write(self, text: str) -> None:
        publish(self.world, text)
        self._pipeline.turn()

    def report(self, name: str, ready: bool = True) -> None:
        report(self.world, "shop", name, ready)
        self._pipeline.turn()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Mesh]:
        async with AsyncExitStack() as stack:
            for name in ("echo-v1", "echo-v2"):
                workload = self.world.workload(("shop", name))
                assert workload is not None
                await stack.enter_async_context(backend(name, f"{workload.address}:50051"))
                self.report(name)
            listening = grpc.aio.server(options=SERVER_OPTIONS)
            listening.add_generic_rpc_handlers((self.server.handlers("/".join(NODE)),))
            listening.add_insecure_port(f"unix:{self.socket}")
            await listening.start()
            stack.push_async_callback(listening.stop, None)
            yield self

    @asynccontextmanager
    async def caller(self, name: str) -> AsyncIterator[Process]:
        """A client of `xds:///NAME` with the bootstrap that its agent would write."""
        assignment = self.world.assignment(NODE)
        assert assignment is not None
        written = bootstrap(assignment, "cluster.local")
        assert json.loads(json.dumps(written)) == written
        written["xds_servers"][0]["server_uri"] = f"unix://{self.socket}"
        async with client(self.socket, name, written) as process:
            yield process

    async def until_synced(self) -> None:
        assert await self.server.wait_synced(["/".join(NODE)], 20) == {}


async def shares(process: Process, calls: int = CALLS) -> Counter[str]:
    return Counter([await call(process) for _ in range(calls)])


async def test_weights_and_headers_of_an_http_route_hold(tmp_path: Path) -> None:
    rule = """
  - matches: [{headers: [{name: version, value: v2}]}]
    backendRefs: [{name: echo-v2, port: 50051}]
"""
    async with Mesh(tmp_path / "xds").serving() as mesh, mesh.caller("echo:50051") as process:
        mesh.write(http_route(80, 20, rule))
        counts = await shares(process)
        assert set(counts) == {"echo-v1", "echo-v2"}
        assert counts["echo-v2"] in bounds(CALLS, 0.2)
        assert {await call(process, "version=v2") for _ in range(20)} == {"echo-v2"}
        await mesh.until_synced()
        mesh.write(http_route(100, 0))
        await mesh.until_synced()
        answers = await shares(process, 50)
        while set(answers) != {"echo-v1"}:
            assert set(answers) <= {"echo-v1", "echo-v2"}, "no call fails because of the change"
            answers = await shares(process, 50)


async def test_every_form_of_the_name_may_be_dialled_and_replicas_take_turns(tmp_path: Path) -> None:
    async with Mesh(tmp_path / "xds").serving() as mesh:
        for name in ("echo.shop:50051", "echo.shop.svc.cluster.local:50051"):
            async with mesh.caller(name) as process:
                assert set(await shares(process, 20)) == {"echo-v1", "echo-v2"}


async def test_a_replica_that_is_not_ready_gets_no_call(tmp_path: Path) -> None:
    async with Mesh(tmp_path / "xds").serving() as mesh, mesh.caller("echo:50051") as process:
        assert set(await shares(process, 20)) == {"echo-v1", "echo-v2"}
        mesh.report("echo-v2", ready=False)
        await mesh.until_synced()
        while set(await shares(process, 20)) != {"echo-v1"}:
            pass


async def test_an_excluded_value_is_excluded_for_a_call_without_the_header_too(tmp_path: Path) -> None:
    async with Mesh(tmp_path / "xds").serving() as mesh, mesh.caller("echo:50051") as process:
        mesh.write(
            """
            apiVersion: networking.istio.io/v1
            kind: VirtualService
            metadata: {name: echo, namespace: shop}
            spec:
              hosts: [echo]
              http:
              - match: [{withoutHeaders: {user: {exact: tester}}, method: {exact: POST}}]
                route: [{destination: {host: echo-v1}}]
              - route: [{destination: {host: echo-v2}}]
            """
        )
        found = [await call(process, header) for header in ("", "user=somebody", "user=tester")]
        assert found == ["echo-v1", "echo-v1", "echo-v2"]


async def test_what_is_missing_fails_in_its_share_alone(tmp_path: Path) -> None:
    async with Mesh(tmp_path / "xds").serving() as mesh, mesh.caller("echo:50051") as process:
        mesh.write(http_route(50, 50).replace("echo-v2", "missing"))
        answers = await shares(process, 60)
        assert set(answers) == {"echo-v1", "error: UNAVAILABLE"}
        assert answers["echo-v1"] in bounds(60, 0.5)
