from tests.unit.mesh.worldly import codes, publish, world_of
from tulle.mesh.declaration import Settings
from tulle.mesh.view import Protocol

SHOP = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: shop, namespace: shop}
spec:
  services:
    reviews:
      ports: [{port: 80, targetPort: 9080, name: http}, {port: 7000, name: log, protocol: udp}]
      command: reviews
      versions: {v1: {}, v2: {serviceAccount: gold}}
    traffic: {command: traffic}
"""
REVIEWS = "reviews.shop.svc.cluster.local"


def test_an_app_gives_a_service_for_what_has_ports() -> None:
    world = world_of(SHOP)
    assert world.service_hosts() == (REVIEWS,)
    service = world.service(REVIEWS)
    assert service is not None
    assert [(port.number, port.target, port.protocol) for port in service.ports] == [
        (80, 9080, Protocol.HTTP),
        (7000, 7000, Protocol.UDP),
    ]
    assert service.selector == (("app", "reviews"),)
    assert len(service.addresses) == 1
    assert service.origin.field == "spec.services.reviews"


def test_a_service_is_found_by_every_name() -> None:
    world = world_of(SHOP)
    for name in ("reviews", "reviews.shop", "reviews.shop.svc", REVIEWS, "Reviews.Shop.svc.cluster.local."):
        assert world.find_service(name, "shop") is not None, name
    assert world.find_service("reviews", "other") is None
    assert world.find_service("reviews.shop", "other") is not None
    assert world.find_service("example.com", "shop") is None


def test_servers_identities_come_from_declared_workloads() -> None:
    world = world_of(SHOP)
    assert world.server_identities(REVIEWS) == (
        "spiffe://cluster.local/ns/shop/sa/gold",
        "spiffe://cluster.local/ns/shop/sa/reviews",
    )
    assert world.server_identities("nothing") == ()


def test_services_of_a_workload() -> None:
    world = world_of(SHOP)
    assert [each.host for each in world.services_of(("shop", "reviews-v1"))] == [REVIEWS]
    assert world.services_of(("shop", "traffic")) == ()
    assert world.services_of(("shop", "nobody")) == ()


def kubernetes_service(spec: str, name: str = "web") -> str:
    return f"""
        apiVersion: v1
        kind: Service
        metadata: {{name: {name}, namespace: shop}}
        spec: {spec}
        ---
        """


WEB = "web.shop.svc.cluster.local"
POD = """
        apiVersion: v1
        kind: Pod
        metadata: {name: web, namespace: shop, labels: {app: web}}
        spec: {containers: [{name: c, command: [run], ports: [{containerPort: 8080, name: web}]}]}
        ---
        """


def test_kinds_of_kubernetes_services() -> None:
    world = world_of(
        kubernetes_service("{clusterIP: None, selector: {app: web}, ports: [{port: 80}]}", "headless")
        + kubernetes_service("{type: ExternalName, externalName: Example.com.}", "alias")
        + kubernetes_service("{ports: [{port: 80}]}", "written")
        + kubernetes_service("{selector: {app: web}, ports: [{port: 80, targetPort: web}]}")
        + POD
    )
    headless, alias, written, web = (
        world.find_service(name, "shop") for name in ("headless", "alias", "written", "web")
    )
    assert headless is not None and headless.headless and headless.addresses == ()
    assert alias is not None and alias.external_name == "example.com" and alias.addresses == ()
    assert written is not None and written.selector is None and written.addresses
    assert web is not None and world.target_ports(("shop", "web"), web.host, 80) == 8080
    assert world.target_ports(("shop", "web"), web.host, 81) is None
    assert codes(world) == []


def test_a_written_address_inside_the_service_network_is_honoured() -> None:
    settings = Settings(service_cidr="10.9.0.0/24")
    world = world_of(
        kubernetes_service("{clusterIP: 10.9.0.77, ports: [{port: 80}]}")
        + kubernetes_service("{clusterIP: 10.1.0.1, ports: [{port: 80}]}", "outside"),
        settings,
    )
    web, outside = world.find_service("web", "shop"), world.find_service("outside", "shop")
    assert web is not None and web.addresses == ("10.9.0.77",)
    assert outside is not None and outside.addresses[0].startswith("10.9.0.")
    assert codes(world) == [("address-not-honoured", 11, "spec.clusterIP")]


def test_no_virtual_address_left() -> None:
    world = world_of(
        kubernetes_service("{ports: [{port: 80}]}") + kubernetes_service("{ports: [{port: 80}]}", "other"),
        Settings(service_cidr="10.9.0.0/30"),
    )
    assert [code for code, _, _ in codes(world)] == ["no-address-left"]


def test_a_selector_that_selects_nothing_and_an_unknown_target_port() -> None:
    world = world_of(kubernetes_service("{selector: {app: web}, ports: [{port: 80, targetPort: nope}]}"))
    assert codes(world) == [("selects-nothing", 5, "spec.selector")]
    publish(world, POD)
    assert codes(world) == [("unknown-target-port", 5, "spec.ports[0].targetPort")]


def test_two_services_with_one_name() -> None:
    world = world_of(SHOP)
    publish(world, kubernetes_service("{ports: [{port: 1}]}", "reviews"))
    service = world.service(REVIEWS)
    assert service is not None and service.key.kind == "Service"
    assert [code for code, _, _ in codes(world)] == ["duplicate-service"]


def test_tcp_comes_before_udp_on_one_number() -> None:
    world = world_of(
        kubernetes_service("{ports: [{port: 53, name: a, protocol: UDP}, {port: 53, name: tcp-b}]}")
    )
    service = world.service(WEB)
    assert service is not None
    port = service.port(53)
    assert port is not None and port.protocol is Protocol.TCP


def test_ports_of_the_proxies_are_reserved() -> None:
    world = world_of("""
apiVersion: tulle.dev/v1
kind: App
metadata: {name: shop, namespace: shop}
spec:
  services:
    out: {port: 15001, command: out}
    in: {ports: [{port: 80, targetPort: 15006, name: http}], command: in}
    log: {ports: [{port: 15001, name: log, protocol: udp}], command: log}
    own: {port: 15007, command: own}
    well: {port: 15000, command: well}
""")
    found = [(each.field, each.message) for each in world.problems() if each.code == "reserved-port"]
    assert sorted(found) == [
        ("spec.services.in.ports[0]", "port 15006 belongs to the proxies: nothing else is reached there"),
        ("spec.services.out.port", "port 15001 belongs to the proxies: nothing else is reached there"),
        ("spec.services.own.port", "port 15007 belongs to the proxies: nothing else is reached there"),
    ]
