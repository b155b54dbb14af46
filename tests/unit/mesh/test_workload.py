from tests.unit.mesh.worldly import codes, names, publish, world_of
from tulle.mesh.declaration import Settings
from tulle.model.agentapi import RestartPolicy

POD = "{containers: [{name: c, command: [run], ports: [{containerPort: 80, name: web}]}]"


def deployment(name: str, replicas: int = 1, labels: str = "", pod: str = "", meta: str = "") -> str:
    return f"""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {{name: {name}, namespace: shop}}
        spec:
          replicas: {replicas}
          selector: {{matchLabels: {{app: {name}}}}}
          template:
            metadata: {{labels: {{app: {name}{labels}}}{meta}}}
            spec: {POD}{pod}}}
        ---
        """


def test_names_of_an_app() -> None:
    world = world_of(
        """
        apiVersion: tulle.dev/v1
        kind: App
        metadata: {name: bookshop, namespace: shop}
        spec:
          services:
            details: {port: 9080, command: details}
            storefront: {port: 9080, command: storefront, replicas: 2}
            stopped: {port: 9080, command: stopped, replicas: 0}
            reviews:
              port: 9080
              command: reviews
              versions:
                v1: {}
                v2: {replicas: 2, serviceAccount: other, labels: {tier: gold}, locality: eu/a/1}
        """
    )
    assert names(world, "shop") == [
        "details",
        "reviews-v1",
        "reviews-v2-1",
        "reviews-v2-2",
        "storefront-1",
        "storefront-2",
    ]
    first = world.workload(("shop", "reviews-v1"))
    assert first is not None
    assert first.labels == (("app", "reviews"), ("version", "v1"))
    assert first.identity == "spiffe://cluster.local/ns/shop/sa/reviews"
    second = world.workload(("shop", "reviews-v2-2"))
    assert second is not None
    assert second.service_account == "other"
    assert dict(second.labels) == {"app": "reviews", "version": "v2", "tier": "gold"}
    assert second.locality == ("eu", "a", "1")
    assert second.origin.field == "spec.services.reviews.versions.v2"
    assert len({workload.address for workload in world.workloads()}) == 6


def test_names_of_kubernetes_kinds() -> None:
    world = world_of(
        deployment("one")
        + deployment("two", 2)
        + deployment("none", 0)
        + f"""
        apiVersion: apps/v1
        kind: StatefulSet
        metadata: {{name: db, namespace: shop}}
        spec:
          replicas: 2
          serviceName: db
          selector: {{matchLabels: {{app: db}}}}
          template: {{metadata: {{labels: {{app: db}}}}, spec: {POD}}}}}
        ---
        apiVersion: apps/v1
        kind: DaemonSet
        metadata: {{name: each-host, namespace: shop}}
        spec:
          selector: {{matchLabels: {{app: each}}}}
          template: {{metadata: {{labels: {{app: each}}}}, spec: {POD}}}}}
        ---
        apiVersion: batch/v1
        kind: Job
        metadata: {{name: migrate, namespace: shop}}
        spec: {{template: {{spec: {POD}, restartPolicy: Never}}}}}}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {{name: single, namespace: shop, labels: {{app: single}}}}
        spec: {POD}, serviceAccountName: robot, hostname: h, subdomain: s}}
        """
    )
    assert names(world, "shop") == ["db-0", "db-1", "each-host", "migrate", "one", "single", "two-1", "two-2"]
    db, job, pod = (world.workload(("shop", name)) for name in ("db-1", "migrate", "single"))
    assert db is not None and (db.hostname, db.subdomain) == ("db-1", "db")
    assert dict(db.labels)["statefulset.kubernetes.io/pod-name"] == "db-1"
    assert job is not None and job.restart is RestartPolicy.NEVER
    assert job.identity == "spiffe://cluster.local/ns/shop/sa/default"
    assert pod is not None and (pod.service_account, pod.hostname, pod.subdomain) == ("robot", "h", "s")
    assert pod.port_named("web") == 80


def test_injection_is_refused_by_label_annotation_or_namespace() -> None:
    world = world_of(
        deployment("plain")
        + deployment("label", labels=', sidecar.istio.io/inject: "false"')
        + deployment("annotation", meta=', annotations: {sidecar.istio.io/inject: "false"}')
        + deployment(
            "both",
            labels=', sidecar.istio.io/inject: "true"',
            meta=', annotations: {sidecar.istio.io/inject: "false"}',
        )
    )
    proxies = {workload.name: workload.proxy for workload in world.workloads("shop")}
    assert proxies == {"plain": True, "label": False, "annotation": False, "both": True}
    publish(
        world,
        "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: disabled}}}",
    )
    assert not any(workload.proxy for workload in world.workloads("shop"))


def test_locality_comes_from_labels() -> None:
    world = world_of(
        deployment("dots", labels=", istio-locality: eu.a.1")
        + deployment("topology", labels=", topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: b")
        + deployment("none")
    )
    assert {each.name: each.locality for each in world.workloads("shop")} == {
        "dots": ("eu", "a", "1"),
        "topology": ("eu", "b", ""),
        "none": ("", "", ""),
    }


def test_two_workloads_with_one_name_are_an_error_and_the_first_wins() -> None:
    world = world_of(
        deployment("web")
        + f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: web, namespace: shop}}
        spec: {POD}, serviceAccountName: robot}}
        """
    )
    assert names(world, "shop") == ["web"]
    winner = world.workload(("shop", "web"))
    assert winner is not None and winner.key.kind == "Pod"
    (finding,) = [each for each in world.findings() if each.severity == "error"]
    assert (finding.code, finding.kind, finding.line) == ("duplicate-workload", "Deployment", 2)


def test_a_full_network_is_a_finding_at_the_workload() -> None:
    world = world_of(deployment("web", 2), Settings(workload_cidr="10.0.0.0/30"))
    assert [code for code, _, _ in codes(world)] == ["no-address-left"]
    assert sorted(bool(each.address) for each in world.workloads("shop")) == [False, True]


TRUST_DOMAINS = """
    apiVersion: tulle.dev/v1
    kind: MeshConfig
    metadata: {name: a}
    spec: {trustDomain: two.example}
    ---
    apiVersion: tulle.dev/v1
    kind: MeshConfig
    metadata: {name: "0"}
    spec: {trustDomain: three.example}
"""


def test_the_trust_domain_of_the_last_mesh_config_is_in_every_identity() -> None:
    world = world_of(deployment("web"))
    assert [each.identity for each in world.workloads()] == ["spiffe://cluster.local/ns/shop/sa/default"]
    publish(world, TRUST_DOMAINS)
    assert [each.identity for each in world.workloads()] == ["spiffe://three.example/ns/shop/sa/default"]
    assert codes(world) == []


def test_a_mesh_config_does_not_change_the_trust_domain_of_an_authority() -> None:
    world = world_of(deployment("web"), Settings(trust_domain="one.example"))
    publish(world, TRUST_DOMAINS)
    assert [each.identity for each in world.workloads()] == ["spiffe://one.example/ns/shop/sa/default"]
    assert {code for code, _, _ in codes(world)} == {"trust-domain-fixed"}


def test_allocations_survive_a_restart() -> None:
    saved: dict[str, str] = {}
    text = deployment("web") + deployment("api")
    before = {each.name: each.address for each in world_of(text, allocations=saved).workloads()}
    after = {each.name: each.address for each in world_of(text, allocations=dict(saved)).workloads()}
    assert before == after
    assert "workload/shop/web" in saved
