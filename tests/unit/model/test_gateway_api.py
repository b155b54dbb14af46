"""The Gateway API's kinds: their schema's rules, and what of them is honoured."""

from __future__ import annotations

import pytest

from tests.unit.model.test_admit import document, only
from tulle.model.gateway_api import GatewaySpec, HTTPRouteSpec
from tulle.model.parse import parse
from tulle.model.selector import LabelSelector, LabelSelectorRequirement

V1 = "gateway.networking.k8s.io/v1"


def route(rule: str) -> str:
    return document("HTTPRoute", f"rules:\n- {rule}", V1)


def gateway(listener: str) -> str:
    return document("Gateway", f"gatewayClassName: tulle\nlisteners:\n- {listener}", V1)


def test_the_defaults_of_a_route_are_the_published_ones() -> None:
    text = document(
        "HTTPRoute", "parentRefs: [{name: edge}]\nrules: [{backendRefs: [{name: a, port: 80}]}]", V1
    )
    (resource,), findings = parse(text, "a.yaml")
    assert findings == []
    spec: HTTPRouteSpec = resource.spec
    parent, (rule,) = spec.parent_refs[0], spec.rules
    assert (parent.group, parent.kind) == ("gateway.networking.k8s.io", "Gateway")
    assert (rule.matches[0].path.type, rule.matches[0].path.value) == ("PathPrefix", "/")
    assert (rule.backend_refs[0].kind, rule.backend_refs[0].weight) == ("Service", 1)


@pytest.mark.parametrize(
    ("rule", "code", "field"),
    [
        ("matches: [{path: {value: reviews}}]", "invalid-path", "matches[0].path.value"),
        ("matches: [{path: {value: /a//b}}]", "invalid-path", "matches[0].path.value"),
        ("matches: [{path: {value: /a/../b}}]", "invalid-path", "matches[0].path.value"),
        ("matches: [{path: {value: /a%2Fb}}]", "invalid-path", "matches[0].path.value"),
        ("matches: [{path: {value: '/a#b'}}]", "invalid-path", "matches[0].path.value"),
        ("matches: [{path: {value: '/a b'}}]", "invalid-path", "matches[0].path.value"),
        (
            "matches: [{path: {type: RegularExpression, value: '('}}]",
            "invalid-regex",
            "matches[0].path.value",
        ),
        (
            "matches: [{headers: [{name: 'a:', value: b}]}]",
            "invalid-header-name",
            "matches[0].headers[0].name",
        ),
        (
            "matches: [{headers: [{name: a, value: b}, {name: a, value: c}]}]",
            "duplicate-name",
            "matches[0].headers[1].name",
        ),
        (
            "matches: [{queryParams: [{name: a, type: RegularExpression, value: '*'}]}]",
            "invalid-regex",
            "matches[0].queryParams[0].value",
        ),
        ("matches: [{method: FETCH}]", "invalid-value", "matches[0].method"),
        ("backendRefs: [{name: a}]", "missing-field", "backendRefs[0].port"),
        ("backendRefs: [{name: a, port: 1, weight: 1000001}]", "out-of-range", "backendRefs[0].weight"),
        ("backendRefs: [{name: a, port: 1, weight: -1}]", "out-of-range", "backendRefs[0].weight"),
        ("timeouts: {request: 1 second}", "invalid-duration", "timeouts.request"),
        ("timeouts: {request: 1s, backendRequest: 2s}", "invalid-timeout", "timeouts.backendRequest"),
        (
            "filters: [{type: CORS, cors: {allowOrigins: ['*', 'https://a']}}]",
            "exclusive-fields",
            "filters[0].cors.allowOrigins",
        ),
        (
            "filters: [{type: CORS, cors: {allowOrigins: ['ftp://a']}}]",
            "invalid-value",
            "filters[0].cors.allowOrigins[0]",
        ),
        (
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: ü}]}}]",
            "invalid-value",
            "filters[0].requestHeaderModifier.set[0].value",
        ),
        (
            "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}, fraction: "
            "{numerator: 3, denominator: 2}}}]",
            "out-of-range",
            "filters[0].requestMirror.fraction.numerator",
        ),
        (
            "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}, percent: 1, "
            "fraction: {numerator: 1}}}]",
            "exclusive-fields",
            "filters[0].requestMirror.fraction",
        ),
        (
            "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: ü}}}]",
            "invalid-path",
            "filters[0].urlRewrite.path.replaceFullPath",
        ),
        (
            "filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP}}]",
            "not-honoured",
            "filters[0].externalAuth",
        ),
        (
            "backendRefs: [{name: a, port: 1, filters: [{type: CORS, cors: {}}]}]",
            "not-honoured",
            "backendRefs[0].filters",
        ),
        ("filters: [{type: CORS}]", "exclusive-fields", "filters[0].type"),
        ("retry: {attempts: 0}", "out-of-range", "retry.attempts"),
        ("retry: {codes: [200]}", "out-of-range", "retry.codes[0]"),
        ("retry: {codes: [503, 503]}", "duplicate-name", "retry.codes"),
        (
            "sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}",
            "missing-field",
            "sessionPersistence.cookieConfig.lifetimeType",
        ),
        (
            "sessionPersistence: {type: Header, cookieConfig: {}}",
            "exclusive-fields",
            "sessionPersistence.cookieConfig",
        ),
        ("sessionPersistence: {absoluteTimeout: 1h}", "not-honoured", "sessionPersistence"),
        (
            "{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: a, port: 1}]}",
            "exclusive-fields",
            "backendRefs",
        ),
        (
            "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}]",
            "exclusive-fields",
            "filters[0].urlRewrite.path",
        ),
    ],
)
def test_the_rules_of_a_route(rule: str, code: str, field: str) -> None:
    finding = only(route(rule))
    assert (finding.code, finding.field) == (code, f"spec.rules[0].{field}"), finding
    assert finding.line == 6


@pytest.mark.parametrize(
    ("rule", "code", "field"),
    [
        ("matches: [{method: {}}]", "missing-field", "matches[0].method"),
        ("matches: [{method: {service: a/b}}]", "invalid-name", "matches[0].method.service"),
        ("matches: [{method: {method: 1a}}]", "invalid-name", "matches[0].method.method"),
        (
            "matches: [{method: {type: RegularExpression, method: '('}}]",
            "invalid-regex",
            "matches[0].method.method",
        ),
        ("filters: [{type: URLRewrite}]", "invalid-value", "filters[0].type"),
        ("filters: [{type: RequestMirror}]", "exclusive-fields", "filters[0].type"),
    ],
)
def test_the_rules_of_a_grpc_route(rule: str, code: str, field: str) -> None:
    finding = only(document("GRPCRoute", f"rules: [{{{rule}}}]", V1))
    assert (finding.code, finding.field) == (code, f"spec.rules[0].{field}"), finding


def test_the_same_parent_may_not_stand_twice() -> None:
    parents = "parentRefs: [{name: a, sectionName: x}, {name: a, sectionName: y}, {name: a, sectionName: x}]"
    finding = only(document("HTTPRoute", parents, V1))
    assert (finding.code, finding.field) == ("duplicate-parent", "spec.parentRefs[2]")


def test_hostnames_may_begin_with_a_wildcard() -> None:
    assert parse(document("HTTPRoute", "hostnames: ['*.example.com', a.example]", V1), "a.yaml")[1] == []
    assert only(document("HTTPRoute", "hostnames: ['a.*.example']", V1)).code == "invalid-hostname"
    assert only(document("HTTPRoute", "hostnames: ['a:80']", V1)).code == "invalid-hostname"


@pytest.mark.parametrize(
    ("listener", "code", "field"),
    [
        ("{name: a, port: 80}", "missing-field", "listeners[0].protocol"),
        ("{name: a, port: 80, protocol: UDP, hostname: a}", "exclusive-fields", "listeners[0].hostname"),
        (
            "{name: a, port: 80, protocol: HTTP, tls: {mode: Passthrough}}",
            "exclusive-fields",
            "listeners[0].tls",
        ),
        (
            "{name: a, port: 443, protocol: HTTPS, tls: {mode: Passthrough}}",
            "exclusive-fields",
            "listeners[0].tls.mode",
        ),
        ("{name: a, port: 443, protocol: HTTPS, tls: {}}", "missing-field", "listeners[0].tls.mode"),
        (
            "{name: a, port: 443, protocol: TLS}",
            "missing-field",
            "listeners[0].protocol",
        ),
        (
            "{name: a, port: 80, protocol: HTTP}\n- {name: a, port: 81, protocol: HTTP}",
            "duplicate-name",
            "listeners[1].name",
        ),
        (
            "{name: a, port: 80, protocol: HTTP}\n- {name: b, port: 80, protocol: HTTP}",
            "duplicate-listener",
            "listeners[1]",
        ),
        (
            "{name: a, port: 80, protocol: HTTP}\naddresses: [{value: 1.2.3.4}, {value: 1.2.3.4}]",
            "duplicate-name",
            "addresses[1].value",
        ),
    ],
)
def test_the_rules_of_a_gateway(listener: str, code: str, field: str) -> None:
    finding = only(gateway(listener))
    assert (finding.code, finding.field) == (code, f"spec.{field}"), finding


def test_a_gateway_that_is_served() -> None:
    (resource,), findings = parse(
        gateway(
            "{name: https, port: 443, protocol: HTTPS, hostname: '*.a', tls: {certificateRefs: [{name: c}]}}"
            "\n- {name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough},"
            " allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {a: b}}}}}"
        ),
        "a.yaml",
    )
    assert findings == []
    spec: GatewaySpec = resource.spec
    assert spec.listeners[0].allowed_routes.namespaces.from_ == "Same"
    assert spec.listeners[0].tls is not None
    assert spec.listeners[0].tls.mode == "Terminate"
    selector = spec.listeners[1].allowed_routes.namespaces.selector
    assert selector is not None
    assert selector.selects({"a": "b"})


def test_a_class_names_its_controller() -> None:
    assert (
        parse(document("GatewayClass", "controllerName: tulle.dev/gateway-controller", V1), "a.yaml")[1] == []
    )
    assert only(document("GatewayClass", "controllerName: tulle", V1)).field == "spec.controllerName"


def test_a_grant_needs_both_ends() -> None:
    finding = only(document("ReferenceGrant", "from: [{group: '', kind: Service, namespace: a}]", V1))
    assert (finding.code, finding.field) == ("missing-field", "spec.to")


@pytest.mark.parametrize(
    ("operator", "values", "selected"),
    [
        ("In", ("a", "b"), True),
        ("In", ("b",), False),
        ("NotIn", ("b",), True),
        ("NotIn", ("a",), False),
        ("Exists", (), True),
        ("DoesNotExist", (), False),
    ],
)
def test_a_selector_holds_all_of_its_requirements(
    operator: str, values: tuple[str, ...], selected: bool
) -> None:
    requirement = LabelSelectorRequirement.model_validate(
        {"key": "x", "operator": operator, "values": values}
    )
    selector = LabelSelector(match_labels={"y": "z"}, match_expressions=(requirement,))
    assert selector.selects({"x": "a", "y": "z"}) is selected
    assert not selector.selects({"x": "a"})
    assert LabelSelector().selects({})
