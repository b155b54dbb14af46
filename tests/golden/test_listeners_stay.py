"""Connections outlive configuration (decision 17): Envoy closes those of a changed filter chain at the drain
time, so what varies may not stand in a listener."""

from __future__ import annotations

import pytest

from tests.golden.case import mesh, translate_part
from tulle.mesh.resolve import Resolution
from tulle.mesh.world import World
from tulle.model.agentapi import Instance, Phase
from tulle.model.parse import parse
from tulle.xds.bundle import LISTENER

SHOP = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: shop, namespace: shop}
spec:
  services:
    front: {ports: [{port: 80, name: http}], command: front}
    orders: {ports: [{port: 7000, name: tcp}], command: orders, replicas: 2}
    reviews:
      ports: [{port: 9080, name: http}]
      versions:
        v1: {command: reviews}
        v2: {command: reviews}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}]
"""


def routes(first: int, path: str = "/") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews, namespace: shop}}
spec:
  hosts: [reviews, shop.example]
  gateways: [mesh, shop]
  http:
  - match: [{{uri: {{prefix: {path}}}}}]
    route:
    - {{destination: {{host: reviews, subset: v1}}, weight: {first}}}
    - {{destination: {{host: reviews, subset: v2}}, weight: {100 - first}}}
"""


Bodies = dict[tuple[str, str], bytes]


def bodies(world: World, resolution: Resolution) -> Bodies:
    """Every resource of every part, by part and type and name."""
    parts = {part for proxy in resolution.proxies() for part in resolution.parts(proxy)}
    return {
        (f"{part} {one.type_url}", one.name): one.body
        for part in parts
        for one in translate_part(world, resolution, part)
    }


def listeners(found: Bodies) -> Bodies:
    return {key: body for key, body in found.items() if key[0].endswith(LISTENER)}


def write(world: World, text: str) -> None:
    for resource in parse(text, "change.yaml")[0]:
        world.resources.publish(resource.key, resource)


@pytest.fixture
def shop() -> tuple[World, Resolution]:
    world, resolution, findings = mesh(SHOP, "shop.yaml")
    assert not findings
    write(world, routes(50))
    return world, resolution


def test_a_weight_changes_no_listener(shop: tuple[World, Resolution]) -> None:
    before = bodies(*shop)
    write(shop[0], routes(90))
    after = bodies(*shop)
    assert after != before
    assert listeners(after) == listeners(before)


def test_a_route_changes_no_listener(shop: tuple[World, Resolution]) -> None:
    before = bodies(*shop)
    write(shop[0], routes(50, "/elsewhere"))
    after = bodies(*shop)
    assert after != before
    assert listeners(after) == listeners(before)


@pytest.mark.parametrize("name", ["reviews-v1", "orders-1"])
def test_an_endpoint_changes_its_endpoint_sets_alone(shop: tuple[World, Resolution], name: str) -> None:
    before = bodies(*shop)
    gone = Instance(namespace="shop", name=name, phase=Phase.RUNNING, ready=False)
    shop[0].report(("shop", name), gone, lapsed=False)
    after = bodies(*shop)
    changed = {key[0].rpartition(".")[2] for key in before if before[key] != after.get(key)}
    assert changed == {"ClusterLoadAssignment"}
    assert after.keys() == before.keys()


def test_a_subset_and_a_balancer_change_no_listener(shop: tuple[World, Resolution]) -> None:
    before = bodies(*shop)
    write(
        shop[0],
        """
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: reviews, namespace: shop}
        spec:
          host: reviews
          trafficPolicy: {loadBalancer: {simple: RANDOM}}
          subsets:
          - {name: v1, labels: {version: v1}}
          - {name: v2, labels: {version: v2}}
          - {name: v3, labels: {version: v3}}
        """,
    )
    after = bodies(*shop)
    assert after != before
    assert listeners(after) == listeners(before)


@pytest.mark.parametrize(
    "rule",
    [
        "filters: [{type: CORS, cors: {allowOrigins: ['*']}}]",
        "sessionPersistence: {}",
    ],
)
def test_the_first_route_that_switches_a_filter_on_changes_no_listener(rule: str) -> None:
    world, resolution, findings = mesh(SHOP, "shop.yaml")
    assert not findings
    route = """
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {{name: reviews, namespace: shop}}
    spec:
      parentRefs: [{{group: "", kind: Service, name: reviews}}]
      rules: [{{{rule}backendRefs: [{{name: reviews, port: 9080}}]}}]
    """
    write(world, route.format(rule=""))
    before = bodies(world, resolution)
    write(world, route.format(rule=f"{rule}, "))
    after = bodies(world, resolution)
    assert after != before
    assert listeners(after) == listeners(before)
