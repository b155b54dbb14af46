"""ProxyConfig: what holds for whom (Istio, `EffectiveProxyConfig`), and that nothing restarts for it."""

from __future__ import annotations

import pytest

from tests.unit.mesh.test_envoy_filter import envoy_filter, names
from tests.unit.mesh.worldly import publish, world_of
from tests.unit.model.test_admit import document, only
from tulle.agent.bootstrap import node
from tulle.mesh.resolve import Resolution
from tulle.mesh.world import World
from tulle.model.agentapi import WorkloadAssignment
from tulle.model.parse import parse

BETA = "networking.istio.io/v1beta1"


def pod(annotation: str = "") -> str:
    written = f", annotations: {{proxy.istio.io/config: '{annotation}'}}" if annotation else ""
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: ratings, namespace: shop, labels: {{app: ratings}}{written}}}
spec: {{containers: [{{name: a, command: [ratings]}}]}}
"""


def proxy_config(spec: str, name: str = "c", namespace: str = "shop", created: str = "") -> str:
    created = f", creationTimestamp: '{created}'" if created else ""
    return f"""
apiVersion: {BETA}
kind: ProxyConfig
metadata: {{name: {name}, namespace: {namespace}{created}}}
spec: {{{spec}}}
"""


SELECT = "selector: {matchLabels: {app: ratings}}, "
MESH = proxy_config("concurrency: 1, environmentVariables: {A: mesh, B: mesh}", namespace="istio-system")
NAMESPACE = proxy_config("concurrency: 2, environmentVariables: {B: namespace}", name="all")
WORKLOAD = proxy_config(SELECT + "concurrency: 4, environmentVariables: {A: workload}", name="one")


def assignment(*texts: str, annotation: str = "") -> WorkloadAssignment:
    world = world_of(pod(annotation))
    for text in texts:
        publish(world, text)
    found = world.assignment(("shop", "ratings"))
    assert found is not None
    return found


def test_the_nearest_that_says_something_holds_and_environments_are_merged() -> None:
    def holds(*texts: str, annotation: str = "") -> tuple[int | None, dict[str, str]]:
        found = assignment(*texts, annotation=annotation)
        return found.proxy_concurrency, dict(found.proxy_environment)

    assert holds() == (None, {})
    assert holds(MESH) == (1, {"A": "mesh", "B": "mesh"})
    assert holds(MESH, NAMESPACE) == (2, {"A": "mesh", "B": "namespace"})
    annotation = 'concurrency: 3\n\n\n\nproxyMetadata: {"B": "annotation"}'
    assert holds(MESH, NAMESPACE, annotation=annotation) == (3, {"A": "mesh", "B": "annotation"})
    assert holds(MESH, NAMESPACE, WORKLOAD, annotation=annotation) == (
        4,
        {"A": "workload", "B": "annotation"},
    )
    assert holds(WORKLOAD.replace("ratings", "details")) == (None, {})
    assert holds(WORKLOAD.replace("namespace: shop", "namespace: istio-system")) == (None, {})
    assert holds(proxy_config("concurrency: 0")) == (0, {})
    # Of several the oldest.
    late = proxy_config("concurrency: 7", name="a", created="2026-02-02T00:00:00Z")
    assert holds(late, NAMESPACE) == (2, {"B": "namespace"})


def test_nothing_is_restarted_for_it() -> None:
    assert assignment(MESH, WORKLOAD).incarnation == assignment().incarnation


def test_what_begins_with_istio_meta_is_what_the_proxy_says_of_itself() -> None:
    config = proxy_config("environmentVariables: {ISTIO_META_TIER: gold, ISTIO_META_NAME: forged, X: y}")
    metadata = node(assignment(config), "cluster.local")["metadata"]
    assert (metadata["TIER"], metadata["NAME"]) == ("gold", "ratings")
    assert "X" not in metadata
    world = world_of(pod())
    for text in (config, envoy_filter("f", match="proxy: {metadata: {TIER: gold}}")):
        publish(world, text)
    assert names(Resolution(world), "ratings")["inbound"] == ["f"]


def codes(*texts: str, annotation: str = "") -> set[tuple[str, str]]:
    world: World = world_of(pod(annotation))
    for text in texts:
        publish(world, text)
    return {
        (each.field, each.code) for each in Resolution(world).findings() if each.code != "from-next-start"
    }


def test_what_is_found() -> None:
    assert codes(MESH, NAMESPACE, WORKLOAD) == set()
    assert codes(WORKLOAD.replace("app: ratings", "app: nobody")) == {("spec.selector", "selects-nothing")}
    assert codes(NAMESPACE, proxy_config("concurrency: 1", name="z")) == {("spec", "conflict")}
    assert codes(WORKLOAD, proxy_config(SELECT + "concurrency: 1", name="z")) == {
        ("spec.selector", "conflict")
    }
    field = "metadata.annotations"
    assert codes(annotation="concurrency: many") == {(field, "invalid-value")}
    assert codes(annotation="[a]") == {(field, "invalid-value")}
    assert codes(annotation='proxyMetadata: {"LD_PRELOAD": "x"}') == {(field, "invalid-value")}
    assert codes(annotation="holdApplicationUntilProxyStarts: true") == {(field, "no-effect")}


def test_it_says_from_when_on_it_holds() -> None:
    world = world_of(pod())
    publish(world, NAMESPACE)
    assert [each.code for each in Resolution(world).findings()] == ["from-next-start"]


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ("concurrency: -1", "out-of-range", "spec.concurrency"),
        ("concurrency: many", "wrong-type", "spec.concurrency"),
        ("environmentVariables: {LD_PRELOAD: x}", "not-honoured", "spec.environmentVariables[LD_PRELOAD]"),
        (f"environmentVariables: {{A: {'x' * 2049}}}", "invalid-value", "spec.environmentVariables.A"),
        ("selector: {matchLabels: {a: '*'}}", "invalid-label", "spec.selector.matchLabels[a]"),
    ],
)
def test_what_is_refused(spec: str, code: str, field: str) -> None:
    found = only(document("ProxyConfig", spec, BETA))
    assert (found.code, found.field) == (code, field)


def test_an_image_has_no_effect() -> None:
    _, (found,) = parse(document("ProxyConfig", "image: {imageType: debug}", BETA), "a.yaml")
    assert (found.code, found.severity) == ("no-effect", "info")
