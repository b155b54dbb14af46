"""What MeshConfig has for traffic of which nobody says more, and that whoever says more is heard."""

from __future__ import annotations

import pytest

from tests.unit.mesh.routed import ask, shop, table, virtual_host
from tests.unit.mesh.test_route_istio import RATINGS, REVIEWS
from tests.unit.mesh.worldly import publish
from tulle.mesh.resolve import PartKind, Resolution
from tulle.mesh.view import Cluster, ConnectionPool, Forward, Keepalive, Outbound, Retry, Route, Spread

HOST = "reviews.shop.svc.cluster.local"


def config(spec: str) -> str:
    return f"apiVersion: tulle.dev/v1\nkind: MeshConfig\nmetadata: {{name: mesh}}\nspec: {{{spec}}}\n"


def istio(kind: str, spec: str, name: str = "x", namespace: str = "shop") -> str:
    head = f"apiVersion: networking.istio.io/v1\nkind: {kind}\n"
    return f"{head}metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"


def cluster(resolution: Resolution, namespace: str = "shop", name: str = f"outbound|9080||{HOST}") -> Cluster:
    return next(each for each in resolution.outbound(namespace).clusters if each.name == name)


def routes(resolution: Resolution, namespace: str = "shop") -> tuple[Route, ...]:
    found = virtual_host(table(resolution.outbound(namespace), "9080"), "reviews")
    assert found is not None
    return found.routes


# -- connections ------------------------------------------------------------------------------------


def test_the_time_to_connect() -> None:
    _, resolution = shop(config("connectTimeout: 2s"))
    assert cluster(resolution).pool == ConnectionPool(connect_seconds=2)
    rule = "host: reviews, trafficPolicy: {connectionPool: {tcp: {connectTimeout: 3s}}}"
    _, resolution = shop(config("connectTimeout: 2s"), istio("DestinationRule", rule))
    assert cluster(resolution).pool == ConnectionPool(connect_seconds=3)


def test_probes_of_idle_connections_are_filled_in_field_by_field() -> None:
    mesh = config("tcpKeepalive: {time: 60s, interval: 10s}")
    assert cluster(shop(mesh)[1]).pool.keepalive == Keepalive(None, 60, 10)
    rule = "host: reviews, trafficPolicy: {connectionPool: {tcp: {tcpKeepalive: {probes: 3, time: 5s}}}}"
    found = cluster(shop(mesh, istio("DestinationRule", rule))[1])
    assert found.pool == ConnectionPool(keepalive=Keepalive(3, 5, 10))


def test_without_a_word_of_it_nothing_is_set() -> None:
    assert cluster(shop(config("trustDomain: a.example"))[1]).pool == ConnectionPool()


# -- localities -------------------------------------------------------------------------------------

PLACES = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: far, namespace: far}
spec:
  services:
    caller: {command: caller, locality: west/a}
    server:
      ports: [{port: 80, name: http}]
      versions:
        v1: {command: server, locality: west/a}
        v2: {command: server, locality: east/b}
"""
NEAR = "localityLbSetting: {distribute: [{from: west/*, to: {'west/*': 80, 'east/*': 20}}]}"


def far(*texts: str) -> Cluster:
    _, resolution = shop(PLACES, *texts)
    parts = resolution.parts(("far", "caller"))
    outbound = resolution.part(next(each for each in parts if each.kind is PartKind.OUTBOUND))
    assert isinstance(outbound, Outbound)
    return next(each for each in outbound.clusters if each.name.startswith("outbound|80||server"))


def test_the_share_of_localities() -> None:
    plain = far()
    assert (plain.balancing.spread, plain.endpoint_set) == (Spread.ANY, "")
    found = far(config(NEAR))
    assert found.balancing.spread is Spread.WEIGHTED
    assert found.endpoint_set != plain.endpoint_set, "callers elsewhere have other endpoints"
    own = "host: server, trafficPolicy: {loadBalancer: {localityLbSetting: {enabled: false}}}"
    assert far(config(NEAR), istio("DestinationRule", own, namespace="far")).balancing.spread is Spread.ANY
    near = config("zoneAwareLbSetting: {enabled: true}, " + NEAR)
    assert far(near).balancing.spread is Spread.NEAR


# -- retries ----------------------------------------------------------------------------------------

RETRIES = "defaultHttpRetryPolicy: {attempts: 5, retryOn: '503', perTryTimeout: 2s}"


def test_routes_that_say_nothing_of_retries() -> None:
    (route,) = routes(shop(config(RETRIES))[1])
    assert isinstance(route.action, Forward)
    assert route.action.retry == Retry(5, statuses=(503,))
    assert route.action.attempt_seconds == 2
    rule = "hosts: [reviews], http: [{%s, match: [{uri: {prefix: /a}}], retries: {attempts: 1}}, {%s}]"
    to = "route: [{destination: {host: reviews}}]"
    _, resolution = shop(config(RETRIES), istio("VirtualService", rule % (to, to)))
    retries = [each.action.retry for each in routes(resolution) if isinstance(each.action, Forward)]
    assert retries == [Retry(1), Retry(5, statuses=(503,))]
    gateway_api = (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: x, namespace: shop}\n"
    )
    gateway_api += "spec: {parentRefs: [{group: '', kind: Service, name: reviews}], rules: [{backendRefs: [{name: reviews, port: 9080}]}]}\n"  # noqa: E501
    (route,) = routes(shop(config(RETRIES), gateway_api)[1])
    assert isinstance(route.action, Forward) and route.action.retry == Retry(5, statuses=(503,))


def test_what_leaves_the_mesh_as_it_came_is_not_tried_again() -> None:
    found = virtual_host(table(shop(config(RETRIES))[1].outbound("shop"), "9080"), "elsewhere.example")
    assert found is not None
    assert all(isinstance(each.action, Forward) and each.action.retry is None for each in found.routes)


# -- who sees what ----------------------------------------------------------------------------------

TO_RATINGS = "hosts: [reviews.shop.svc.cluster.local], http: [{route: [{destination: {host: ratings.shop.svc.cluster.local}}]}]"  # noqa: E501


@pytest.mark.parametrize(
    ("default", "namespace", "seen"),
    [
        ("'*'", "shop", ("shop", "front")),
        (".", "shop", ("shop",)),
        (".", "front", ("front",)),
        ("front", "shop", ("front",)),
    ],
)
def test_virtual_services_that_do_not_say_who_sees_them(
    default: str, namespace: str, seen: tuple[str, ...]
) -> None:
    mesh = config(f"defaultVirtualServiceExportTo: [{default}]")
    _, resolution = shop(mesh, istio("VirtualService", TO_RATINGS, namespace=namespace))
    for caller in ("shop", "front"):
        wanted = RATINGS if caller in seen else REVIEWS
        assert ask(resolution.outbound(caller), "9080", HOST) == wanted, caller
    open_ = istio("VirtualService", TO_RATINGS + ", exportTo: ['*']", namespace=namespace)
    assert ask(shop(mesh, open_)[1].outbound("front"), "9080", HOST) == RATINGS


def test_rules_that_do_not_say_who_sees_them() -> None:
    rule = istio(
        "DestinationRule", "host: reviews, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}"
    )
    world, resolution = shop(rule)
    assert cluster(resolution, "front").pool.connections == 7
    publish(world, config("defaultDestinationRuleExportTo: [.]"))
    assert cluster(resolution, "shop").pool.connections == 7
    assert cluster(resolution, "front").pool.connections is None


def test_services_that_do_not_say_who_sees_them() -> None:
    world, resolution = shop()
    assert f"outbound|9080||{HOST}" in {each.name for each in resolution.outbound("front").clusters}
    publish(world, config("defaultServiceExportTo: [.]"))
    assert f"outbound|9080||{HOST}" not in {each.name for each in resolution.outbound("front").clusters}
    assert f"outbound|9080||{HOST}" in {each.name for each in resolution.outbound("shop").clusters}
