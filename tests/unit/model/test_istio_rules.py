"""Rules that Istio's Go validation states beside its schemas (pkg/config/validation), each by its name there:
what it refuses is refused, what it takes is taken, and what it warns of is warned of."""

from __future__ import annotations

import pytest

from tests.unit.model.test_admit import document, only
from tulle.model.findings import Severity
from tulle.model.parse import parse

V1 = "networking.istio.io/v1"
ROUTE = "route: [{destination: {host: a}}]"
PORT = "port: {number: 80, protocol: HTTP, name: a}"
TLS_PORT = "port: {number: 443, protocol: TLS, name: a}"
STATIC = "hosts: [a.example]\nresolution: STATIC\nports: [{number: 80, name: http, protocol: HTTP}]"


@pytest.mark.parametrize(
    ("rule", "kind", "spec", "field"),
    [
        (
            "ValidateDuration",
            "VirtualService",
            f"hosts: [a]\nhttp: [{{{ROUTE}, timeout: 1500us}}]",
            "http[0].timeout",
        ),
        (
            "ValidateDuration",
            "DestinationRule",
            "host: a\ntrafficPolicy: {outlierDetection: {interval: 1.0005s}}",
            "trafficPolicy.outlierDetection.interval",
        ),
        (
            "validateConnectionPool",
            "DestinationRule",
            "host: a\ntrafficPolicy: {connectionPool: {tcp: {idleTimeout: 1500us}}}",
            "trafficPolicy.connectionPool.tcp.idleTimeout",
        ),
        ("ValidateDNS1123Labels", "DestinationRule", "host: a.123", "host"),
        ("ValidateDNS1123Labels", "DestinationRule", "host: 1.2.3.4", "host"),
        ("ValidateWildcardDomain", "DestinationRule", "host: a_b", "host"),
        ("ValidateFQDN", "WorkloadEntry", "address: 1.2.3.4.5", "address"),
        ("ValidateFQDN", "WorkloadEntry", "address: '123'", "address"),
        (
            "ValidateFQDN",
            "VirtualService",
            f"hosts: [a]\ngateways: [a.7]\nhttp: [{{{ROUTE}}}]",
            "gateways[0]",
        ),
        (
            "ValidateNamespaceSlashWildcardHostname",
            "Gateway",
            f"servers: [{{hosts: [short], {PORT}}}]",
            "servers[0].hosts[0]",
        ),
        (
            "ValidateNamespaceSlashWildcardHostname",
            "Gateway",
            f"servers: [{{hosts: [~/a.com], {PORT}}}]",
            "servers[0].hosts[0]",
        ),
        (
            "ValidatePartialWildCard",
            "Gateway",
            f"servers: [{{hosts: ['*b.com'], {PORT}}}]",
            "servers[0].hosts[0]",
        ),
        ("ValidatePartialWildCard", "Sidecar", "egress: [{hosts: ['./*b.com']}]", "egress[0].hosts[0]"),
        (
            "ValidateNamespaceSlashWildcardHostname",
            "Sidecar",
            "egress: [{hosts: [./short]}]",
            "egress[0].hosts[0]",
        ),
        (
            "validateServerPort",
            "Gateway",
            "servers: [{hosts: [a.com], port: {number: 80, protocol: HTTP, name: a, targetPort: 81}}]",
            "servers[0].port.targetPort",
        ),
        ("validateExportTo", "DestinationRule", "host: a\nexportTo: [., default]", "exportTo[1]"),
        (
            "validateExportTo",
            "DestinationRule",
            "host: a\nworkloadSelector: {matchLabels: {a: b}}\nexportTo: [other]",
            "exportTo",
        ),
        (
            "ValidateAlphaWorkloadSelector",
            "ServiceEntry",
            f"{STATIC}\nworkloadSelector: {{labels: {{a: 'b*'}}}}",
            "workloadSelector.labels[a]",
        ),
        (
            "ValidateProbeHeaderName",
            "WorkloadGroup",
            "template: {}\nprobe: {httpGet: {port: 80, httpHeaders: [{value: a}]}}",
            "probe.httpGet.httpHeaders[0].name",
        ),
        (
            "ValidateWildcardDomainForVirtualServiceBoundToGateway",
            "VirtualService",
            f"hosts: [outbound_.80_._.a.b]\nhttp: [{{{ROUTE}}}]",
            "hosts[0]",
        ),
    ],
)
def test_what_is_refused(rule: str, kind: str, spec: str, field: str) -> None:
    finding = only(document(kind, spec, V1))
    assert finding.severity is Severity.ERROR
    assert finding.field in (f"spec.{field}", f"spec.{field}".replace("[a]", ".a")), rule


PASSED = "outbound_.15010_._.istiod.istio-system.svc.cluster.local"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("DestinationRule", "host: a\ntrafficPolicy: {loadBalancer: {warmupDurationSecs: 1.5005s}}"),
        ("DestinationRule", "host: a\ntrafficPolicy: {connectionPool: {tcp: {idleTimeout: 500us}}}"),
        (
            "DestinationRule",
            "host: a\ntrafficPolicy: {portLevelSettings: [{port: {}, tls: {mode: DISABLE}}]}",
        ),
        (
            "DestinationRule",
            "host: a\ntrafficPolicy: {loadBalancer: {consistentHash: "
            "{useSourceIp: true, maglev: {tableSize: 1}}}}",
        ),
        ("DestinationRule", "host: a\nexportTo: [default]\nworkloadSelector: {matchLabels: {a: b/c}}"),
        ("Gateway", f"selector: {{istio: a/b}}\nservers: [{{hosts: ['*/*', ./a.com, '*.com'], {PORT}}}]"),
        ("Sidecar", "egress: [{port: {number: 80, name: HTTP}, hosts: ['*/*']}]"),
        ("WorkloadGroup", "template: {address: 1.1.1.1/33, labels: {a: b/c}}"),
        (
            "VirtualService",
            f"hosts: [{PASSED}]\ngateways: [a/b]\n"
            f"tls: [{{match: [{{sniHosts: [{PASSED}]}}], route: [{{destination: {{host: a}}}}]}}]",
        ),
    ],
)
def test_what_is_taken(kind: str, spec: str) -> None:
    resources, findings = parse(document(kind, spec, V1), "a.yaml")
    assert resources
    assert not [each for each in findings if each.severity is not Severity.INFO], findings


@pytest.mark.parametrize(
    ("kind", "spec", "code", "field"),
    [
        (
            "VirtualService",
            f"hosts: [a]\nhttp: [{{{ROUTE}, mirrorPercent: 50}}]",
            "deprecated",
            "http[0].mirrorPercent",
        ),
        (
            "VirtualService",
            f"hosts: [a]\nhttp: [{{{ROUTE}, fault: {{abort: {{}}}}}}]",
            "no-effect",
            "http[0].fault.abort",
        ),
        (
            "VirtualService",
            f"hosts: [a]\ngateways: [edge.shop]\nhttp: [{{{ROUTE}}}]",
            "deprecated",
            "gateways[0]",
        ),
        (
            "VirtualService",
            "hosts: [a]\ntls: [{match: [{sniHosts: [1.1.1.1]}], route: [{destination: {host: a}}]}]",
            "no-effect",
            "tls[0].match[0].sniHosts[0]",
        ),
        (
            "VirtualService",
            f"hosts: [a]\nhttp: [{{directResponse: {{status: 200, body: {{string: {'a' * 102_401}}}}}}}]",
            "large-body",
            "http[0].directResponse.body",
        ),
        (
            "DestinationRule",
            "host: a\ntrafficPolicy: {loadBalancer: {localityLbSetting: {failoverPriority: [a]}}}",
            "no-effect",
            "trafficPolicy.loadBalancer.localityLbSetting",
        ),
        (
            "DestinationRule",
            "host: a\ntrafficPolicy: {tls: {mode: ISTIO_MUTUAL, privateKey: /a}}",
            "no-effect",
            "trafficPolicy.tls.privateKey",
        ),
        (
            "DestinationRule",
            "host: a\ntrafficPolicy: {loadBalancer: {consistentHash: "
            "{useSourceIp: true, minimumRingSize: 5}}}",
            "deprecated",
            "trafficPolicy.loadBalancer.consistentHash.minimumRingSize",
        ),
        ("DestinationRule", "host: a\nworkloadSelector: {}", "selects-everything", "workloadSelector"),
        (
            "Sidecar",
            "workloadSelector: {}\negress: [{hosts: ['*/*']}]",
            "selects-everything",
            "workloadSelector",
        ),
        ("Sidecar", "egress: [{hosts: [a/*, a/b.c]}]", "duplicate-host", "egress[0].hosts[1]"),
        ("ServiceEntry", f"{STATIC}\nworkloadSelector: {{}}", "selects-everything", "workloadSelector"),
        (
            "ServiceEntry",
            STATIC.replace("STATIC", "NONE") + "\nworkloadSelector: {labels: {a: b}}",
            "no-effect",
            "workloadSelector",
        ),
        ("ServiceEntry", STATIC.replace("a.example", "'*a.example'"), "invalid-hostname", "hosts[0]"),
        (
            "Gateway",
            f"servers: [{{hosts: [a.com], {TLS_PORT}, tls: {{httpsRedirect: true}}}}]",
            "no-effect",
            "servers[0].tls.httpsRedirect",
        ),
        (
            "Gateway",
            f"servers: [{{hosts: [a.com], {TLS_PORT}, tls: {{mode: PASSTHROUGH, credentialName: a}}}}]",
            "no-effect",
            "servers[0].tls.credentialName",
        ),
        (
            "Gateway",
            f"servers: [{{hosts: [a.com], {TLS_PORT}, tls: {{minProtocolVersion: TLSV1_0}}}}]",
            "no-effect",
            "servers[0].tls.minProtocolVersion",
        ),
    ],
)
def test_what_is_warned_of(kind: str, spec: str, code: str, field: str) -> None:
    resources, findings = parse(document(kind, spec, V1), "a.yaml")
    assert resources, findings
    warnings = [each for each in findings if each.severity is Severity.WARNING]
    assert [(each.code, each.field) for each in warnings] == [(code, f"spec.{field}")]
    assert warnings[0].line > 4 and warnings[0].remedy
