"""What reaches a workload."""

from __future__ import annotations

import pytest

from tests.unit.mesh.routed import codes, shop
from tulle.mesh.view import Discovery, InboundMtls, Protocol, Upstream


def service(name: str, ports: str, selector: str = "{app: reviews, version: v1}") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{selector: {selector}, ports: {ports}}}
"""


def test_the_ports_that_services_select_reach_the_workload_at_its_own_address() -> None:
    world, resolution = shop(service("more", "[{port: 80, targetPort: 8080, name: grpc}]"))
    found = resolution.inbound(("shop", "reviews-v1"))
    workload = world.workload(("shop", "reviews-v1"))
    assert found is not None
    assert workload is not None
    assert (found.address, found.identity) == (workload.address, workload.identity)
    assert found.default_mtls is InboundMtls.PERMISSIVE
    assert [(port.port, port.protocol, port.mtls, port.cluster) for port in found.ports] == [
        (8080, Protocol.GRPC, InboundMtls.PERMISSIVE, "inbound|8080||"),
        (9080, Protocol.HTTP, InboundMtls.PERMISSIVE, "inbound|9080||"),
    ]
    first = found.clusters[0]
    assert first.discovery is Discovery.STATIC
    assert first.addresses == ((workload.address, 8080),)
    assert first.source_address == "127.0.0.6"
    assert (found.ports[0].origin.kind, found.ports[0].origin.name) == ("Service", "more")


@pytest.mark.parametrize(
    ("name", "protocol", "conflict"),
    [
        ("http", Protocol.HTTP, False),
        ("grpc", Protocol.HTTP, True),
        ("tcp", Protocol.HTTP, True),
        ("tls", Protocol.HTTP, True),
        ("x", Protocol.HTTP, False),
    ],
)
def test_no_second_service_takes_http_processing_from_a_port(
    name: str, protocol: Protocol, conflict: bool
) -> None:
    """Bytes alone would let callers forge the headers that say who they are."""
    _, resolution = shop(service("second", f"[{{port: 80, targetPort: 9080, name: {name}}}]"))
    found = resolution.inbound(("shop", "reviews-v1"))
    assert found is not None
    assert [port.protocol for port in found.ports] == [protocol]
    expected = [("protocol-conflict", "Service/second", "spec.ports[0]")] if conflict else []
    assert codes(resolution) == expected
    assert all("treated as HTTP" in each.message for each in resolution.findings())
    other = resolution.inbound(("shop", "reviews-v2"))
    assert other is not None
    assert [port.protocol for port in other.ports] == [Protocol.HTTP]


@pytest.mark.parametrize(
    ("names", "protocol"),
    [
        (("tcp", "grpc"), Protocol.HTTP),
        (("tls", "http2"), Protocol.HTTP),
        (("tls", "tcp", "http"), Protocol.HTTP),
        (("http2", "grpc"), Protocol.HTTP),
        (("tls", "tcp"), Protocol.TCP),
        (("x", "tls"), Protocol.TLS),
    ],
)
def test_http_wins_among_services_that_disagree(names: tuple[str, ...], protocol: Protocol) -> None:
    claims = (service(f"s-{name}", f"[{{port: 80, targetPort: 7000, name: {name}}}]") for name in names)
    _, resolution = shop(*claims)
    found = resolution.inbound(("shop", "reviews-v1"))
    assert found is not None
    assert {port.port: port.protocol for port in found.ports}[7000] is protocol
    messages = [each.message for each in resolution.findings()]
    spoken = "TCP" if protocol is Protocol.TCP else "HTTP"
    assert all(f"treated as {spoken}" in each for each in messages)
    assert len(messages) == (0 if protocol is Protocol.TLS else len(names) - 1)


def test_udp_is_not_proxied() -> None:
    _, resolution = shop(service("udp", "[{port: 53, protocol: UDP, name: dns}]"))
    found = resolution.inbound(("shop", "reviews-v1"))
    assert found is not None
    assert [port.port for port in found.ports] == [9080]
    assert not [each for each in resolution.outbound("shop").clusters if "|53|" in each.name]


def test_there_is_nothing_for_what_has_no_sidecar() -> None:
    _, resolution = shop(
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: bare, namespace: shop, annotations: {sidecar.istio.io/inject: "false"}}
        spec: {containers: [{name: bare, command: [bare]}]}
        """
    )
    assert resolution.inbound(("shop", "bare")) is None
    assert resolution.inbound(("shop", "nobody")) is None
    assert resolution.parts(("shop", "bare")) == ()
    assert ("shop", "bare") not in resolution.proxies()


SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}, namespace: shop}}
spec:
  {selector}
  ingress: [{{port: {{number: {port}, protocol: TCP}}, defaultEndpoint: '127.0.0.1:1'}}]
"""


def test_of_several_sidecars_the_nearest_alone_says_what_reaches_a_workload() -> None:
    nearest = SIDECAR.format(name="b", selector="workloadSelector: {labels: {version: v1}}", port=8080)
    world, resolution = shop(nearest + "---" + SIDECAR.format(name="a", selector="", port=9080))
    mine, other = (resolution.inbound(("shop", name)) for name in ("reviews-v1", "reviews-v2"))
    assert mine is not None
    assert other is not None
    own = world.workload(("shop", "reviews-v1"))
    assert own is not None
    assert {each.name: each.addresses for each in mine.clusters} == {
        "inbound|8080||": (("127.0.0.1", 1),),
        "inbound|9080||": ((own.address, 9080),),
    }
    assert [(port.port, port.protocol) for port in mine.ports] == [
        (8080, Protocol.TCP),
        (9080, Protocol.HTTP),
    ]
    assert [(port.port, port.protocol) for port in other.ports] == [(9080, Protocol.TCP)]


RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: upgrade, namespace: shop}}
spec: {{host: {host}, trafficPolicy: {policy}}}
"""
NO_UPGRADE = "{connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE}}}"
UPGRADE = "{connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}"


@pytest.mark.parametrize(
    ("host", "policy", "spoken"),
    [
        ("reviews", UPGRADE, Upstream.HTTP1),
        ("'*.shop.svc.cluster.local'", UPGRADE, Upstream.HTTP1),
        ("reviews", NO_UPGRADE, Upstream.DECLARED),
        ("ratings", UPGRADE, Upstream.DECLARED),
        (
            "reviews",
            "{portLevelSettings: [{port: {number: 9080}, " + UPGRADE[1:] + "]}",
            Upstream.HTTP1,
        ),
        (
            "reviews",
            "{portLevelSettings: [{port: {number: 9}, " + UPGRADE[1:] + "]}",
            Upstream.DECLARED,
        ),
    ],
)
def test_an_application_of_http_1_is_called_so_where_proxies_are_told_to_speak_http_2(
    host: str, policy: str, spoken: Upstream
) -> None:
    _, resolution = shop(RULE.format(host=host, policy=policy))
    found = resolution.inbound(("shop", "reviews-v1"))
    assert found is not None
    assert [each.pool.upstream for each in found.clusters] == [spoken]


MESH = """
apiVersion: tulle.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {h2UpgradePolicy: UPGRADE}
"""


@pytest.mark.parametrize(
    ("rules", "towards"),
    [
        ((), Upstream.HTTP2),
        (
            (RULE.format(host="reviews", policy=UPGRADE.replace("UPGRADE", "DO_NOT_UPGRADE")),),
            Upstream.DECLARED,
        ),
        (
            (RULE.format(host="reviews", policy="{connectionPool: {http: {useClientProtocol: true}}}"),),
            Upstream.AS_CALLER,
        ),
    ],
)
def test_the_mesh_may_upgrade_by_default(rules: tuple[str, ...], towards: Upstream) -> None:
    _, resolution = shop(MESH, service("later", "[{port: 80, targetPort: 8080, name: x}]"), *rules)
    clusters = {each.name: each for each in resolution.outbound("shop").clusters}
    assert clusters["outbound|9080||reviews.shop.svc.cluster.local"].pool.upstream is towards
    assert clusters["outbound|80||later.shop.svc.cluster.local"].pool.upstream is Upstream.DECLARED
    found = resolution.inbound(("shop", "reviews-v1"))
    assert found is not None
    spoken = {each.name: each.pool.upstream for each in found.clusters}
    assert spoken == {"inbound|8080||": Upstream.DECLARED, "inbound|9080||": Upstream.HTTP1}
