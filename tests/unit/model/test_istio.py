"""Istio's networking kinds: their schema's rules, and what of them is honoured."""

from __future__ import annotations

import pytest

from tests.unit.model.test_admit import document, only
from tulle.model.istio import DestinationRuleSpec, VirtualServiceSpec
from tulle.model.parse import parse

V1 = "networking.istio.io/v1"
ROUTE = "route: [{destination: {host: a}}]"


def service(http: str) -> str:
    return document("VirtualService", f"hosts: [reviews]\nhttp:\n- {http}", V1)


def rule(spec: str) -> str:
    return document("DestinationRule", f"host: reviews\n{spec}", V1)


def gateway(server: str) -> str:
    return document("Gateway", f"selector: {{istio: ingressgateway}}\nservers:\n- {server}", V1)


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_every_version_has_one_schema(version: str) -> None:
    text = document(
        "VirtualService",
        """
        hosts: [reviews, "*.shop"]
        gateways: [mesh, edge/public]
        exportTo: ["."]
        http:
        - name: canary
          match:
          - uri: {prefix: /reviews}
            ignoreUriCase: true
            headers: {end-user: {exact: ""}, x-any: {}}
            withoutHeaders: {x-bot: {regex: ".*"}}
            queryParams: {v: {exact: "2"}}
            method: {exact: GET}
            authority: {prefix: www.}
            scheme: {exact: http}
            port: 9080
            gateways: [mesh]
          route:
          - destination: {host: reviews, subset: v2, port: {number: 9080}}
            weight: 20
          - destination: {host: reviews, subset: v1}
            weight: 80
          timeout: 1.5s
        tls:
        - match: [{port: 443, sniHosts: [a.shop]}]
          route: [{destination: {host: a}}]
        tcp:
        - match: [{port: 27017}]
          route: [{destination: {host: b}}]
        """,
        f"networking.istio.io/{version}",
    )
    (resource,), findings = parse(text, "a.yaml")
    assert findings == []
    spec: VirtualServiceSpec = resource.spec
    match = spec.http[0].match[0]
    assert match.headers["end-user"].exact == ""
    assert match.headers["x-any"].model_fields_set == set()
    assert [each.weight for each in spec.http[0].route] == [20, 80]


@pytest.mark.parametrize(
    ("http", "code", "field"),
    [
        ("name: x", "exclusive-fields", ""),
        (f"{{{ROUTE}, redirect: {{uri: /a}}}}", "exclusive-fields", ".redirect"),
        (
            f"{{{ROUTE}, match: [{{uri: {{prefix: /a, exact: /a}}}}]}}",
            "exclusive-fields",
            ".match[0].uri.prefix",
        ),
        (f"{{{ROUTE}, match: [{{uri: {{}}}}]}}", "exclusive-fields", ".match[0].uri"),
        (f"{{{ROUTE}, match: [{{uri: {{regex: '['}}}}]}}", "invalid-regex", ".match[0].uri.regex"),
        (
            f"{{{ROUTE}, match: [{{headers: {{'a b': {{}}}}}}]}}",
            "invalid-header-name",
            ".match[0].headers[a b]",
        ),
        (f"{{{ROUTE}, match: [{{sourceLabels: {{a: -}}}}]}}", "invalid-label", ".match[0].sourceLabels[a]"),
        (f"{{{ROUTE}, match: [{{sourceNamespace: A}}]}}", "invalid-name", ".match[0].sourceNamespace"),
        (f"{{{ROUTE}, timeout: 0s}}", "invalid-duration", ".timeout"),
        (f"{{{ROUTE}, timeout: 5}}", "wrong-type", ".timeout"),
        ("route: [{destination: {host: a}, weight: -1}]", "out-of-range", ".route[0].weight"),
        ("route: [{destination: {host: a}}, {destination: {host: b}}]", "invalid-weight", ".route"),
        ("route: [{destination: {}}]", "missing-field", ".route[0].destination.host"),
    ],
)
def test_the_rules_of_an_http_route(http: str, code: str, field: str) -> None:
    finding = only(service(http))
    assert (finding.code, finding.field) == (code, f"spec.http[0]{field}"), finding


def test_a_virtual_service_needs_hosts_and_routes() -> None:
    assert only(document("VirtualService", "hosts: [a]", V1)).code == "missing-field"
    finding = only(document("VirtualService", f"gateways: [a]\nhttp: [{{{ROUTE}}}]", V1))
    assert (finding.code, finding.field) == ("exclusive-fields", "spec.gateways")


@pytest.mark.parametrize(
    ("namespaces", "code", "index"),
    [("a, b, a", "duplicate-name", 2), ("a, '*'", "exclusive-fields", 1), ("., A_b", "invalid-name", 1)],
)
def test_the_rules_of_export_to(namespaces: str, code: str, index: int) -> None:
    text = f"hosts: [a]\nexportTo: [{namespaces}]\nhttp: [{{{ROUTE}}}]"
    finding = only(document("VirtualService", text, V1))
    assert (finding.code, finding.field) == (code, f"spec.exportTo[{index}]")


def test_a_destination_rule_that_is_honoured() -> None:
    (resource,), findings = parse(
        rule("""
subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]
trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}, tls: {mode: ISTIO_MUTUAL}}
"""),
        "a.yaml",
    )
    assert findings == []
    spec: DestinationRuleSpec = resource.spec
    assert spec.subsets[0].labels == {"version": "v1"}


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ("subsets: [{name: a}, {name: a}]", "duplicate-name", "subsets[1].name"),
        ("subsets: [{labels: {a: b}}]", "missing-field", "subsets[0].name"),
        (
            "trafficPolicy: {loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}}",
            "exclusive-fields",
            "trafficPolicy.loadBalancer.consistentHash",
        ),
    ],
)
def test_the_rules_of_a_destination_rule(spec: str, code: str, field: str) -> None:
    finding = only(rule(spec))
    assert (finding.code, finding.field) == (code, f"spec.{field}"), finding


HTTPS = "hosts: [a.example], port: {number: 443, protocol: HTTPS, name: a}"


@pytest.mark.parametrize(
    ("server", "code", "field"),
    [
        (
            "{hosts: [a.example], port: {number: 80, protocol: HTPT, name: a}}",
            "invalid-value",
            "servers[0].port.protocol",
        ),
        (
            "{hosts: [a.example], port: {number: 80, protocol: GRPC-WEB, name: a}}",
            "not-honoured",
            "servers[0].port.protocol",
        ),
        (
            "{hosts: [a.example], port: {number: 443, protocol: HTTPS, name: a}}",
            "missing-field",
            "servers[0].port.protocol",
        ),
        (
            "{hosts: [a.example], port: {number: 443, protocol: HTTPS}, tls: {}}",
            "missing-field",
            "servers[0].port.name",
        ),
        (f"{{{HTTPS}, tls: {{mode: SIMPLE}}}}", "missing-field", "servers[0].tls.mode"),
        (f"{{{HTTPS}, tls: {{mode: OPTIONAL_MUTUAL}}}}", "missing-field", "servers[0].tls.mode"),
        (
            f"{{{HTTPS}, tls: {{mode: SIMPLE, credentialName: a, credentialNames: [b]}}}}",
            "exclusive-fields",
            "servers[0].tls.credentialNames",
        ),
        (
            f"{{{HTTPS}, tls: {{mode: ISTIO_MUTUAL, credentialName: a}}}}",
            "exclusive-fields",
            "servers[0].tls.credentialName",
        ),
        (
            f"{{{HTTPS}, bind: 10.0.0.1, tls: {{mode: SIMPLE, credentialName: a}}}}",
            "not-honoured",
            "servers[0].bind",
        ),
        (
            f"{{{HTTPS.replace('HTTPS', 'HTTP')}, tls: {{mode: SIMPLE, credentialName: a}}}}",
            "exclusive-fields",
            "servers[0].tls.mode",
        ),
        (
            "{hosts: [a.example], port: {number: 80, protocol: TCP, name: a}, tls: {httpsRedirect: true}}",
            "exclusive-fields",
            "servers[0].tls",
        ),
        (
            "{hosts: [shop/a/b], port: {number: 80, protocol: HTTP, name: a}}",
            "invalid-hostname",
            "servers[0].hosts[0]",
        ),
        (
            "{hosts: [a.example], port: {number: 80, protocol: HTTP, name: x}}\n"
            "- {hosts: [b.example], port: {number: 81, protocol: HTTP, name: x}}",
            "duplicate-name",
            "servers[1].port.name",
        ),
        ("{port: {number: 80, protocol: HTTP, name: a}}", "missing-field", "servers[0].hosts"),
    ],
)
def test_the_rules_of_a_gateway(server: str, code: str, field: str) -> None:
    finding = only(gateway(server))
    assert (finding.code, finding.field) == (code, f"spec.{field}"), finding
