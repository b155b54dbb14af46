"""Which patches hold for whom, and in which order (Istio, `PushContext.EnvoyFilters`)."""

from __future__ import annotations

import pytest

from tests.unit.mesh.routed import shop
from tests.unit.mesh.worldly import publish
from tulle.mesh.resolve import Part, PartKind, Resolution

EDGE = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {gatewayClassName: tulle, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: old, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
"""
GATEWAYS = "{group: gateway.networking.k8s.io, kind: %s, name: %s}"


def envoy_filter(
    name: str, select: str = "", match: str = "", namespace: str = "shop", more: str = "", created: str = ""
) -> str:
    created = f", creationTimestamp: '{created}'" if created else ""
    return f"""
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: {name}, namespace: {namespace}{created}}}
spec:
  {select}
  {more}
  configPatches:
  - applyTo: HTTP_FILTER
    match: {{{match}}}
    patch: {{operation: ADD, value: {{name: x}}}}
"""


def part(resolution: Resolution, kind: PartKind, workload: str, namespace: str = "shop") -> Part:
    return next(each for each in resolution.parts((namespace, workload)) if each.kind is kind)


def names(resolution: Resolution, workload: str, namespace: str = "shop") -> dict[str, list[str]]:
    """The EnvoyFilters of each part of a proxy."""
    return {
        each.kind.value: [ref.name for ref in each.patches]
        for each in resolution.parts((namespace, workload))
    }


def test_a_workload_is_selected_by_its_labels_in_its_own_namespace() -> None:
    _, resolution = shop(
        envoy_filter("some", "workloadSelector: {labels: {app: ratings}}"),
        envoy_filter("all"),
        envoy_filter("elsewhere", namespace="front"),
    )
    assert names(resolution, "ratings") == {"outbound": ["all", "some"], "inbound": ["all", "some"]}
    assert names(resolution, "details") == {"outbound": ["all"], "inbound": ["all"]}
    assert names(resolution, "storefront", "front") == {"outbound": ["elsewhere"], "inbound": ["elsewhere"]}


def test_the_root_namespace_selects_everywhere() -> None:
    root = "istio-system"
    _, resolution = shop(
        EDGE,
        envoy_filter("all", namespace=root),
        envoy_filter("some", "workloadSelector: {labels: {app: ratings}}", namespace=root),
        envoy_filter("edge", "workloadSelector: {labels: {istio: ingressgateway}}", namespace=root),
    )
    assert names(resolution, "ratings")["inbound"] == ["all", "some"]
    assert names(resolution, "storefront", "front")["outbound"] == ["all"]
    assert names(resolution, "istio-ingressgateway", root) == {"gateway": ["all", "edge"]}


def test_the_order() -> None:
    root = "istio-system"
    _, resolution = shop(
        envoy_filter("z-root", namespace=root),
        envoy_filter("late", created="2026-02-02T00:00:00Z"),
        envoy_filter("early", created="2026-01-01T00:00:00Z"),
        envoy_filter("b"),
        envoy_filter("a"),
        envoy_filter("first", more="priority: -10"),
        envoy_filter("last", more="priority: 10", namespace=root),
    )
    expected = ["first", "z-root", "a", "b", "early", "late", "last"]
    assert names(resolution, "ratings")["inbound"] == expected


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("", {"outbound", "inbound", "gateway"}),
        ("context: ANY", {"outbound", "inbound", "gateway"}),
        ("context: SIDECAR_INBOUND", {"inbound"}),
        ("context: SIDECAR_OUTBOUND", {"outbound"}),
        ("context: GATEWAY", {"gateway"}),
        ("proxy: {proxyVersion: '^1\\\\.31.*'}", {"outbound", "inbound", "gateway"}),
        ("proxy: {proxyVersion: '31'}", {"outbound", "inbound", "gateway"}),
        ("proxy: {proxyVersion: '^1\\\\.9.*'}", set()),
        (f"proxy: {{proxyVersion: '{'.' * 1025}*'}}", set()),
        ("proxy: {metadata: {NAMESPACE: shop, NAME: ratings}}", {"outbound", "inbound"}),
        ("proxy: {metadata: {NAMESPACE: front}}", set()),
        ("proxy: {metadata: {UNHEARD: of}}", set()),
    ],
)
def test_the_context_and_the_proxy(match: str, expected: set[str]) -> None:
    _, resolution = shop(EDGE, envoy_filter("f", match=match.replace("\\\\", "\\")))
    found = {**names(resolution, "ratings"), **names(resolution, "edge-istio")}
    assert {kind for kind, each in found.items() if each} == expected


@pytest.mark.parametrize("target", ["CLUSTER", "LISTENER"])
def test_what_is_added_without_a_context_is_added_once(target: str) -> None:
    text = envoy_filter("f").replace("HTTP_FILTER", target)
    _, resolution = shop(EDGE, text)
    assert names(resolution, "ratings") == {"outbound": ["f"], "inbound": []}
    assert names(resolution, "edge-istio") == {"gateway": ["f"]}
    _, merged = shop(text.replace("ADD", "MERGE"))
    assert names(merged, "ratings") == {"outbound": ["f"], "inbound": ["f"]}


def test_gateways_by_reference() -> None:
    _, resolution = shop(
        EDGE,
        envoy_filter("own", f"targetRefs: [{GATEWAYS % ('Gateway', 'edge')}]"),
        envoy_filter("other", f"targetRefs: [{GATEWAYS % ('Gateway', 'other')}]"),
        envoy_filter("class", f"targetRefs: [{GATEWAYS % ('GatewayClass', 'tulle')}]"),
        envoy_filter(
            "root", f"targetRefs: [{GATEWAYS % ('GatewayClass', 'tulle')}]", namespace="istio-system"
        ),
        envoy_filter("service", "targetRefs: [{kind: Service, name: ratings}]"),
    )
    assert names(resolution, "edge-istio") == {"gateway": ["root", "own"]}
    assert names(resolution, "ratings") == {"outbound": [], "inbound": []}


def test_who_is_not_selected_shares_what_there_was_and_the_selected_share_another() -> None:
    world, resolution = shop()
    before = {at: resolution.parts(at) for at in resolution.proxies()}
    publish(world, envoy_filter("f", "workloadSelector: {labels: {app: reviews}}"))
    one, two = (part(resolution, PartKind.OUTBOUND, name) for name in ("reviews-v1", "reviews-v2"))
    assert one == two
    assert one.plain == part(resolution, PartKind.OUTBOUND, "details")
    assert str(one) == "outbound/shop;patches=shop/f[0]"
    for at in before:
        if not at[1].startswith("reviews"):
            assert resolution.parts(at) == before[at]


def test_http_is_processed_where_it_is_changed() -> None:
    client = "apiVersion: tulle.dev/v1\nkind: MeshConfig\nmetadata: {name: m}\nspec: {httpProcessing: client}"
    _, plain = shop(client)
    _, patched = shop(client, envoy_filter("f", "workloadSelector: {labels: {app: reviews}}"))
    found: list[list[str]] = []
    for resolution in (plain, patched):
        inbound = resolution.inbound(("shop", "reviews-v1"))
        assert inbound is not None
        depth = inbound.ports[0].depth
        assert depth is not None
        found.append([each.text for each in depth.reasons])
    assert found == [[], ["EnvoyFilter shop/f changes it"]]


def codes(*texts: str) -> list[tuple[str, str]]:
    _, resolution = shop(*texts)
    return [(each.field, each.code) for each in resolution.findings()]


def test_what_istio_warns_of() -> None:
    chain = "listener: {filterChain: {filter: {name: envoy.http_connection_manager}}}"
    assert codes(envoy_filter("f", "workloadSelector: {labels: {app: nobody}}")) == [
        ("spec.workloadSelector", "selects-nothing")
    ]
    assert codes(envoy_filter("f", "workloadSelector: {}")) == [("spec.workloadSelector", "selects-all")]
    assert codes(envoy_filter("f", match=chain)) == [
        ("spec.configPatches[0].match.listener.filterChain.filter.name", "deprecated-name")
    ]
    assert codes(
        envoy_filter("f", match=chain.replace("envoy.", "x.")).replace("HTTP_FILTER", "LISTENER")
    ) == [("spec.configPatches[0].match.listener.filterChain.filter", "no-effect")]
    assert codes(envoy_filter("f").replace("HTTP_FILTER", "ROUTE_CONFIGURATION")) == [
        ("spec.configPatches[0].patch.operation", "no-effect")
    ]
    assert codes(envoy_filter("f", match=f"proxy: {{proxyVersion: '{'.' * 1025}'}}")) == [
        ("spec.configPatches[0].match.proxy.proxyVersion", "matches-nothing")
    ]
