"""The running mesh as its API shows it: real store, World and pipeline; proxies that are never connected."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tulle.ads.cache import Cache
from tulle.ads.server import Server
from tulle.agent.layout import Layout
from tulle.api.contract import ApplyRequest, DeleteRequest, Document, Result, Target
from tulle.api.mesh import Absent, Refused
from tulle.app.facade import Facade
from tulle.app.notebook import Notebook
from tulle.app.pipeline import Pipeline
from tulle.kit.derived import Graph
from tulle.mesh.declaration import Settings
from tulle.mesh.resolve import Resolution
from tulle.mesh.world import World
from tulle.model.agentapi import Instance, Phase
from tulle.source.registry import Registry
from tulle.source.store import SqliteStore

APP = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: a, namespace: shop}
spec:
  services:
    web: {port: 80, protocol: http, command: serve}
"""
GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  gatewayClassName: tulle
  infrastructure: {annotations: {example.com/pager: night}}
  listeners: [{name: plain, port: 8080, protocol: HTTP}]
"""
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: web}]
  rules: [{backendRefs: [{name: web, port: %s}]}]
"""
Make = Callable[[], Facade]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Make a control plane's inside; a second one stands on the store of the first."""
    stores: list[SqliteStore] = []

    def build() -> Facade:
        while stores:
            stores.pop().close()
        stores.append(SqliteStore(tmp_path / "store.db"))
        notebook = Notebook(stores[0])
        world = World(Graph(), Settings(), notebook.addresses)
        resolution = Resolution(world)
        cache = Cache()
        pipeline = Pipeline(world, resolution, cache)
        facade = Facade(
            world=world,
            resolution=resolution,
            pipeline=pipeline,
            server=Server(cache, authorize=lambda _context, node: node),
            kept=stores[0],
            registry=Registry(world.placed, lambda *told: facade.report(*told), lambda: 0.0),
            notebook=notebook,
            relay=None,
            paths=Layout(home=tmp_path, run=tmp_path, mesh="0" * 8),
            version="test",
        )
        facade.load()
        return facade

    yield build
    while stores:
        stores.pop().close()


def documents(*texts: str) -> tuple[Document, ...]:
    return tuple(Document(file=f"/{number}.yaml", text=text) for number, text in enumerate(texts))


async def test_what_is_applied_is_there_and_survives(make: Make) -> None:
    facade = make()
    answer = await facade.apply(ApplyRequest(documents=documents(APP, GATEWAY)))
    assert [(each.kind, each.result) for each in answer.results] == [
        ("App", Result.CREATED),
        ("Gateway", Result.CREATED),
    ]
    before = await facade.status()
    assert [each.name for each in before.workloads] == ["front-istio", "web"]
    after = await make().status()
    assert [(each.name, each.address) for each in after.workloads] == [
        (each.name, each.address) for each in before.workloads
    ]


async def test_status_says_where_http_is_processed_and_which_line_asked_for_it(make: Make) -> None:
    facade = make()
    await facade.apply(
        ApplyRequest(
            documents=documents(
                """\
apiVersion: tulle.dev/v1
kind: App
metadata:
  name: web
  namespace: shop
  annotations: {tulle.dev/http-processing: both}
spec: {services: {web: {command: web, ports: [{port: 80, name: http}, {port: 81, name: tcp}]}}}
"""
            )
        )
    )
    (web,) = (await facade.status()).workloads
    assert [(each.port, each.http_processing) for each in web.ports] == [(80, "both"), (81, "")]
    ((reason,), ()) = (each.reasons for each in web.ports)
    assert reason.text == "annotation tulle.dev/http-processing"
    assert (reason.because.file, reason.because.line) == ("/0.yaml", 6)


async def test_one_error_changes_nothing(make: Make) -> None:
    facade = make()
    with pytest.raises(Refused) as refused:
        await facade.apply(ApplyRequest(documents=documents(APP, "kind: Unheard\napiVersion: of/v1\n")))
    assert [each.file for each in refused.value.findings] == ["/1.yaml"]
    assert (await facade.status()).workloads == ()


async def test_a_dry_run_changes_nothing(make: Make) -> None:
    facade = make()
    answer = await facade.apply(ApplyRequest(documents=documents(APP), dry_run=True))
    assert [each.result for each in answer.results] == [Result.CREATED]
    assert (await facade.status()).workloads == ()
    await facade.apply(ApplyRequest(documents=documents(APP)))
    again = await facade.apply(ApplyRequest(documents=documents(APP), dry_run=True))
    assert [each.result for each in again.results] == [Result.UNCHANGED]


async def test_a_reference_to_nothing_is_a_finding_and_a_condition(make: Make) -> None:
    facade = make()
    answer = await facade.apply(ApplyRequest(documents=documents(APP, ROUTE % 81)))
    assert [(each.severity, each.kind) for each in answer.findings] == [("warning", "HTTPRoute")]
    (route,) = await facade.resources(group=None, kind="HTTPRoute", namespace="shop", name="web")
    conditions = {each["type"]: each for each in route["status"]["parents"][0]["conditions"]}
    assert conditions["ResolvedRefs"]["reason"] == "BackendNotFound"
    assert conditions["ResolvedRefs"]["lastTransitionTime"]


async def test_gateways_are_shown_by_the_names_that_people_gave(make: Make) -> None:
    facade = make()
    await facade.apply(ApplyRequest(documents=documents(GATEWAY)))
    status = await facade.status()
    assert [each.annotations for each in status.workloads] == [{"example.com/pager": "night"}]
    (gateway,) = status.gateways
    assert (gateway.name, gateway.workload) == ("front", "front-istio")
    assert [(each.name, each.port, each.protocol) for each in gateway.listeners] == [("plain", 8080, "HTTP")]


@pytest.mark.parametrize("name", ["tulle", "istio"])
async def test_a_class_of_gateways_is_there_without_being_written(make: Make, name: str) -> None:
    facade = make()

    async def shown() -> dict[str, Any]:
        (found,) = await facade.resources(group=None, kind="GatewayClass", namespace=None, name=name)
        return dict(found)

    implied = await shown()
    assert implied["spec"] == {"controllerName": "tulle.dev/gateway-controller"}
    assert implied["status"]["conditions"][0]["reason"] == "Accepted"
    written = {**implied, "spec": {"controllerName": "example.com/controller"}}
    del written["status"]
    await facade.apply(ApplyRequest(documents=documents(json.dumps(written))))
    assert (await shown())["spec"] == written["spec"]
    assert "status" not in await shown()
    await facade.delete(DeleteRequest(documents=documents(json.dumps(written))))
    assert await shown() == implied


async def test_deleting_by_name_and_by_file(make: Make) -> None:
    facade = make()
    await facade.apply(ApplyRequest(documents=documents(APP, GATEWAY)))
    target = Target(kind="Gateway", namespace="shop", name="front")
    answer = await facade.delete(DeleteRequest(targets=(target,)))
    assert [each.result for each in answer.results] == [Result.DELETED]
    with pytest.raises(Absent):
        await facade.delete(DeleteRequest(targets=(target,)))
    answer = await facade.delete(DeleteRequest(documents=documents(APP, GATEWAY)))
    assert [each.result for each in answer.results] == [Result.DELETED, Result.ABSENT]
    assert (await facade.status()).workloads == ()


async def test_reports_become_endpoints_in_one_turn(make: Make) -> None:
    facade = make()
    await facade.apply(ApplyRequest(documents=documents(APP)))
    running = asyncio.create_task(facade.run())
    before = (await facade.status()).control_plane.revision
    facade.report(
        ("shop", "web"), Instance(namespace="shop", name="web", phase=Phase.RUNNING, ready=True), False
    )
    async with asyncio.timeout(10):
        while (await facade.status()).control_plane.revision == before:
            await asyncio.sleep(0.01)
    running.cancel()
    assert (await facade.status()).control_plane.revision == before + 1
    assert (await facade.status()).workloads[0].ready
    assert (await facade.render("shop", "web")).endpoints[0]["endpoints"]


async def test_nobody_is_waited_for_when_nobody_is_connected(make: Make) -> None:
    facade = make()
    answer = await facade.apply(ApplyRequest(documents=documents(APP)))
    assert [each.done async for each in facade.follow(answer.revision)] == [True]


async def test_a_proxy_that_is_not_there_is_absent(make: Make) -> None:
    with pytest.raises(Absent):
        await make().render("shop", "nobody")


async def test_a_proxy_whose_agent_has_just_lost_us_is_waited_for_within_its_lease(make: Make) -> None:
    facade = make()
    answer = await facade.apply(ApplyRequest(documents=documents(APP)))
    running = Instance(namespace="shop", name="web", phase=Phase.RUNNING, ready=True, proxy_connected=True)
    facade.report(("shop", "web"), running, False)
    first = await anext(facade.follow(answer.revision))
    assert (first.waiting, first.done) == (("shop/web",), False)
    facade.report(("shop", "web"), running, True)
    assert (await anext(facade.follow(answer.revision))).done
