"""The rules of VirtualService: those of the published schema and of Istio's `ValidateVirtualService`."""

from __future__ import annotations

import pytest

from tests.unit.model.test_admit import document, only
from tests.unit.model.test_istio import ROUTE, V1, service
from tulle.model.parse import parse


def valid(http: str, rest: str = "hosts: [reviews]") -> None:
    resources, findings = parse(document("VirtualService", f"{rest}\nhttp:\n- {http}", V1), "a.yaml")
    assert findings == []
    assert len(resources) == 1


def refused(http: str) -> tuple[str, str]:
    finding = only(service(http))
    return finding.code, finding.field.removeprefix("spec.http[0]")


@pytest.mark.parametrize(
    "http",
    [
        "redirect: {uri: /v1, authority: other, redirectCode: 303, derivePort: FROM_REQUEST_PORT}",
        "{match: [{uri: {prefix: /foo/}}], redirect: {prefixRewrite: /}}",
        "redirect: {scheme: https, port: 8443}",
        "directResponse: {status: 503, body: {string: unavailable}}",
        "directResponse: {status: 200, body: {bytes: AP8=}}",
        f"{{{ROUTE}, rewrite: {{uri: /, authority: a.example}}}}",
        f"{{{ROUTE}, rewrite: {{uriRegexRewrite: {{match: '^/v(.)', rewrite: '/\\1'}}}}}}",
        f"{{{ROUTE}, retries: {{attempts: 3, perTryTimeout: 2s, retryOn: 'gateway-error,reset,503'}}}}",
        f"{{{ROUTE}, retries: {{attempts: 0}}}}",
        f"{{{ROUTE}, fault: {{delay: {{fixedDelay: 7s, percent: 10}}, abort: {{grpcStatus: ABORTED}}}}}}",
        f"{{{ROUTE}, mirrors: [{{destination: {{host: b}}, percentage: {{value: 0.5}}}}]}}",
        f"{{{ROUTE}, corsPolicy: {{allowOrigin: ['*'], allowMethods: ['*'], allowHeaders: ['*']}}}}",
        f"{{{ROUTE}, corsPolicy: {{allowOrigins: [{{exact: '*'}}], maxAge: 24h}}}}",
        f"{{{ROUTE}, corsPolicy: {{allowOrigins: [{{prefix: 'https://'}}], unmatchedPreflights: IGNORE}}}}",
        f"{{{ROUTE}, headers: {{request: {{set: {{x-a: '%DOWNSTREAM_REMOTE_ADDRESS% 100%%', host: h}}}}}}}}",
        f"{{{ROUTE}, match: [{{headers: {{':method': {{exact: GET}}}}}}]}}",
        f"{{{ROUTE}, match: [{{withoutHeaders: {{a: {{regex: '*'}}}}}}]}}",
        f"{{{ROUTE}, match: [{{uri: {{prefix: ''}}, port: 0}}]}}",
        "delegate: {name: other, namespace: there}",
    ],
)
def test_what_is_valid(http: str) -> None:
    valid(http)


@pytest.mark.parametrize(
    ("http", "code", "field"),
    [
        ("redirect: {}", "missing-field", ".redirect"),
        ("redirect: {uri: /a, prefixRewrite: /b}", "exclusive-fields", ".redirect.prefixRewrite"),
        (
            "redirect: {uri: /a, port: 1, derivePort: FROM_REQUEST_PORT}",
            "exclusive-fields",
            ".redirect.derivePort",
        ),
        ("redirect: {uri: /a, redirectCode: 200}", "out-of-range", ".redirect.redirectCode"),
        ("redirect: {uri: /a, redirectCode: 304}", "not-honoured", ".redirect.redirectCode"),
        ("redirect: {scheme: ftp}", "invalid-value", ".redirect.scheme"),
        (
            "{match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /b}}",
            "exclusive-fields",
            ".match[0].uri",
        ),
        ("{redirect: {uri: /a}, fault: {abort: {httpStatus: 500}}}", "exclusive-fields", ".fault"),
        ("{directResponse: {status: 200}, rewrite: {uri: /a}}", "exclusive-fields", ".rewrite"),
        ("{directResponse: {status: 200}, redirect: {uri: /a}}", "exclusive-fields", ".directResponse"),
        ("directResponse: {status: 199}", "out-of-range", ".directResponse.status"),
        ("directResponse: {status: 200, body: {bytes: '?'}}", "invalid-value", ".directResponse.body.bytes"),
        (
            "directResponse: {status: 200, body: {string: a, bytes: AA==}}",
            "exclusive-fields",
            ".directResponse.body.bytes",
        ),
        (f"{{{ROUTE}, delegate: {{name: a}}}}", "exclusive-fields", ".delegate"),
        (f"{{{ROUTE}, rewrite: {{}}}}", "missing-field", ".rewrite"),
        (
            f"{{{ROUTE}, rewrite: {{uri: /a, uriRegexRewrite: {{match: a, rewrite: b}}}}}}",
            "exclusive-fields",
            ".rewrite.uriRegexRewrite",
        ),
        (
            f"{{{ROUTE}, rewrite: {{uriRegexRewrite: {{match: '(?=a)', rewrite: b}}}}}}",
            "invalid-regex",
            ".rewrite.uriRegexRewrite.match",
        ),
        (f"{{{ROUTE}, retries: {{attempts: 0, retryOn: 5xx}}}}", "exclusive-fields", ".retries.attempts"),
        (f"{{{ROUTE}, retries: {{attempts: -1}}}}", "out-of-range", ".retries.attempts"),
        (
            f"{{{ROUTE}, retries: {{attempts: 1, retryOn: '5xx, reset'}}}}",
            "invalid-value",
            ".retries.retryOn",
        ),
        (f"{{{ROUTE}, retries: {{attempts: 1, retryOn: '999'}}}}", "invalid-value", ".retries.retryOn"),
        (f"{{{ROUTE}, fault: {{}}}}", "missing-field", ".fault"),
        (
            f"{{{ROUTE}, fault: {{delay: {{exponentialDelay: 1s}}}}}}",
            "not-honoured",
            ".fault.delay.exponentialDelay",
        ),
        (
            f"{{{ROUTE}, fault: {{abort: {{httpStatus: 500, grpcStatus: OK}}}}}}",
            "exclusive-fields",
            ".fault.abort.grpcStatus",
        ),
        (f"{{{ROUTE}, fault: {{abort: {{grpcStatus: NOPE}}}}}}", "invalid-value", ".fault.abort.grpcStatus"),
        (f"{{{ROUTE}, fault: {{abort: {{http2Error: X}}}}}}", "not-honoured", ".fault.abort.http2Error"),
        (
            f"{{{ROUTE}, fault: {{abort: {{httpStatus: 500, percentage: {{value: 0.00001}}}}}}}}",
            "out-of-range",
            ".fault.abort.percentage.value",
        ),
        (
            f"{{{ROUTE}, mirror: {{host: a}}, mirrors: [{{destination: {{host: b}}}}]}}",
            "exclusive-fields",
            ".mirror",
        ),
        (f"{{{ROUTE}, mirrorPercentage: {{value: 101}}}}", "out-of-range", ".mirrorPercentage.value"),
        (
            f"{{{ROUTE}, corsPolicy: {{allowOrigins: [{{exact: ''}}]}}}}",
            "invalid-value",
            ".corsPolicy.allowOrigins[0]",
        ),
        (
            f"{{{ROUTE}, corsPolicy: {{allowMethods: [GET, get]}}}}",
            "invalid-value",
            ".corsPolicy.allowMethods[1]",
        ),
        (f"{{{ROUTE}, corsPolicy: {{maxAge: 1500ms}}}}", "invalid-duration", ".corsPolicy.maxAge"),
        (
            f"{{{ROUTE}, corsPolicy: {{allowHeaders: ['a b']}}}}",
            "invalid-header-name",
            ".corsPolicy.allowHeaders[0]",
        ),
        (
            f"{{{ROUTE}, headers: {{request: {{set: {{':path': /a}}}}}}}}",
            "invalid-header-name",
            ".headers.request.set[:path]",
        ),
        (
            f"{{{ROUTE}, headers: {{response: {{set: {{host: a}}}}}}}}",
            "invalid-header-name",
            ".headers.response.set.host",
        ),
        (
            f"{{{ROUTE}, headers: {{request: {{remove: [Host]}}}}}}",
            "invalid-header-name",
            ".headers.request.remove[0]",
        ),
        (
            f"{{{ROUTE}, headers: {{request: {{set: {{a: '100%'}}}}}}}}",
            "invalid-header-value",
            ".headers.request.set.a",
        ),
        (
            f"{{{ROUTE}, headers: {{request: {{set: {{a: '%REQ%'}}}}}}}}",
            "invalid-header-value",
            ".headers.request.set.a",
        ),
        (
            f"{{{ROUTE}, headers: {{request: {{set: {{a: '%NO_SUCH%'}}}}}}}}",
            "invalid-header-value",
            ".headers.request.set.a",
        ),
        (
            f"{{{ROUTE}, rewrite: {{authority: a}}, headers: {{request: {{set: {{host: b}}}}}}}}",
            "exclusive-fields",
            ".headers.request",
        ),
        (f"{{{ROUTE}, match: [{{method: {{prefix: ''}}}}]}}", "too-short", ".match[0].method.prefix"),
        (f"{{{ROUTE}, match: [{{uri: {{regex: ''}}}}]}}", "invalid-regex", ".match[0].uri.regex"),
        (
            f"{{{ROUTE}, match: [{{headers: {{a: {{regex: '*'}}}}}}]}}",
            "invalid-regex",
            ".match[0].headers.a.regex",
        ),
        (
            f"{{{ROUTE}, match: [{{headers: {{'@request.auth.claims.sub': {{exact: a}}}}}}]}}",
            "not-honoured",
            ".match[0].headers[@request.auth.claims.sub]",
        ),
        (f"{{{ROUTE}, match: [{{gateways: [a/b/c]}}]}}", "invalid-name", ".match[0].gateways[0]"),
        ("route: [{destination: {host: '*'}}]", "invalid-hostname", ".route[0].destination.host"),
        ("route: [{destination: {host: a, subset: A_b}}]", "invalid-name", ".route[0].destination.subset"),
    ],
)
def test_what_is_refused(http: str, code: str, field: str) -> None:
    assert refused(http) == (code, field)


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        (f"hosts: ['*']\nhttp: [{{{ROUTE}}}]", "invalid-hostname", "hosts[0]"),
        (f"hosts: ['*']\ngateways: [a, mesh]\nhttp: [{{{ROUTE}}}]", "invalid-hostname", "hosts[0]"),
        (f"hosts: [a.example.com, '*.example.com']\nhttp: [{{{ROUTE}}}]", "duplicate-name", "hosts[1]"),
        (f"hosts: ['a.*.com']\nhttp: [{{{ROUTE}}}]", "invalid-hostname", "hosts[0]"),
        (f"hosts: ['http://a']\nhttp: [{{{ROUTE}}}]", "invalid-hostname", "hosts[0]"),
        ("http: [{delegate: {name: a}}]", "exclusive-fields", "http[0].delegate"),
        ("tcp: [{route: [{destination: {host: a}}]}]", "exclusive-fields", "tcp"),
        ("hosts: [a]\ntcp: [{match: [{port: 1}]}]", "missing-field", "tcp[0].route"),
        (
            "hosts: [a]\ntls: [{match: [{sniHosts: [b.example]}], route: [{destination: {host: a}}]}]",
            "invalid-hostname",
            "tls[0].match[0].sniHosts[0]",
        ),
        (
            "hosts: [a]\ntcp: [{match: [{destinationSubnets: [10.0.0.0/33]}], "
            "route: [{destination: {host: a}}]}]",
            "invalid-address",
            "tcp[0].match[0].destinationSubnets[0]",
        ),
    ],
)
def test_the_rules_of_the_whole(spec: str, code: str, field: str) -> None:
    finding = only(document("VirtualService", spec, V1))
    assert (finding.code, finding.field) == (code, f"spec.{field}")


def test_any_host_is_for_gateways() -> None:
    valid(f"{{{ROUTE}}}", "hosts: ['*']\ngateways: [edge]")
    valid(f"{{{ROUTE}}}", "hosts: ['*-v1.example.com', 10.1.2.3]\ngateways: [shop/edge]")
    valid(f"{{{ROUTE}}}", "exportTo: ['*']")  # a delegate


def test_a_part_of_a_label_does_not_tell_server_names_apart() -> None:
    """Envoy would refuse the listener, with all that others have at that port."""
    tls = "tls: [{match: [{sniHosts: ['*-a.b.example']}], route: [{destination: {host: a}}]}]"
    finding = only(document("VirtualService", f"hosts: ['*.b.example']\n{tls}", V1))
    assert (finding.code, finding.field) == ("not-honoured", "spec.tls[0].match[0].sniHosts[0]")
