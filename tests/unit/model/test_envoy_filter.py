"""The rules of EnvoyFilter: those of the published schema and of Istio's `ValidateEnvoyFilter`."""

from __future__ import annotations

import pytest

from tests.unit.model.test_admit import document, only
from tulle.model.parse import parse

ALPHA = "networking.istio.io/v1alpha3"


def patches(text: str) -> str:
    return f"configPatches: [{text}]"


@pytest.mark.parametrize(
    "spec",
    [
        "{}",
        "workloadSelector: {labels: {app: a}}\npriority: -10",
        "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]",
        patches("{applyTo: CLUSTER, patch: {operation: REMOVE}}"),
        patches("{applyTo: CLUSTER, patch: {operation: ADD, value: {any: [thing, 1.5]}}}"),
        patches(
            "{applyTo: HTTP_FILTER, match: {context: GATEWAY, "
            "proxy: {proxyVersion: '^1\\.9.*', metadata: {a: b}}, "
            "listener: {portNumber: 80, filterChain: {sni: a, filter: "
            "{name: envoy.filters.network.http_connection_manager, "
            "subFilter: {name: envoy.filters.http.router}}}}}, "
            "patch: {operation: INSERT_BEFORE, filterClass: AUTHZ, value: {name: x}}}"
        ),
        patches(
            "{applyTo: HTTP_ROUTE, match: {routeConfiguration: {name: '80', vhost: {name: 'a:80', "
            "route: {action: ANY}}}}, patch: {operation: MERGE, value: {}}}"
        ),
    ],
)
def test_what_is_valid(spec: str) -> None:
    resources, findings = parse(document("EnvoyFilter", spec, ALPHA), "a.yaml")
    assert (len(resources), findings) == (1, [])


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        (patches("{patch: {operation: ADD, value: {}}}"), "missing-field", "[0].applyTo"),
        (patches("{applyTo: CLUSTER}"), "missing-field", "[0].patch"),
        (patches("{applyTo: CLUSTER, patch: {value: {}}}"), "missing-field", "[0].patch.operation"),
        (patches("{applyTo: CLUSTER, patch: {operation: ADD}}"), "missing-field", "[0].patch.value"),
        (patches("{applyTo: CLUSTERS, patch: {operation: REMOVE}}"), "invalid-value", "[0].applyTo"),
        (
            patches("{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {}}}"),
            "not-honoured",
            "[0].applyTo",
        ),
        (
            patches("{applyTo: CLUSTER, match: {context: WAYPOINT}, patch: {operation: REMOVE}}"),
            "not-honoured",
            "[0].match.context",
        ),
        (
            patches("{applyTo: CLUSTER, match: {proxy: {proxyVersion: '('}}, patch: {operation: REMOVE}}"),
            "invalid-regex",
            "[0].match.proxy.proxyVersion",
        ),
        (
            patches("{applyTo: CLUSTER, match: {listener: {}}, patch: {operation: REMOVE}}"),
            "exclusive-fields",
            "[0].match.listener",
        ),
        (
            patches("{applyTo: VIRTUAL_HOST, match: {cluster: {}}, patch: {operation: REMOVE}}"),
            "exclusive-fields",
            "[0].match.cluster",
        ),
        (
            patches("{applyTo: CLUSTER, match: {cluster: {}, listener: {}}, patch: {operation: REMOVE}}"),
            "exclusive-fields",
            "[0].match.cluster",
        ),
        (
            patches(
                "{applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {}}}}, "
                "patch: {operation: REMOVE}}"
            ),
            "missing-field",
            "[0].match.listener.filterChain.filter.name",
        ),
        (
            patches(
                "{applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: a, "
                "subFilter: {name: b}}}}}, patch: {operation: REMOVE}}"
            ),
            "exclusive-fields",
            "[0].match.listener.filterChain.filter.subFilter",
        ),
        (
            patches(
                "{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: a, "
                "subFilter: {name: b}}}}}, patch: {operation: REMOVE}}"
            ),
            "invalid-value",
            "[0].match.listener.filterChain.filter.name",
        ),
        (
            patches("{applyTo: CLUSTER, match: {cluster: {portNumber: -1}}, patch: {operation: REMOVE}}"),
            "out-of-range",
            "[0].match.cluster.portNumber",
        ),
    ],
)
def test_what_is_not(spec: str, code: str, field: str) -> None:
    found = only(document("EnvoyFilter", spec, ALPHA))
    assert (found.code, found.field) == (code, f"spec.configPatches{field}")


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        (
            "workloadSelector: {}\ntargetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]",
            "exclusive-fields",
            "spec.targetRefs",
        ),
        ("targetRefs: [{kind: Pod, name: a}]", "invalid-value", "spec.targetRefs[0].kind"),
        ("workloadSelector: {labels: {a: '*'}}", "invalid-label", "spec.workloadSelector.labels[a]"),
        ("priority: 3000000000", "out-of-range", "spec.priority"),
    ],
)
def test_what_is_not_about_the_selection(spec: str, code: str, field: str) -> None:
    found = only(document("EnvoyFilter", spec, ALPHA))
    assert (found.code, found.field) == (code, field)


def test_it_has_one_version() -> None:
    assert only(document("EnvoyFilter", "{}", "networking.istio.io/v1")).code == "unknown-version"


def test_what_is_attached_to_at_waypoints_only_has_no_effect() -> None:
    _, (found,) = parse(document("EnvoyFilter", "targetRefs: [{kind: Service, name: a}]", ALPHA), "a.yaml")
    assert (found.code, found.severity) == ("no-effect", "info")
