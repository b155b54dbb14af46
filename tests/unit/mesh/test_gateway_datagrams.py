"""UDPRoute at Gateways: who takes datagrams, and what the status says of it."""

from __future__ import annotations

import pytest

from tests.unit.mesh.routed import codes, shop
from tests.unit.mesh.test_gateway_connections import TCP, accepted, attached, kinds, route, taken
from tests.unit.mesh.test_gateway_standard import gateway, served
from tulle.mesh.evaluate import Connection, Outcome, Reason, evaluate_gateway, evaluate_outbound
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import MISSING_CLUSTER, WeightedCluster
from tulle.model.parse import parse

UDP = "{name: udp, port: 7000, protocol: UDP}"
NAMES = "outbound-udp|53||names.shop.svc.cluster.local"
MORE = "outbound-udp|53||more.shop.svc.cluster.local"
TO_NAMES = "[{name: names, port: 53}]"
SERVICES = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: names, namespace: shop}
spec:
  services:
    names: {ports: [{port: 53, name: tcp}, {port: 53, name: udp, protocol: udp}], command: names}
    more: {ports: [{port: 53, protocol: udp}], command: more}
"""


def sent(resolution: Resolution, port: int = 7000) -> Outcome:
    return evaluate_gateway(served(resolution), Connection("127.0.0.1", port, udp=True))


def test_a_udp_listener_gives_its_sessions_to_the_oldest_route_by_weight() -> None:
    shares = "[{name: names, port: 53, weight: 3}, {name: more, port: 53}, {name: more, port: 53, weight: 0}]"
    _, resolution = shop(
        SERVICES,
        gateway(f"[{UDP}]"),
        route("UDPRoute", "younger", TO_NAMES, creationTimestamp="2026-02-01T00:00:00Z"),
        route("UDPRoute", "older", shares, creationTimestamp="2026-01-01T00:00:00Z"),
    )
    assert sent(resolution).clusters == (WeightedCluster(NAMES, 3), WeightedCluster(MORE, 1))
    assert attached(resolution) == {"udp": 2}
    assert kinds(resolution) == {"udp": ["UDPRoute"]}
    for name in ("older", "younger"):
        assert accepted(resolution, "UDPRoute", name) == [("Accepted", "ResolvedRefs")]


def test_tcp_and_udp_share_a_number_at_the_listener_and_at_the_service() -> None:
    world, resolution = shop(
        SERVICES,
        gateway(f"[{TCP}, {UDP}]"),
        route("TCPRoute", "tcp", TO_NAMES),
        route("UDPRoute", "udp", TO_NAMES),
    )
    assert taken(resolution, 7000) == "outbound|53||names.shop.svc.cluster.local"
    assert [each.cluster for each in sent(resolution).clusters] == [NAMES]
    assert attached(resolution) == {"tcp": 1, "udp": 1}
    assert codes(resolution) == []
    own = world.service("edge-istio.shop.svc.cluster.local")
    assert own is not None
    assert [(port.number, str(port.protocol)) for port in own.ports] == [(7000, "tcp"), (7000, "udp")]


def test_a_route_without_a_port_or_a_section_takes_every_udp_listener_and_no_other() -> None:
    _, resolution = shop(
        SERVICES,
        gateway(f"[{TCP}, {UDP}, {{name: more, port: 7001, protocol: UDP}}]"),
        route("UDPRoute", "all", TO_NAMES),
    )
    assert attached(resolution) == {"tcp": 0, "udp": 1, "more": 1}
    for port in (7000, 7001):
        assert [each.cluster for each in sent(resolution, port).clusters] == [NAMES]


def test_a_listener_of_another_protocol_takes_no_udp_route() -> None:
    _, resolution = shop(SERVICES, gateway(f"[{TCP}]"), route("UDPRoute", "one", TO_NAMES))
    assert accepted(resolution, "UDPRoute", "one")[0][0] == "NotAllowedByListeners"
    _, resolution = shop(SERVICES, gateway(f"[{UDP}]"), route("TCPRoute", "one", TO_NAMES))
    assert accepted(resolution, "TCPRoute", "one")[0][0] == "NotAllowedByListeners"


@pytest.mark.parametrize(
    ("refs", "reason"),
    [
        ("[{name: nobody, port: 53}]", "BackendNotFound"),
        ("[{name: orders, port: 7000}]", "BackendNotFound"),  # a TCP port
        ("[{name: names, namespace: other, port: 53}]", "RefNotPermitted"),
        ("[{name: names, kind: Secret}]", "InvalidKind"),
    ],
)
def test_without_a_backend_nobody_listens(refs: str, reason: str) -> None:
    _, resolution = shop(SERVICES, gateway(f"[{UDP}]"), route("UDPRoute", "one", refs))
    assert accepted(resolution, "UDPRoute", "one") == [("Accepted", reason)]
    assert sent(resolution).reason is Reason.CLOSED
    assert served(resolution).datagrams == ()


def test_the_share_of_a_backend_that_is_not_there_stays_its_share() -> None:
    refs = "[{name: nobody, port: 1, weight: 4}, {name: names, port: 53, weight: 1}]"
    _, resolution = shop(SERVICES, gateway(f"[{UDP}]"), route("UDPRoute", "half", refs))
    assert sent(resolution).clusters == (WeightedCluster(MISSING_CLUSTER, 4), WeightedCluster(NAMES, 1))


@pytest.mark.parametrize(
    "kind", ['group: "", kind: Service', "group: networking.istio.io, kind: ServiceEntry"]
)
def test_a_udp_route_of_the_mesh_is_refused_at_its_line(kind: str) -> None:
    _, findings = parse(route("UDPRoute", "mesh", TO_NAMES, f"{{{kind}, name: names}}"), "mesh.yaml")
    assert [(each.code, each.field) for each in findings] == [("not-honoured", "spec.parentRefs")]


def test_in_the_mesh_datagrams_go_as_they_are() -> None:
    _, resolution = shop(SERVICES)
    found = evaluate_outbound(resolution.outbound("shop"), Connection("10.0.0.1", 53, udp=True))
    assert (found.reason, found.clusters) == (Reason.PASSED_THROUGH, ())
