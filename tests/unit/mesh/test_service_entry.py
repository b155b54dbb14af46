"""ServiceEntry and WorkloadEntry: addresses of the mesh, endpoints, who knows of hosts, who answers."""

from __future__ import annotations

from tests.unit.mesh.worldly import addresses, codes, name_table, report_all, world_of
from tulle.mesh.resolve import Resolution
from tulle.mesh.service.endpoint import EndpointQuery
from tulle.mesh.view import Cluster, Discovery, Endpoint, Outbound, OutboundListener, Protocol
from tulle.mesh.world import World

APPS = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: shop, namespace: shop}
spec: {services: {web: {ports: [{port: 8080, name: http}], command: web}}}
---
apiVersion: tulle.dev/v1
kind: App
metadata: {name: other, namespace: other}
spec: {services: {cart: {command: cart}}}
"""


def entry(spec: str, name: str = "outside", namespace: str = "shop", labels: str = "{}") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {namespace}, labels: {labels}}}
spec: {{{spec}}}
"""


def workload_entry(spec: str, name: str, labels: str = "{}") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}, namespace: shop, labels: {labels}}}
spec: {{{spec}}}
"""


REGISTRY_ONLY = """
---
apiVersion: tulle.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
"""


def outbound(world: World, namespace: str = "shop") -> Outbound:
    return Resolution(world).outbound(namespace)


def cluster(view: Outbound, name: str) -> Cluster:
    return next(each for each in view.clusters if each.name == name)


def named(found: Cluster) -> tuple[Endpoint, ...]:
    assert found.named_endpoints is not None
    return found.named_endpoints.endpoints


def listener(view: Outbound, name: str) -> OutboundListener:
    return next(each for each in view.listeners if each.name == name)


TCP = "resolution: DNS, ports: [{number: 9000, name: tcp, protocol: TCP}]"


def test_tcp_services_share_a_port_by_addresses_of_their_own() -> None:
    text = entry(f"hosts: [a.example], {TCP}", "a") + entry(f"hosts: [b.example], {TCP}", "b")
    world = world_of(APPS + text)
    found = name_table(world).addresses
    assert len(found["a.example"]) == len(found["b.example"]) == 1
    assert found["a.example"] != found["b.example"]
    view = outbound(world)
    for host in ("a.example", "b.example"):
        then = listener(view, f"{found[host][0]}_9000").otherwise.then
        assert f"outbound|9000||{host}" in repr(then)
    assert not [each for each in view.listeners if each.name == "0.0.0.0_9000"]


def test_who_has_an_address_of_the_mesh() -> None:
    ports = "ports: [{number: 80, name: http, protocol: HTTP}]"

    def known(spec: str, labels: str = "{}") -> dict[str, tuple[str, ...]]:
        table = name_table(world_of(APPS + entry(f"{spec}, {ports}", labels=labels)))
        return {host: found for host, found in table.addresses.items() if host.endswith(".example")}

    assert known("hosts: [a.example]") == {}  # resolution NONE: its caller knows where it goes
    assert known("hosts: ['*.example'], resolution: STATIC") == {}
    assert known("hosts: [a.example], addresses: [10.1.1.1], resolution: DNS") == {"a.example": ("10.1.1.1",)}
    assert known("hosts: [a.example], addresses: [10.1.1.0/24]") == {}
    opted_out = "{networking.istio.io/enable-autoallocate-ip: 'false'}"
    assert known("hosts: [a.example], resolution: DNS", opted_out) == {}


def test_names_are_asked_for_outside_of_the_mesh() -> None:
    world = world_of(APPS + entry(f"hosts: [A.example], {TCP}"))
    found = cluster(outbound(world), "outbound|9000||a.example")
    assert found.discovery is Discovery.DNS
    assert [(each.address, each.port) for each in named(found)] == [("a.example.outside.cluster.local", 9000)]
    inside = entry(
        f"hosts: [b.example], {TCP}, endpoints: [{{address: 10.1.1.1}},"
        " {address: web.shop.svc.cluster.local, ports: {tcp: 8080}}]"
    )
    found = cluster(outbound(world_of(APPS + inside)), "outbound|9000||b.example")
    assert {(each.address, each.port) for each in named(found)} == {
        ("web.shop.svc.cluster.local", 8080),
        ("10.1.1.1", 9000),
    }


def test_connections_go_where_they_were_going() -> None:
    ports = "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]"
    found = cluster(
        outbound(world_of(APPS + entry(f"hosts: [a.example], {ports}"))), "outbound|80||a.example"
    )
    assert (found.discovery, found.port_override) == (Discovery.ORIGINAL_DESTINATION, 443)


def test_tls_is_told_apart_by_its_server_name_wherever_it_goes() -> None:
    tls = "ports: [{number: 443, name: https, protocol: HTTPS}]"
    text = entry(f"hosts: ['*.a.example'], {tls}", "a") + entry(f"hosts: [b.example], {tls}", "b")
    made = listener(outbound(world_of(APPS + text)), "0.0.0.0_443")
    assert [chain.server_names for chain in made.chains] == [("*.a.example",), ("b.example",)]
    assert "PassthroughCluster" in repr(made.otherwise.then)
    refused = listener(outbound(world_of(APPS + text + REGISTRY_ONLY)), "0.0.0.0_443")
    assert "BlackHoleCluster" in repr(refused.otherwise.then)


def test_a_range_of_addresses_and_a_whole_port() -> None:
    ranged = entry(
        "hosts: [db.example], addresses: [10.1.1.0/24], ports: [{number: 27017, name: db, protocol: MONGO}]"
    )
    made = listener(outbound(world_of(APPS + ranged)), "0.0.0.0_27017")
    assert [chain.destination_cidrs for chain in made.chains] == [("10.1.1.0/24",)]
    whole = entry("hosts: [db.example], ports: [{number: 5000, name: db, protocol: TCP}]")
    made = listener(outbound(world_of(APPS + whole + REGISTRY_ONLY)), "0.0.0.0_5000")
    assert "outbound|5000||db.example" in repr(made.otherwise.then)


def test_an_unknown_host_is_told_so_even_if_no_service_has_port_80() -> None:
    view = outbound(world_of(APPS + REGISTRY_ONLY))
    assert "80" in {each.name for each in view.route_tables}
    assert listener(view, "0.0.0.0_80").otherwise.name == "outside"
    assert "0.0.0.0_80" not in {each.name for each in outbound(world_of(APPS)).listeners}


def test_who_knows_of_it() -> None:
    text = APPS + entry(f"hosts: [a.example], {TCP}, exportTo: ['.']")
    world = world_of(text)
    for namespace, knows in (("shop", True), ("other", False)):
        view = outbound(world, namespace)
        assert knows == any("a.example" in each.name for each in view.clusters)
        assert knows == any(each.port == 9000 for each in view.listeners)
    named = outbound(world_of(APPS + entry(f"hosts: [a.example], {TCP}, exportTo: [other]")), "other")
    assert any("a.example" in each.name for each in named.clusters)
    assert any(each.port == 9000 for each in named.listeners)


STATIC = "resolution: STATIC, location: MESH_INTERNAL, ports: [{number: 80, name: http, protocol: HTTP}]"


def test_written_endpoints() -> None:
    world = world_of(
        APPS
        + entry(
            f"hosts: [a.example], {STATIC}, endpoints: [{{address: 10.1.1.1, ports: {{http: 8080}},"
            " locality: us/east/a/r1, weight: 3, labels: {version: v1}, serviceAccount: gold},"
            " {address: 10.1.1.2}]"
        )
    )
    first, second = world.endpoints(EndpointQuery("a.example", 80)).endpoints
    assert (first.port, first.locality, first.weight, first.mtls) == (8080, ("us", "east", "a/r1"), 3, True)
    assert (second.port, second.weight, second.mtls) == (80, 1, False)
    assert addresses(world, "a.example", 80, version="v1") == ["outside/0:8080"]
    assert world.server_identities("a.example") == ("spiffe://cluster.local/ns/shop/sa/gold",)


def test_a_selector_means_workloads_and_workload_entries() -> None:
    world = world_of(
        APPS
        + entry(f"hosts: [a.example], {STATIC}, workloadSelector: {{labels: {{app: web}}}}")
        + workload_entry("address: 10.3.3.1, serviceAccount: old", "vm1", "{app: web}")
        + workload_entry("address: 10.3.3.2, labels: {app: other}", "vm2")
    )
    report_all(world)
    assert addresses(world, "a.example", 80) == ["shop/vm1:80", "shop/web:80"]
    assert world.server_identities("a.example") == (
        "spiffe://cluster.local/ns/shop/sa/old",
        "spiffe://cluster.local/ns/shop/sa/web",
    )
    # A Service's selector means them too.
    assert "shop/vm1:8080" in addresses(world, "web.shop.svc.cluster.local", 8080)


def test_no_mtls_is_spoken_to_what_is_not_of_the_mesh() -> None:
    spec = STATIC.replace("MESH_INTERNAL", "MESH_EXTERNAL")
    world = world_of(APPS + entry(f"hosts: [a.example], {spec}, workloadSelector: {{labels: {{app: web}}}}"))
    report_all(world)
    assert [each.mtls for each in world.endpoints(EndpointQuery("a.example", 80)).endpoints] == [False]
    assert world.server_identities("a.example") == ()


def test_of_two_for_one_host_the_oldest_holds_and_the_other_is_told() -> None:
    text = entry(f"hosts: [a.example], {TCP}", "a") + entry(f"hosts: [a.example], {TCP}", "b")
    world = world_of(APPS + text)
    assert [(code, field) for code, _, field in codes(world)] == [("host-conflict", "spec.hosts[0]")]
    service = world.service("a.example")
    assert service is not None
    assert service.key.name == "a"


def test_protocols() -> None:
    ports = (
        "ports: [{number: 1, name: a, protocol: grpc}, {number: 2, name: b, protocol: HTTPS},"
        " {number: 3, name: c}, {number: 3306, name: d}, {number: 5, name: e, protocol: HTTP_PROXY}]"
    )
    service = world_of(APPS + entry(f"hosts: [a.example], {ports}")).service("a.example")
    assert service is not None
    assert [port.protocol for port in service.ports] == [
        Protocol.GRPC,
        Protocol.TLS,
        Protocol.DETECT,
        Protocol.TCP,
        Protocol.HTTP,
    ]
