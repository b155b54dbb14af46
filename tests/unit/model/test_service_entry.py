"""What a ServiceEntry or a WorkloadEntry is refused for: the rules of Istio's CRDs and of its validation."""

from __future__ import annotations

import pytest

from tulle.model.findings import Severity
from tulle.model.parse import parse

PORT = "ports: [{number: 80, name: http, protocol: HTTP}]"
TCP = "ports: [{number: 9000, name: tcp, protocol: TCP}]"


def errors(spec: str, kind: str = "ServiceEntry") -> list[tuple[str, str]]:
    text = f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{{spec}}}"
    _, findings = parse(text, "a.yaml")
    return [(each.code, each.field) for each in findings if each.severity is Severity.ERROR]


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ("hosts: ['*']", "invalid-hostname", "spec.hosts[0]"),
        ("hosts: []", "too-short", "spec.hosts"),
        ("hosts: ['*.a.example'], resolution: DNS", "invalid-hostname", "spec.hosts[0]"),
        (
            "hosts: [a.example], resolution: DNS, addresses: [10.0.0.0/8]",
            "exclusive-fields",
            "spec.addresses[0]",
        ),
        ("hosts: [a.example], addresses: [ten]", "invalid-address", "spec.addresses[0]"),
        ("hosts: [a.example], endpoints: [{address: 10.1.1.1}]", "exclusive-fields", "spec.endpoints"),
        (
            "hosts: [a.example], resolution: STATIC, endpoints: [{address: b.example}]",
            "invalid-address",
            "spec.endpoints[0].address",
        ),
        (
            "hosts: [a.example], resolution: STATIC, endpoints: [{address: 10.1.1.1, ports: {web: 80}}]",
            "unknown-port",
            "spec.endpoints[0].ports.web",
        ),
        (
            "hosts: [a.example], resolution: DNS_ROUND_ROBIN, endpoints: [{address: b.c}, {address: d.e}]",
            "exclusive-fields",
            "spec.endpoints",
        ),
        (
            f"hosts: [a.example, b.example], resolution: DNS, {TCP}",
            "exclusive-fields",
            "spec.ports[0].protocol",
        ),
        (
            "hosts: [a.example], resolution: STATIC, workloadSelector: {}, endpoints: [{address: 10.1.1.1}]",
            "exclusive-fields",
            "spec.endpoints",
        ),
        (
            "hosts: [a.example], ports: [{number: 80, name: a}, {number: 80, name: b}]",
            "duplicate-name",
            "spec.ports[1].number",
        ),
        (
            "hosts: [a.example], resolution: STATIC, endpoints: [{address: 'unix:///run/a'}]",
            "not-honoured",
            "spec.endpoints[0].address",
        ),
        ("hosts: [a.example], resolution: DYNAMIC_DNS", "invalid-hostname", "spec.hosts[0]"),
        # Envoy would refuse the listener of that port at every caller, with all that others have there.
        (
            "hosts: ['*-a.example'], ports: [{number: 443, name: tls, protocol: TLS}]",
            "not-honoured",
            "spec.hosts[0]",
        ),
        (
            "hosts: ['*-a.b.c'], resolution: DYNAMIC_DNS, ports: [{number: 443, name: a, protocol: tls}]",
            "not-honoured",
            "spec.hosts[0]",
        ),
    ],
)
def test_what_is_refused(spec: str, code: str, field: str) -> None:
    assert errors(spec) == [(code, field)]


def test_what_is_accepted() -> None:
    assert errors(f"hosts: ['*.a.example'], {PORT}") == []
    assert errors(f"hosts: ['*-a.example'], resolution: DYNAMIC_DNS, {PORT}") == []
    assert errors("hosts: [a.example], ports: [{number: 443, name: HTTPS, protocol: https}]") == []
    assert errors("address: 10.1.1.1, network: vm", "WorkloadEntry") == []
    assert errors("template: {serviceAccount: a}, probe: {tcpSocket: {port: 80}}", "WorkloadGroup") == []


def test_a_workload_entry_has_an_address_and_a_group_one_probe() -> None:
    assert errors("labels: {app: a}", "WorkloadEntry") == [("missing-field", "spec.address")]
    probe = "template: {}, probe: {tcpSocket: {port: 80}, grpc: {port: 80}}"
    assert [code for code, _ in errors(probe, "WorkloadGroup")] == ["exclusive-fields"]
