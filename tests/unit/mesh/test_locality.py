"""Whom callers at one place prefer, and how much each place gets."""

from __future__ import annotations

import pytest

from tests.unit.mesh.worldly import report_all, world_of
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import EndpointSet, Outbound
from tulle.mesh.world import World

HOST = "reviews.shop.svc.cluster.local"
CLUSTER = f"outbound|9080||{HOST}"

PLACES = {
    "a": "west/1/x",
    "b": "west/1/y",
    "c": "west/2/x",
    "d": "east/1/x",
    "e": "south/1/x",
}


def mesh(policy: str, caller: str = "west/1/x") -> tuple[World, Resolution]:
    versions = "".join(
        f"        {name}: {{command: reviews, labels: {{tier: {'gold' if name in 'bd' else 'tin'}}}, "
        f"locality: {place}}}\n"
        for name, place in PLACES.items()
    )
    where = f", locality: {caller}" if caller else ""
    text = f"""
apiVersion: tulle.dev/v1
kind: App
metadata: {{name: shop, namespace: shop}}
spec:
  services:
    front: {{port: 80, command: front, labels: {{tier: gold}}{where}}}
    reviews:
      ports: [{{port: 9080, name: http}}]
      versions:
{versions}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews, namespace: shop}}
spec:
  host: reviews
  trafficPolicy: {{{policy}}}
"""
    world = world_of(text)
    report_all(world)
    return world, Resolution(world)


def endpoints(world: World, resolution: Resolution) -> EndpointSet:
    part = resolution.parts(("shop", "front"))[0]
    outbound = resolution.part(part)
    assert isinstance(outbound, Outbound)
    (cluster,) = (each for each in outbound.clusters if each.name == CLUSTER)
    queries = resolution.endpoint_queries(part)
    return world.endpoints(queries[cluster.endpoint_set or cluster.name])


def priorities(found: EndpointSet) -> dict[str, int]:
    return {each.workload.rpartition("-")[2]: each.priority for each in found.endpoints}


DETECTION = "outlierDetection: {consecutive5xxErrors: 1}"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (DETECTION, {"a": 0, "b": 1, "c": 2, "d": 3, "e": 3}),
        (
            f"{DETECTION}, loadBalancer: {{localityLbSetting: {{enabled: false}}}}",
            {"a": 0, "b": 0, "c": 0, "d": 0, "e": 0},
        ),
        (
            f"{DETECTION}, loadBalancer: {{localityLbSetting: {{failover: [{{from: west, to: south}}]}}}}",
            {"a": 0, "b": 1, "c": 2, "d": 4, "e": 3},
        ),
        (  # nobody would know who has failed
            "loadBalancer: {localityLbSetting: {failover: [{from: west, to: south}]}}",
            {"a": 0, "b": 0, "c": 0, "d": 0, "e": 0},
        ),
        (
            f"{DETECTION}, loadBalancer: {{localityLbSetting: {{failoverPriority: [tier]}}}}",
            {"a": 1, "b": 0, "c": 1, "d": 0, "e": 1},
        ),
        (
            f"{DETECTION}, loadBalancer: {{localityLbSetting: {{failoverPriority: "
            "[topology.kubernetes.io/region, tier=tin]}}",
            {"a": 0, "b": 1, "c": 0, "d": 2, "e": 2},
        ),
        (
            f"{DETECTION}, loadBalancer: {{localityLbSetting: {{failoverPriority: [tier=tin], "
            "failover: [{from: west, to: east}]}}",
            {"a": 0, "b": 3, "c": 1, "d": 4, "e": 2},
        ),
        (
            "loadBalancer: {zoneAwareLbSetting: {failover: [{from: west, to: south}]}}",
            {"a": 0, "b": 0, "c": 0, "d": 2, "e": 1},
        ),
    ],
)
def test_some_come_before_others(policy: str, expected: dict[str, int]) -> None:
    assert priorities(endpoints(*mesh(policy))) == expected


def test_a_caller_without_a_locality_prefers_nobody() -> None:
    world, resolution = mesh(DETECTION, caller="")
    found = endpoints(world, resolution)
    assert (found.name, set(priorities(found).values())) == (CLUSTER, {0})


def test_a_silent_host_comes_last_wherever_it_is() -> None:
    world, resolution = mesh(DETECTION)
    nearest = world.instances.get(("shop", "reviews-a"))
    assert nearest is not None
    world.report(("shop", "reviews-a"), nearest, lapsed=True)
    assert priorities(endpoints(world, resolution)) == {"a": 3, "b": 0, "c": 1, "d": 2, "e": 2}


def test_each_place_gets_its_share() -> None:
    world, resolution = mesh(
        'loadBalancer: {localityLbSetting: {distribute: [{from: "east/*", to: {east: 100}}, '
        '{from: west/1/*, to: {"west/1/*": 70, "south/*": 30}}]}}'
    )
    found = endpoints(world, resolution)
    assert sorted(priorities(found)) == ["a", "b", "e"]
    assert dict(found.weights) == {("west", "1", "x"): 35, ("west", "1", "y"): 35, ("south", "1", "x"): 30}


def test_places_share_one_part_until_a_rule_goes_by_them() -> None:
    _, resolution = mesh("loadBalancer: {simple: RANDOM}")
    assert str(resolution.parts(("shop", "front"))[0]) == "outbound/shop"
    _, resolution = mesh(DETECTION)
    assert str(resolution.parts(("shop", "front"))[0]) == "outbound/shop;west/1/x"
