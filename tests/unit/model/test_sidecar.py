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
        ("ingress: [{port: {number: 80, protocol: HTTP}}]", "not-honoured", ".ingress"),
    ],
)
def test_what_is_refused(spec: str, code: str, field: str) -> None:
    finding = only(document("Sidecar", spec, V1))
    assert (finding.code, finding.field) == (code, f"spec{field}")
