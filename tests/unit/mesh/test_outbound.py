"""What a namespace sees when it calls out, without any route."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.mesh.routed import ask, shop, table
from tulle.mesh.view import (
    Cluster,
    Discovery,
    HttpChain,
    Outbound,
    OutboundListener,
    Protocol,
    TcpChain,
)

REVIEWS = "outbound|9080||reviews.shop.svc.cluster.local"


def listener(view: Outbound, name: str) -> OutboundListener:
    return next(each for each in view.listeners if each.name == name)


def cluster(view: Outbound, name: str) -> Cluster:
    return next(each for each in view.clusters if each.name == name)


def test_an_http_port_has_one_listener_and_one_table_for_all_services() -> None:
    _, resolution = shop()
    view = resolution.outbound("shop")

    common = listener(view, "0.0.0.0_9080")
    assert common.address == "0.0.0.0"
    (inside,) = common.chains
    assert inside.destination_cidrs == ("240.240.0.0/16",)
    assert inside.then == HttpChain("9080", "outbound_0.0.0.0_9080")
    assert common.otherwise.then == TcpChain(common.otherwise.then.clusters, "PassthroughCluster")  # type: ignore[union-attr]
    assert [host.name for host in table(view, "9080").virtual_hosts] == [
        "details.shop.svc.cluster.local:9080",
        "ratings.shop.svc.cluster.local:9080",
        "reviews.shop.svc.cluster.local:9080",
        "allow_any",
    ]


def test_a_service_answers_to_its_short_name_in_its_own_namespace_only() -> None:
    world, resolution = shop()
    address = world.service("reviews.shop.svc.cluster.local").addresses[0]  # type: ignore[union-attr]
    long = ("reviews.shop.svc.cluster.local", "reviews.shop.svc", "reviews.shop", address)

    for host in (*long, "reviews"):
        assert ask(resolution.outbound("shop"), "9080", host) == REVIEWS
    for host in long:
        assert ask(resolution.outbound("front"), "9080", host) == REVIEWS
    assert ask(resolution.outbound("front"), "9080", "reviews") == "PassthroughCluster"


def test_unknown_hosts_pass_through_or_are_blocked() -> None:
    _, open_mesh = shop()
    assert ask(open_mesh.outbound("shop"), "9080", "example.com") == "PassthroughCluster"
    assert open_mesh.outbound("shop").allow_any

    _, closed = shop(
        """
        apiVersion: tulle.dev/v1
        kind: MeshConfig
        metadata: {name: mesh}
        spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
        """
    )
    view = closed.outbound("shop")
    assert not view.allow_any
    assert ask(view, "9080", "example.com") == "502"
    assert table(view, "9080").virtual_hosts[-1].name == "block_all"
    # What is refused is told so: outside destinations of an HTTP port get the same answer.
    assert listener(view, "0.0.0.0_9080").otherwise.then == HttpChain("9080", "outbound_0.0.0.0_9080")


def test_tcp_and_tls_ports_have_a_listener_for_the_virtual_address_that_looks_at_nothing() -> None:
    world, resolution = shop()
    view = resolution.outbound("front")
    for name, port in (("orders", 7000), ("vault", 8443)):
        host = f"{name}.shop.svc.cluster.local"
        address = world.service(host).addresses[0]  # type: ignore[union-attr]
        found = listener(view, f"{address}_{port}")
        assert (found.address, found.port, found.chains, found.inspect_seconds) == (address, port, (), None)
        assert isinstance(found.otherwise.then, TcpChain)
        assert [each.cluster for each in found.otherwise.then.clusters] == [f"outbound|{port}||{host}"]


def test_an_undeclared_port_is_looked_at_for_a_tenth_of_a_second() -> None:
    world, resolution = shop()
    view = resolution.outbound("front")
    address = world.service("details.shop.svc.cluster.local").addresses[0]  # type: ignore[union-attr]
    found = listener(view, f"{address}_9080")
    (spoken,) = found.chains
    assert spoken.application == "http"
    assert spoken.then == HttpChain("9080", f"outbound_{address}_9080")
    assert isinstance(found.otherwise.then, TcpChain)
    assert found.inspect_seconds == 0.1
    assert ask(view, "9080", "details.shop") == "outbound|9080||details.shop.svc.cluster.local"


def test_clusters_say_how_to_speak_and_to_whom() -> None:
    _, resolution = shop()
    view = resolution.outbound("front")
    found = cluster(view, "outbound|9080||ratings.shop.svc.cluster.local")
    assert (found.discovery, found.protocol) == (Discovery.EDS, Protocol.GRPC)
    assert found.mtls is not None
    assert found.mtls.identities == ("spiffe://cluster.local/ns/shop/sa/raters",)
    assert found.mtls.alpn == "tulle"
    assert found.mtls.sni == "outbound_.9080_._.ratings.shop.svc.cluster.local"
    assert found.endpoint_set == ""

    # A port that may carry anything is not fed by an HTTP connection manager alone.
    for name in (
        "outbound|9080||details.shop.svc.cluster.local",
        "outbound|7000||orders.shop.svc.cluster.local",
    ):
        mtls = cluster(view, name).mtls
        assert mtls is not None
        assert mtls.alpn == "tulle"


def test_a_service_without_workloads_has_a_cluster_without_mtls() -> None:
    _, resolution = shop(
        """
        apiVersion: v1
        kind: Service
        metadata: {name: later, namespace: shop}
        spec: {selector: {app: later}, ports: [{port: 80, name: http}]}
        """
    )
    assert cluster(resolution.outbound("shop"), "outbound|80||later.shop.svc.cluster.local").mtls is None


def test_a_name_belongs_to_one_virtual_host() -> None:
    """`shop.front` is the short form of one service and could be the full name of another."""
    _, resolution = shop(
        """
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: clash, namespace: other}
        spec:
          hosts: [example.org]
          http: [{route: [{destination: {host: storefront.front.svc.cluster.local}}]}]
        ---
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: clash-too, namespace: other}
        spec:
          hosts: [example.org]
          http: [{route: [{destination: {host: nobody}}]}]
        """
    )
    view = resolution.outbound("front")
    domains = [domain for host in table(view, "80").virtual_hosts for domain in host.domains]
    assert len(domains) == len(set(domains))
    assert ask(view, "80", "example.org") == "outbound|80||storefront.front.svc.cluster.local"


def test_an_external_name_means_the_service_that_it_names() -> None:
    _, resolution = shop(
        """
        apiVersion: v1
        kind: Service
        metadata: {name: alias, namespace: front}
        spec: {type: ExternalName, externalName: reviews.shop.svc.cluster.local}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: outside, namespace: front}
        spec: {type: ExternalName, externalName: api.example.com}
        """
    )
    view = resolution.outbound("front")
    assert ask(view, "9080", "alias") == REVIEWS
    assert not [each for each in view.clusters if "alias" in each.name or "outside" in each.name]


STATEFUL = """
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec:
  clusterIP: None
  selector: {app: db}
  ports: [{port: 80, targetPort: 8080, name: http}, {port: 5432, name: tcp-sql}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: db, command: [db], ports: [{containerPort: 8080}, {containerPort: 5432}]}]
"""


def test_an_instance_of_a_headless_service_is_called_by_its_own_name() -> None:
    world, resolution = shop(STATEFUL)
    view = resolution.outbound("front")
    first = world.workload(("shop", "db-0"))
    assert first is not None
    name = "outbound|80||db-0.db.shop.svc.cluster.local"
    assert ask(view, "80", "db-0.db.shop") == name
    assert ask(view, "80", first.address) == name
    assert ask(view, "80", "db.shop") == "outbound|80||db.shop.svc.cluster.local"
    own = cluster(view, name)
    assert (own.discovery, own.addresses) == (Discovery.STATIC, ((first.address, 8080),))
    assert own.mtls is not None
    assert own.mtls.identities == (first.identity,)
    assert ask(resolution.outbound("shop"), "80", "db-0.db") == name


def test_tcp_to_an_instance_goes_to_it_through_one_cluster_for_declared_instances_only() -> None:
    world, resolution = shop(STATEFUL)
    view = resolution.outbound("front")
    addresses = tuple(sorted(world.workload(("shop", f"db-{n}")).address for n in range(2)))  # type: ignore[union-attr]
    for address in addresses:
        found = listener(view, f"{address}_5432")
        assert isinstance(found.otherwise.then, TcpChain)
        assert [each.cluster for each in found.otherwise.then.clusters] == [
            "outbound|5432||db.shop.svc.cluster.local"
        ]
        # The instances listen on 8080: HTTP to that address is HTTP of the service's port 80.
        assert listener(view, f"{address}_8080").otherwise.then == HttpChain("80", f"outbound_{address}_8080")
    chosen = cluster(view, "outbound|5432||db.shop.svc.cluster.local")
    assert chosen.discovery is Discovery.ORIGINAL_DESTINATION
    assert chosen.restrict_to == addresses
    assert chosen.mtls is not None
    assert "outbound|5432||db.shop.svc.cluster.local" not in resolution.all_endpoint_queries()


def test_an_instance_without_a_proxy_is_passed_to_in_plaintext() -> None:
    plain = STATEFUL.replace("labels: {app: db}", 'labels: {app: db, sidecar.istio.io/inject: "false"}')
    world, resolution = shop(plain)
    address = world.workload(("shop", "db-0")).address  # type: ignore[union-attr]
    found = listener(resolution.outbound("front"), f"{address}_5432")
    assert isinstance(found.otherwise.then, TcpChain)
    assert found.otherwise.then.clusters[0].cluster == "PassthroughCluster"


def test_the_view_of_a_proxy_puts_its_parts_together() -> None:
    _, resolution = shop()
    view = resolution.resolve(("shop", "reviews-v1"))
    assert view.proxy == "shop/reviews-v1"
    (workload,) = view.workloads
    assert workload.outbound is resolution.outbound("shop")
    assert workload.inbound is resolution.inbound(("shop", "reviews-v1"))
    assert workload.gateway is None
    assert [str(part) for part in resolution.parts(("shop", "reviews-v1"))] == [
        "outbound/shop",
        "inbound/shop/reviews-v1",
    ]
    assert resolution.resolve(("shop", "nobody")).workloads[0] == replace(
        workload, name="nobody", outbound=None, inbound=None
    )


def test_a_service_is_its_address_too_whatever_the_host_header() -> None:
    world, resolution = shop(
        """
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {name: ratings, namespace: shop}
        spec:
          parentRefs: [{group: "", kind: Service, name: ratings}]
          rules: [{matches: [{path: {value: /here}}], backendRefs: [{name: details, port: 9080}]}]
        """
    )
    reviews, ratings, orders = (
        world.service(f"{name}.shop.svc.cluster.local").addresses[0]  # type: ignore[union-attr]
        for name in ("reviews", "ratings", "orders")
    )
    view = resolution.outbound("front")
    assert ask(view, "9080", "www.example.com", destination=reviews) == REVIEWS
    details = "outbound|9080||details.shop.svc.cluster.local"
    assert ask(view, "9080", "www.example.com", "/here", destination=ratings) == details
    assert ask(view, "9080", "www.example.com", "/there", destination=ratings) == "404"
    # Another port of a virtual address is nowhere, also on a connection from when there was one.
    assert ask(view, "9080", "www.example.com", destination=orders) == "503"
    assert ask(view, "9080", "orders.shop", destination=orders) == "503"
    assert ask(view, "9080", "www.example.com", destination="192.0.2.1") == "PassthroughCluster"
    assert (
        ask(view, "9080", "ratings.shop", "/here", destination=reviews) == details
    )  # a known name counts first
