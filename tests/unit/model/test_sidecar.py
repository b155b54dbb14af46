"""The rules of Sidecar: those of the published schema and of Istio's `ValidateSidecar`."""

from __future__ import annotations

import pytest

from tests.unit.model.test_admit import document, only
from tests.unit.model.test_istio import V1
from tulle.model.parse import parse


@pytest.mark.parametrize(
    "spec",
    [
        "egress: [{hosts: [./*, istio-system/*]}]",
        "egress: [{hosts: ['*/*', ~prod-us2/*, ~prod-apis/foo.example.com, ~/bar.example.com]}]",
        "egress: [{port: {number: 9080, protocol: HTTP, name: egresshttp}, hosts: [prod/*]}, {hosts: [a/*]}]",
        "workloadSelector: {labels: {app: a}}\noutboundTrafficPolicy: {mode: ALLOW_ANY}",
        "egress: [{captureMode: IPTABLES, hosts: ['*/*']}]",
        "ingress: [{port: {number: 9080, protocol: HTTP, name: web}, defaultEndpoint: '127.0.0.1:80'}]",
        "ingress: [{port: {number: 9080, protocol: HTTP}, defaultEndpoint: '[::]:80'}, "
        "{port: {number: 9081, protocol: TCP}, connectionPool: {tcp: {maxConnections: 1}}}]",
        "inboundConnectionPool: {http: {http2MaxRequests: 1024}}",
    ],
)
def test_what_is_valid(spec: str) -> None:
    resources, findings = parse(document("Sidecar", spec, V1), "a.yaml")
    assert (len(resources), findings) == (1, [])


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ("workloadSelector: {labels: {a: b}}", "missing-field", ""),
        ("egress: [{hosts: []}]", "too-short", ".egress[0].hosts"),
        ("egress: [{hosts: [reviews]}]", "invalid-hostname", ".egress[0].hosts[0]"),
        ("egress: [{hosts: [A_b/*]}]", "invalid-hostname", ".egress[0].hosts[0]"),
        ("egress: [{hosts: [./a.*]}]", "invalid-hostname", ".egress[0].hosts[0]"),
        ("egress: [{hosts: [./*]}, {hosts: [./*]}]", "exclusive-fields", ".egress[0]"),
        (
            "egress: [{port: {number: 1, protocol: TCP}, hosts: [./*]}, "
            "{port: {number: 1, protocol: TCP}, hosts: [./*]}]",
            "duplicate-name",
            ".egress[1].port.number",
        ),
        (
            "egress: [{port: {number: 1, protocol: X}, hosts: [./*]}]",
            "invalid-value",
            ".egress[0].port.protocol",
        ),
        (
            "egress: [{port: {number: 0, protocol: TCP}, hosts: [./*]}]",
            "out-of-range",
            ".egress[0].port.number",
        ),
        (
            "egress: [{port: {number: 1, protocol: TCP}, bind: 127.0.0.1, hosts: [./*]}]",
            "not-honoured",
            ".egress[0].bind",
        ),
        ("egress: [{captureMode: NONE, hosts: [./*]}]", "not-honoured", ".egress[0].captureMode"),
        (
            "egress: [{hosts: [./*]}]\nworkloadSelector: {labels: {a: '*'}}",
            "invalid-label",
            ".workloadSelector.labels[a]",
        ),
        (
            "outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a}}",
            "not-honoured",
            ".outboundTrafficPolicy.egressProxy",
        ),
        ("ingress: [{defaultEndpoint: '127.0.0.1:80'}]", "missing-field", ".ingress[0].port"),
        ("ingress: [{port: {protocol: HTTP}}]", "out-of-range", ".ingress[0].port.number"),
        (
            "ingress: [{port: {number: 1, protocol: TCP}}, {port: {number: 1, protocol: HTTP}}]",
            "duplicate-name",
            ".ingress[1].port.number",
        ),
        (
            "ingress: [{port: {number: 1, protocol: TCP}, defaultEndpoint: '10.0.0.1:80'}]",
            "invalid-address",
            ".ingress[0].defaultEndpoint",
        ),
        (
            "ingress: [{port: {number: 1, protocol: TCP}, defaultEndpoint: '127.0.0.1:70000'}]",
            "invalid-address",
            ".ingress[0].defaultEndpoint",
        ),
        (
            "ingress: [{port: {number: 1, protocol: TCP}, bind: unix:///tmp/a}]",
            "invalid-address",
            ".ingress[0].bind",
        ),
        (
            "ingress: [{port: {number: 1, protocol: TCP}, defaultEndpoint: 'unix:///tmp/a'}]",
            "not-honoured",
            ".ingress[0].defaultEndpoint",
        ),
        (
            "ingress: [{port: {number: 1, protocol: TCP}, captureMode: NONE}]",
            "not-honoured",
            ".ingress[0].captureMode",
        ),
        ("ingress: [{port: {number: 1, protocol: UDP}}]", "not-honoured", ".ingress[0].port"),
        (
            "ingress: [{port: {number: 1, protocol: HTTPS}, tls: {mode: SIMPLE, privateKey: a, "
            "serverCertificate: b}}]",
            "not-honoured",
            ".ingress[0].tls",
        ),
        ("inboundConnectionPool: {}", "missing-field", ".inboundConnectionPool"),
    ],
)
def test_what_is_refused(spec: str, code: str, field: str) -> None:
    finding = only(document("Sidecar", spec, V1))
    assert (finding.code, finding.field) == (code, f"spec{field}")
