"""What a workload without an Envoy sees whose gRPC library is its xDS client."""

from __future__ import annotations

from tests.unit.mesh.routed import SHOP
from tests.unit.mesh.worldly import publish, world_of
from tulle.mesh.resolve import Part, PartKind, Resolution
from tulle.mesh.scope import Scope
from tulle.mesh.view import Balancing, Discovery, Proxyless, Target
from tulle.mesh.world import World

CALLER = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: caller, namespace: shop}
spec:
  services:
    caller: {command: caller, proxy: grpc}
    bare: {command: bare, proxy: none}
"""
RATINGS = "ratings.shop.svc.cluster.local"


def mesh(more: str = "") -> tuple[World, Resolution]:
    world = world_of("---".join(filter(None, (SHOP, CALLER, more))))
    return world, Resolution(world)


def targets(client: Proxyless) -> dict[str, Target]:
    return {target.table.name: target for target in client.targets}


def pod(annotations: str, namespace: str = "shop") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: pod, namespace: {namespace}, annotations: {{{annotations}}}}}
spec: {{containers: [{{name: main, command: [run]}}]}}
"""


def test_a_workload_may_be_its_own_client_or_have_no_proxy_at_all() -> None:
    world, resolution = mesh()
    caller = world.workload(("shop", "caller"))
    assert caller is not None
    assert (caller.proxy, caller.proxyless) == (False, True)
    assert resolution.parts(("shop", "caller")) == (Part(PartKind.PROXYLESS, Scope("shop")),)
    assert resolution.parts(("shop", "bare")) == ()
    assert ("shop", "caller") in resolution.proxies()
    assignment = world.assignment(("shop", "caller"))
    assert assignment is not None
    assert (assignment.proxy, assignment.proxyless) == (False, True)


def test_a_pod_says_so_as_with_istio() -> None:
    for written, expected in (
        ("inject.istio.io/templates: grpc-agent", (False, True)),
        ("inject.istio.io/templates: 'custom, grpc-simple'", (False, True)),
        ("inject.istio.io/templates: sidecar", (True, False)),
        ("inject.istio.io/templates: grpc-agent, sidecar.istio.io/inject: 'false'", (False, False)),
        ("", (True, False)),
    ):
        found = world_of(pod(written)).workload(("shop", "pod"))
        assert found is not None
        assert (found.proxy, found.proxyless) == expected, written


def test_a_namespace_without_injection_configures_nobody() -> None:
    world = world_of(pod("inject.istio.io/templates: grpc-agent"))
    publish(
        world,
        """
        apiVersion: v1
        kind: Namespace
        metadata: {name: shop, labels: {istio-injection: disabled}}
        """,
    )
    found = world.workload(("shop", "pod"))
    assert found is not None
    assert not found.proxyless


def test_each_port_is_a_target_under_every_name_of_the_service() -> None:
    _, resolution = mesh()
    found = targets(resolution.proxyless("shop"))
    assert found.keys() == {
        f"outbound|9080||{name}.shop.svc.cluster.local" for name in ("reviews", "ratings", "details")
    } | {"outbound|80||storefront.front.svc.cluster.local"}
    ratings = found[f"outbound|9080||{RATINGS}"]
    assert ratings.names == (f"{RATINGS}:9080", "ratings.shop.svc:9080", "ratings.shop:9080", "ratings:9080")
    (host,) = ratings.table.virtual_hosts
    assert host.domains == ("*",)
    elsewhere = targets(resolution.proxyless("front"))[f"outbound|9080||{RATINGS}"]
    assert "ratings:9080" not in elsewhere.names


def test_clusters_are_plaintext_and_take_turns() -> None:
    _, resolution = mesh()
    sidecar = {each.name: each for each in resolution.outbound("shop").clusters}
    for each in resolution.proxyless("shop").clusters:
        found = (each.discovery, each.balancing.algorithm, each.mtls)
        assert found == (Discovery.EDS, Balancing.ROUND_ROBIN, None)
        assert each.name in sidecar
    part = Part(PartKind.PROXYLESS, Scope("shop"))
    outbound = Part(PartKind.OUTBOUND, Scope("shop"))
    assert resolution.endpoint_queries(part) == resolution.endpoint_queries(outbound)


def test_routes_are_those_of_a_sidecar_in_either_language() -> None:
    world, resolution = mesh(
        """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ratings, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: ratings}]
  rules: [{backendRefs: [{name: reviews, port: 9080, weight: 3}, {name: nobody, port: 9080}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details, namespace: shop}
spec:
  hosts: [details]
  http: [{route: [{destination: {host: ratings}}]}]
"""
    )
    client = resolution.proxyless("shop")
    found = targets(client)
    for table in resolution.outbound("shop").route_tables:
        for host in table.virtual_hosts:
            target = found.get(f"outbound|{table.name}||{host.name.partition(':')[0]}")
            assert (target is None) == (host.domains == ("*",))
            assert target is None or target.table.virtual_hosts[0].routes == host.routes
    assert client.missing == ("MissingBackend",)
    assert resolution.resolve(("shop", "caller")).workloads[0].proxyless == client
    world.resources.replace({})
    assert resolution.proxyless("shop").missing == ()


def test_an_instance_of_a_headless_service_has_its_name_alone_in_envoy() -> None:
    """Its cluster is static, which gRPC does not know; the service itself is a target like any other."""
    world = world_of(
        """
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: grpc, port: 5000}]}
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
    spec: {containers: [{name: db, command: [db], ports: [{containerPort: 5000}]}]}
"""
    )
    client = Resolution(world).proxyless("shop")
    assert [target.table.name for target in client.targets] == ["outbound|5000||db.shop.svc.cluster.local"]
    assert [cluster.name for cluster in client.clusters] == ["outbound|5000||db.shop.svc.cluster.local"]
