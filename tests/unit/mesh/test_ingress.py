from tests.unit.mesh.worldly import addresses, names, publish, report_all, world_of
from tulle.mesh.view import Protocol

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: shop, namespace: shop}
spec:
  gatewayClassName: tulle
  infrastructure: {labels: {team: web}}
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: b, port: 443, protocol: TLS, tls: {mode: Passthrough}, hostname: b.example.com}
  - {name: a, port: 443, protocol: TLS, tls: {mode: Passthrough}, hostname: a.example.com}
"""


def istio_gateway(name: str, selector: str, servers: str, namespace: str = "shop") -> str:
    return f"""
        apiVersion: networking.istio.io/v1
        kind: Gateway
        metadata: {{name: {name}, namespace: {namespace}}}
        spec: {{selector: {selector}, servers: {servers}}}
        ---
        """


HTTP = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]"
TCP = "[{port: {number: 7000, name: tcp, protocol: TCP}, hosts: ['*']}]"


def test_a_gateway_of_our_class_has_a_proxy_of_its_own() -> None:
    world = world_of(GATEWAY)
    (gateway,) = world.gateways()
    assert (gateway.namespace, gateway.name, gateway.gateway, gateway.proxy) == (
        "shop",
        "shop-istio",
        True,
        True,
    )
    assert gateway.identity == "spiffe://cluster.local/ns/shop/sa/shop-istio"
    assert dict(gateway.labels)["gateway.networking.k8s.io/gateway-name"] == "shop"
    assert dict(gateway.labels)["team"] == "web"
    assignment = world.assignment(gateway.id)
    assert assignment is not None
    assert (assignment.gateway, assignment.containers, assignment.ports) == (True, (), (80, 443))


def test_a_gateway_can_be_called_by_name() -> None:
    world = world_of(GATEWAY)
    report_all(world)
    service = world.find_service("shop-istio", "shop")
    assert service is not None and service.gateway
    assert [(port.number, port.protocol) for port in service.ports] == [
        (80, Protocol.HTTP),
        (443, Protocol.TLS),
    ]
    assert addresses(world, service.host, 80) == ["shop/shop-istio:80"]
    assert world.server_identities(service.host) == ()


def test_a_listener_more_does_not_restart_a_gateway() -> None:
    world = world_of(GATEWAY)
    before = world.assignment(("shop", "shop-istio"))
    publish(world, GATEWAY + "  - {name: c, port: 8080, protocol: HTTP}\n")
    after = world.assignment(("shop", "shop-istio"))
    assert before is not None and after is not None
    assert after.ports == (80, 443, 8080)
    assert after.incarnation == before.incarnation


def test_a_gateway_of_another_controller_is_left_alone() -> None:
    world = world_of(GATEWAY.replace("ClassName: tulle", "ClassName: mine"))
    assert world.workload_ids() == ()
    assert world.service_hosts() == ()
    gateway_class = """
        apiVersion: gateway.networking.k8s.io/v1
        kind: GatewayClass
        metadata: {name: mine}
        spec: {controllerName: tulle.dev/gateway-controller}
        """
    publish(world, gateway_class)
    assert names(world, "shop") == ["shop-istio"]
    publish(world, gateway_class.replace("tulle.dev", "example.com"))
    assert names(world, "shop") == []
    assert world.handles_class("tulle") and not world.handles_class("mine")


def test_the_class_of_istios_documentation_is_ours_unless_somebody_declares_it_his() -> None:
    world = world_of(GATEWAY.replace("ClassName: tulle", "ClassName: istio"))
    assert names(world, "shop") == ["shop-istio"]
    publish(
        world,
        """
        apiVersion: gateway.networking.k8s.io/v1
        kind: GatewayClass
        metadata: {name: istio}
        spec: {controllerName: istio.io/gateway-controller}
        """,
    )
    assert names(world, "shop") == []


def test_istio_selectors_share_a_proxy_in_the_root_namespace() -> None:
    world = world_of(
        istio_gateway("one", "{istio: ingressgateway}", HTTP)
        + istio_gateway("two", "{app: istio-ingressgateway}", TCP, "other")
        + istio_gateway("out", "{istio: egressgateway}", HTTP)
        + istio_gateway("own", "{istio: own-gateway}", HTTP)
        + istio_gateway("all", "{}", HTTP)
    )
    assert names(world, "istio-system") == ["istio-egressgateway", "istio-ingressgateway", "own-gateway"]
    ingress = world.workload(("istio-system", "istio-ingressgateway"))
    assert ingress is not None
    assert dict(ingress.labels) == {"istio": "ingressgateway", "app": "istio-ingressgateway"}
    assert ingress.identity == "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway"
    service = world.service("istio-ingressgateway.istio-system.svc.cluster.local")
    assert service is not None
    assert [(port.number, port.protocol) for port in service.ports] == [
        (80, Protocol.HTTP),
        (7000, Protocol.TCP),
    ]
    report_all(world)
    assert addresses(world, service.host, 7000) == ["istio-system/istio-ingressgateway:7000"]


def test_contradicting_selectors_get_proxies_of_their_own() -> None:
    world = world_of(
        istio_gateway("a", "{app: gate, tier: one}", HTTP) + istio_gateway("b", "{app: gate, tier: two}", TCP)
    )
    first, second = names(world, "istio-system")
    assert first == "gate" and second.startswith("gate-")


def test_a_selector_that_a_workload_matches_implies_nothing() -> None:
    world = world_of(istio_gateway("one", "{istio: ingressgateway}", HTTP))
    assert names(world, "istio-system") == ["istio-ingressgateway"]
    publish(
        world,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: gate, namespace: other, labels: {istio: ingressgateway}}
        spec: {containers: [{name: c, command: [run]}]}
        """,
    )
    assert names(world, "istio-system") == []
    assert world.gateways() == ()
