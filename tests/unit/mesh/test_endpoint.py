from tests.unit.mesh.worldly import addresses, publish, report, report_all, world_of
from tulle.mesh.service.endpoint import EndpointQuery
from tulle.mesh.view import Origin
from tulle.model.agentapi import Instance, Phase

HOST = "reviews.shop.svc.cluster.local"
SHOP = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: shop, namespace: shop}
spec:
  services:
    reviews:
      port: 9080
      command: reviews
      versions:
        v1: {locality: eu/a}
        v2: {replicas: 2, labels: {sidecar.istio.io/inject: "false"}}
"""


def test_only_ready_instances_are_endpoints() -> None:
    world = world_of(SHOP)
    assert addresses(world, HOST, 9080) == []
    report(world, "shop", "reviews-v1")
    report(world, "shop", "reviews-v2-1", ready=False)
    report(world, "shop", "somebody-else")
    assert addresses(world, HOST, 9080) == ["shop/reviews-v1:9080"]
    world.report(("shop", "reviews-v1"), None, False)
    assert addresses(world, HOST, 9080) == []


def test_a_subset_narrows_by_labels() -> None:
    world = world_of(SHOP)
    report_all(world)
    assert addresses(world, HOST, 9080, version="v2") == ["shop/reviews-v2-1:9080", "shop/reviews-v2-2:9080"]
    assert addresses(world, HOST, 9080, version="v3") == []
    assert addresses(world, HOST, 9080, app="other") == []


def test_endpoints_say_what_a_client_needs() -> None:
    world = world_of(SHOP)
    report_all(world)
    query = EndpointQuery(HOST, 9080, "v1", (("version", "v1"),))
    found = world.endpoints(query)
    assert found.name == "outbound|9080|v1|reviews.shop.svc.cluster.local"
    assert found.origin == Origin("App", "shop", "shop", "spec.services.reviews.port")
    (endpoint,) = found.endpoints
    assert (endpoint.mtls, endpoint.locality, endpoint.priority) == (True, ("eu", "a", ""), 0)
    plain = world.endpoints(EndpointQuery(HOST, 9080, "v2", (("version", "v2"),))).endpoints
    assert [each.mtls for each in plain] == [False, False]
    assert list(plain) == sorted(plain, key=lambda each: (each.address, each.port))


def test_a_lapsed_lease_is_the_last_choice_and_never_gone() -> None:
    world = world_of(SHOP)
    report_all(world)
    report(world, "shop", "reviews-v1", lapsed=True)
    query = EndpointQuery(HOST, 9080)
    priorities = {each.workload: each.priority for each in world.endpoints(query).endpoints}
    assert priorities == {"shop/reviews-v1": 1, "shop/reviews-v2-1": 0, "shop/reviews-v2-2": 0}
    for name in ("reviews-v2-1", "reviews-v2-2"):
        report(world, "shop", name, lapsed=True)
    assert [each.priority for each in world.endpoints(query).endpoints] == [0, 0, 0]


def test_nothing_for_a_service_or_port_that_is_not_there() -> None:
    world = world_of(SHOP)
    report_all(world)
    assert addresses(world, HOST, 1) == []
    assert addresses(world, "nobody", 9080) == []


def test_named_ports_are_those_of_each_workload() -> None:
    world = world_of(
        """
        apiVersion: v1
        kind: Service
        metadata: {name: web, namespace: shop}
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: one, namespace: shop, labels: {app: web}}
        spec: {containers: [{name: c, command: [run], ports: [{containerPort: 8001, name: http}]}]}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: two, namespace: shop, labels: {app: web}}
        spec: {containers: [{name: c, command: [run], ports: [{containerPort: 8002, name: http}]}]}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: three, namespace: shop, labels: {app: web}}
        spec: {containers: [{name: c, command: [run]}]}
        """
    )
    report_all(world)
    assert addresses(world, "web.shop.svc.cluster.local", 80) == ["shop/one:8001", "shop/two:8002"]


def test_not_ready_addresses_where_they_are_wanted() -> None:
    text = """
        apiVersion: v1
        kind: Service
        metadata: {name: web, namespace: shop}
        spec: {selector: {app: web}, ports: [{port: 80}], publishNotReadyAddresses: true}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: web, namespace: shop, labels: {app: web}}
        spec: {containers: [{name: c, command: [run]}]}
        """
    world = world_of(text)
    host = "web.shop.svc.cluster.local"
    assert addresses(world, host, 80) == []
    report(world, "shop", "web", ready=False)
    assert addresses(world, host, 80) == ["shop/web:80"]
    ended = Instance(namespace="shop", name="web", phase=Phase.SUCCEEDED, ready=False)
    world.report(("shop", "web"), ended, False)
    assert addresses(world, host, 80) == []


def test_written_endpoints_of_a_service_without_selector() -> None:
    world = world_of(
        """
        apiVersion: v1
        kind: Service
        metadata: {name: legacy, namespace: shop}
        spec: {ports: [{port: 80, name: http}, {port: 90, name: admin}]}
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: legacy-1, namespace: shop, labels: {kubernetes.io/service-name: legacy}}
        addressType: IPv4
        endpoints:
        - {addresses: [192.0.2.1], zone: a}
        - {addresses: [192.0.2.2], conditions: {ready: false}}
        - {addresses: [192.0.2.3], conditions: {ready: true}}
        ports: [{name: http, port: 8080}]
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: legacy-2, namespace: shop, labels: {kubernetes.io/service-name: legacy}}
        addressType: IPv6
        endpoints: [{addresses: ["2001:db8::1"]}]
        ports: [{name: http, port: 8080}]
        ---
        apiVersion: v1
        kind: Endpoints
        metadata: {name: legacy, namespace: shop}
        subsets:
        - addresses: [{ip: 192.0.2.9}]
          notReadyAddresses: [{ip: 192.0.2.8}]
          ports: [{name: admin, port: 9}]
        """
    )
    host = "legacy.shop.svc.cluster.local"
    assert addresses(world, host, 80) == ["192.0.2.1:8080", "192.0.2.3:8080"]
    assert addresses(world, host, 90) == ["192.0.2.9:9"]
    (first, _) = world.endpoints(EndpointQuery(host, 80)).endpoints
    assert (first.locality, first.mtls) == (("", "a", ""), False)
    assert addresses(world, host, 80, version="v1") == []


def test_a_flip_of_one_readiness_touches_its_own_cells_alone() -> None:
    world = world_of(SHOP)
    publish(world, SHOP.replace("reviews", "ratings").replace("name: shop,", "name: other,"))
    report_all(world)
    queries = [
        EndpointQuery(host, 9080, subset, labels)
        for host in world.service_hosts()
        for subset, labels in (("", ()), ("v1", (("version", "v1"),)), ("v2", (("version", "v2"),)))
    ]
    before = [world.endpoints(query) for query in queries]
    assert len(queries) == 6
    counted = world.graph.computed.copy()
    report(world, "shop", "reviews-v1", ready=False)
    after = [world.endpoints(query) for query in queries]
    assert world.graph.computed - counted == {"presence": 1, "endpoints": 2}
    changed = [query.name for query, old, new in zip(queries, before, after, strict=True) if old != new]
    assert changed == [f"outbound|9080||{HOST}", f"outbound|9080|v1|{HOST}"]


def test_what_does_not_concern_endpoints_recomputes_none() -> None:
    world = world_of(SHOP)
    report_all(world)
    query = EndpointQuery(HOST, 9080)
    before = world.endpoints(query)
    counted = world.graph.computed.copy()
    restarted = Instance(namespace="shop", name="reviews-v1", phase=Phase.RUNNING, ready=True, restarts=3)
    world.report(("shop", "reviews-v1"), restarted, False)
    publish(world, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}, data: {a: b}}")
    assert world.endpoints(query) == before
    assert world.graph.computed - counted == {"presence": 1, "namespaces": 1}
