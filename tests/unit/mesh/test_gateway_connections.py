"""TLSRoute and TCPRoute at Gateways and Services: who takes a connection, and what the status says of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.mesh.certificate import secret
from tests.unit.mesh.routed import codes, shop
from tests.unit.mesh.test_gateway_standard import GROUP, conditions, gateway, served
from tulle.mesh.evaluate import Connection, Outcome, Reason, evaluate_gateway, evaluate_outbound
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import MISSING_CLUSTER, WeightedCluster
from tulle.mesh.world import World
from tulle.model.resource import Key

ORDERS = "outbound|7000||orders.shop.svc.cluster.local"
VAULT = "outbound|8443||vault.shop.svc.cluster.local"
TCP = "{name: tcp, port: 7000, protocol: TCP}"


def tls(name: str, hostname: str = "", mode: str = "Passthrough", port: int = 443, more: str = "") -> str:
    named = f"hostname: '{hostname}', " if hostname else ""
    return f"{{name: {name}, port: {port}, protocol: TLS, {named}tls: {{mode: {mode}{more}}}}}"


def route(
    kind: str, name: str, refs: str, parent: str = "{name: edge}", hostnames: str = "", **meta: str
) -> str:
    written = {"name": name, "namespace": "shop", **meta}
    return f"""
apiVersion: {GROUP}/v1
kind: {kind}
metadata: {{{", ".join(f"{key}: {value!r}" for key, value in written.items())}}}
spec:
  parentRefs: [{parent}]
  {f"hostnames: {hostnames}" if hostnames else ""}
  rules: [{{backendRefs: {refs}}}]
"""


TO_ORDERS, TO_VAULT = "[{name: orders, port: 7000}]", "[{name: vault, port: 8443}]"


def arrive(resolution: Resolution, port: int, name: str = "") -> Outcome:
    return evaluate_gateway(served(resolution), Connection("127.0.0.1", port, name))


def taken(resolution: Resolution, port: int, name: str = "") -> str:
    """The one cluster that a connection goes to; "closed"."""
    found = arrive(resolution, port, name)
    if found.reason is Reason.CLOSED:
        return "closed"
    (one,) = found.clusters
    return one.cluster


def attached(resolution: Resolution) -> dict[str, int]:
    status: Any = resolution.status(Key(GROUP, "Gateway", "shop", "edge"))
    return {each["name"]: each["attachedRoutes"] for each in status["listeners"]}


def kinds(resolution: Resolution) -> dict[str, list[str]]:
    status: Any = resolution.status(Key(GROUP, "Gateway", "shop", "edge"))
    return {each["name"]: [one["kind"] for one in each["supportedKinds"]] for each in status["listeners"]}


def accepted(resolution: Resolution, kind: str, name: str) -> list[tuple[str, str]]:
    """(Accepted, ResolvedRefs) at each parent."""
    status: Any = resolution.status(Key(GROUP, kind, "shop", name))
    return [tuple(one["reason"] for one in each["conditions"]) for each in status["parents"]]


def test_a_tcp_listener_passes_every_connection_to_the_oldest_route_by_weight() -> None:
    shares = "[{name: orders, port: 7000, weight: 3}, {name: vault, port: 8443, weight: 1}]"
    _, resolution = shop(
        gateway(f"[{TCP}]"),
        route("TCPRoute", "younger", TO_VAULT, creationTimestamp="2026-02-01T00:00:00Z"),
        route("TCPRoute", "older", shares, creationTimestamp="2026-01-01T00:00:00Z"),
    )
    assert arrive(resolution, 7000).clusters == (WeightedCluster(ORDERS, 3), WeightedCluster(VAULT, 1))
    # Both are attached; which of them gets connections is not said by this condition.
    assert attached(resolution) == {"tcp": 2}
    assert kinds(resolution) == {"tcp": ["TCPRoute"]}
    for name in ("older", "younger"):
        assert accepted(resolution, "TCPRoute", name) == [("Accepted", "ResolvedRefs")]


def test_a_tcp_listener_without_routes_closes_connections() -> None:
    _, resolution = shop(gateway(f"[{TCP}]"))
    assert taken(resolution, 7000) == "closed"


def test_the_share_of_a_backend_that_is_not_there_is_closed() -> None:
    refs = "[{name: nobody, port: 1, weight: 4}, {name: orders, port: 7000, weight: 1}]"
    _, resolution = shop(gateway(f"[{TCP}]"), route("TCPRoute", "half", refs))
    assert arrive(resolution, 7000).clusters == (
        WeightedCluster(MISSING_CLUSTER, 4),
        WeightedCluster(ORDERS, 1),
    )
    assert [each.name for each in served(resolution).clusters] == [ORDERS]
    assert accepted(resolution, "TCPRoute", "half") == [("Accepted", "BackendNotFound")]
    assert codes(resolution) == [
        ("reference-not-found", "TCPRoute/half", "spec.rules[0].backendRefs[0].name")
    ]

    _, resolution = shop(gateway(f"[{TCP}]"), route("TCPRoute", "none", "[{name: nobody, port: 1}]"))
    assert taken(resolution, 7000) == "closed"


def test_sni_is_matched_by_the_names_that_listener_and_route_have_in_common() -> None:
    _, resolution = shop(
        gateway(f"[{tls('tls', '*.example.com')}]"),
        route("TLSRoute", "exact", TO_VAULT, hostnames="[abc.example.com]"),
        route("TLSRoute", "wide", TO_ORDERS, hostnames="['*.com']"),
        route("TLSRoute", "other", TO_ORDERS, hostnames="[example.org]"),
    )
    assert taken(resolution, 443, "abc.example.com") == VAULT
    assert taken(resolution, 443, "other.example.com") == ORDERS
    assert taken(resolution, 443, "a.b.example.com") == ORDERS
    assert taken(resolution, 443, "example.com") == "closed"
    assert taken(resolution, 443, "non.matching.com") == "closed"
    assert taken(resolution, 443) == "closed"
    assert attached(resolution) == {"tls": 2}
    assert kinds(resolution) == {"tls": ["TLSRoute"]}
    assert accepted(resolution, "TLSRoute", "other")[0][0] == "NoMatchingListenerHostname"


def test_a_name_belongs_to_the_most_specific_listener_alone() -> None:
    _, resolution = shop(
        gateway(f"[{tls('wide', '*.example.com')}, {tls('narrow', 'a.example.com')}]"),
        route(
            "TLSRoute", "wide", TO_ORDERS, "{name: edge, sectionName: wide}", "[a.example.com, b.example.com]"
        ),
    )
    assert taken(resolution, 443, "a.example.com") == "closed"
    assert taken(resolution, 443, "b.example.com") == ORDERS


def test_tls_ends_or_passes_through_by_name_on_one_port() -> None:
    certificate = ", certificateRefs: [{name: cert}]"
    _, resolution = shop(
        gateway(
            f"[{tls('ends', 'ends.example.com', 'Terminate', more=certificate)},"
            f"{tls('passes', 'a.example.com')}]"
        ),
        secret("cert", "shop"),
        route("TLSRoute", "ends", TO_ORDERS, hostnames="[ends.example.com]"),
        route("TLSRoute", "passes", TO_VAULT, hostnames="[a.example.com]"),
    )
    assert taken(resolution, 443, "ends.example.com") == ORDERS
    assert taken(resolution, 443, "a.example.com") == VAULT
    ends = {chain.server_names: chain.tls is not None for chain in served(resolution).listeners[0].chains}
    assert ends == {("ends.example.com",): True, ("a.example.com",): False}
    assert kinds(resolution) == {"ends": ["TLSRoute", "TCPRoute"], "passes": ["TLSRoute"]}
    _, listeners = conditions(resolution, "Gateway", "edge")
    assert all(each["Accepted"] == "True Accepted" for each in listeners.values())


def test_terminated_tls_needs_a_certificate() -> None:
    certificate = ", certificateRefs: [{name: cert}]"
    _, resolution = shop(gateway(f"[{tls('ends', mode='Terminate', more=certificate)}]"))
    _, listeners = conditions(resolution, "Gateway", "edge")
    assert listeners["ends"]["ResolvedRefs"] == "False InvalidCertificateRef"
    assert listeners["ends"]["Programmed"] == "False Invalid"
    assert served(resolution).listeners == ()


@pytest.mark.parametrize(
    ("listener", "kind", "hostnames"),
    [
        ("{name: x, port: 80, protocol: HTTP}", "TCPRoute", ""),
        ("{name: x, port: 80, protocol: HTTP}", "TLSRoute", "[a.example.com]"),
        (TCP, "TLSRoute", "[a.example.com]"),
        (tls("x"), "TCPRoute", ""),
    ],
)
def test_a_listener_takes_the_kinds_of_its_protocol(listener: str, kind: str, hostnames: str) -> None:
    _, resolution = shop(gateway(f"[{listener}]"), route(kind, "lost", TO_ORDERS, hostnames=hostnames))
    assert accepted(resolution, kind, "lost")[0][0] == "NotAllowedByListeners"
    assert set(attached(resolution).values()) == {0}


def test_kinds_that_a_protocol_excludes_are_named() -> None:
    listener = tls("tls").replace(
        "name: tls,", "name: tls, allowedRoutes: {kinds: [{kind: TCPRoute}, {kind: TLSRoute}]},"
    )
    _, resolution = shop(gateway(f"[{listener}]"))
    _, listeners = conditions(resolution, "Gateway", "edge")
    assert listeners["tls"]["ResolvedRefs"] == "False InvalidRouteKinds"
    assert kinds(resolution) == {"tls": ["TLSRoute"]}


# -- in the mesh ------------------------------------------------------------------------------------


def call(of: tuple[World, Resolution], host: str, port: int, name: str = "", namespace: str = "shop") -> str:
    world, resolution = of
    service = world.service(f"{host}.shop.svc.cluster.local")
    assert service is not None
    found = evaluate_outbound(resolution.outbound(namespace), Connection(service.addresses[0], port, name))
    return "closed" if found.reason is Reason.CLOSED else found.clusters[0].cluster


AT_ORDERS = "{group: '', kind: Service, name: orders}"
AT_VAULT = AT_ORDERS.replace("orders", "vault")


def test_a_tcp_route_of_a_service_takes_its_connections() -> None:
    of = shop(route("TCPRoute", "moved", TO_VAULT, AT_ORDERS))
    assert call(of, "orders", 7000) == VAULT
    assert call(of, "orders", 7000, namespace="front") == VAULT
    assert call(of, "vault", 8443) == VAULT
    assert accepted(of[1], "TCPRoute", "moved") == [("Accepted", "ResolvedRefs")]


def test_a_consumer_route_holds_in_its_own_namespace_alone() -> None:
    refs = "[{name: vault, port: 8443, namespace: shop}]"
    at = "{group: '', kind: Service, name: orders, namespace: shop}"
    of = shop(route("TCPRoute", "mine", refs, at, namespace="front"))
    assert call(of, "orders", 7000, namespace="front") == VAULT
    assert call(of, "orders", 7000) == ORDERS


def test_tls_routes_of_a_service_go_by_sni_and_stand_before_tcp_routes() -> None:
    of = shop(
        route("TLSRoute", "wide", TO_ORDERS, AT_VAULT, "['*.example.com']"),
        route("TLSRoute", "exact", TO_VAULT, AT_VAULT, "[a.example.com]"),
        route("TCPRoute", "weaker", TO_ORDERS, AT_VAULT),
    )
    assert call(of, "vault", 8443, "a.example.com") == VAULT
    assert call(of, "vault", 8443, "b.example.com") == ORDERS
    assert call(of, "vault", 8443, "example.org") == "closed"
    assert accepted(of[1], "TCPRoute", "weaker")[0][0] == "Conflicted"


def test_a_route_for_connections_is_refused_where_http_is_spoken() -> None:
    of = shop(route("TCPRoute", "lost", TO_VAULT, AT_ORDERS.replace("orders", "reviews")))
    assert accepted(of[1], "TCPRoute", "lost")[0][0] == "NoMatchingParent"


def test_a_port_of_unknown_protocol_is_not_looked_at_where_a_tcp_route_is_attached() -> None:
    of = shop(route("TCPRoute", "moved", TO_VAULT, AT_ORDERS.replace("orders", "details")))
    assert call(of, "details", 9080) == VAULT
    (listener,) = [
        each for each in of[1].outbound("shop").listeners if each.otherwise.origin.kind == "TCPRoute"
    ]
    assert listener.chains == ()
    assert listener.inspect_seconds is None
