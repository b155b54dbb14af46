"""One change costs work in proportion to what depends on it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.unit.mesh.worldly import publish, report, world_of
from tulle.mesh.resolve import Part, PartKind, Resolution
from tulle.mesh.scope import Scope
from tulle.mesh.world import World

NAMESPACES = 50
PROXIES = 1000


def mesh() -> tuple[World, Resolution]:
    """A thousand proxies in fifty namespaces, four services with five replicas in each."""
    replicas = PROXIES // NAMESPACES // 4
    apps = "---".join(
        f"""
apiVersion: tulle.dev/v1
kind: App
metadata: {{name: app, namespace: ns{number}}}
spec:
  services:
    web: {{ports: [{{port: 80, name: http}}], command: web, replicas: {replicas}}}
    api: {{ports: [{{port: 80, name: http}}], command: api, replicas: {replicas}}}
    rpc: {{ports: [{{port: 9000, name: grpc}}], command: rpc, replicas: {replicas}}}
    log: {{ports: [{{port: 514, name: tcp}}], command: log, replicas: {replicas}}}
"""
        for number in range(NAMESPACES)
    )
    world = world_of(apps + "---" + route("/a") + "---" + virtual_service(1))
    resolution = Resolution(world)
    resolve_all(resolution)
    return world, resolution


def route(path: str, comment: str = "") -> str:
    return f"""{comment}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web, namespace: ns7}}
spec:
  parentRefs: [{{group: "", kind: Service, name: web}}]
  rules: [{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{{name: api, port: 80}}]}}]
"""


def virtual_service(weight: int) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: rpc, namespace: ns9}}
spec:
  hosts: [rpc]
  http:
  - route: [{{destination: {{host: rpc}}, weight: {weight}}}, {{destination: {{host: rpc.ns8}}, weight: 1}}]
"""


def resolve_all(resolution: Resolution) -> None:
    for part in {part for proxy in resolution.proxies() for part in resolution.parts(proxy)}:
        resolution.part(part)
        resolution.endpoint_queries(part)


@pytest.fixture(scope="module")
def made() -> tuple[World, Resolution]:
    return mesh()


@pytest.fixture
def large(made: tuple[World, Resolution]) -> tuple[World, Resolution]:
    """The same mesh for all tests, as it was before the first."""
    world, resolution = made
    publish(world, route("/a"))
    publish(world, virtual_service(1))
    resolve_all(resolution)
    return made


def work(world: World, resolution: Resolution) -> Counter[str]:
    before = world.graph.computed.copy()
    resolve_all(resolution)
    return world.graph.computed - before


def test_there_are_a_thousand_proxies(large: tuple[World, Resolution]) -> None:
    _, resolution = large
    assert len(resolution.proxies()) == PROXIES


def test_a_changed_route_touches_the_routes_of_its_host_and_the_tables_that_have_it(
    large: tuple[World, Resolution],
) -> None:
    world, resolution = large
    parts = [Part(PartKind.OUTBOUND, Scope(f"ns{number}")) for number in range(NAMESPACES)]
    before = [resolution.part(part) for part in parts]
    publish(world, route("/b"))
    done = work(world, resolution)
    assert done["ranked_routes"] == 1
    assert done["host_routes"] == 2  # as its own namespace sees it, and as all others do
    assert done["virtual_hosts"] == 2
    assert done["route_table"] == NAMESPACES
    assert done["outbound"] == NAMESPACES
    untouched = {"inbound", "gateway", "cluster", "service_clusters", "outbound_clusters"}
    untouched |= {"service_listeners", "common_listener", "outbound_listeners", "endpoints"}
    assert not untouched & done.keys()
    for part, old in zip(parts, before, strict=True):
        new = resolution.part(part)
        assert new != old
        assert new.listeners is old.listeners  # type: ignore[union-attr]
        assert new.clusters is old.clusters  # type: ignore[union-attr]
        changed = [
            table
            for table, former in zip(new.route_tables, old.route_tables, strict=True)  # type: ignore[union-attr]
            if table is not former
        ]
        assert [table.name for table in changed] == ["80"]


def test_a_changed_weight_touches_one_host(large: tuple[World, Resolution]) -> None:
    world, resolution = large
    publish(world, virtual_service(3))
    done = work(world, resolution)
    assert done["host_routes"] == 2
    assert done["route_table"] == NAMESPACES
    assert not {"inbound", "outbound_listeners", "outbound_clusters", "ranked_routes"} & done.keys()


def test_a_comment_changes_no_view(large: tuple[World, Resolution]) -> None:
    world, resolution = large
    publish(world, route("/b"))
    resolve_all(resolution)
    publish(world, route("/b", "# a comment moves every line"))
    done = work(world, resolution)
    assert not {"route_table", "outbound", "inbound"} & done.keys()


def test_an_endpoint_that_flips_touches_no_view(large: tuple[World, Resolution]) -> None:
    world, resolution = large
    query = resolution.all_endpoint_queries()["outbound|80||web.ns7.svc.cluster.local"]
    assert world.endpoints(query).endpoints == ()
    report(world, "ns7", "web-1")
    assert len(world.endpoints(query).endpoints) == 1
    done = work(world, resolution)
    assert not done


def test_a_rule_of_one_namespace_touches_that_namespace(large: tuple[World, Resolution]) -> None:
    world, resolution = large
    publish(
        world,
        """
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: mine, namespace: ns3}
        spec: {host: web.ns7.svc.cluster.local, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
        """,
    )
    done = work(world, resolution)
    assert done["outbound"] == 1
    assert done["inbound"] == 0
