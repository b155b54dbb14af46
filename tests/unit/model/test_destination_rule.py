"""What a DestinationRule may say, and what Istio's CRD and validation refuse."""

from __future__ import annotations

import pytest

from tests.unit.model.test_admit import document, only
from tulle.model.istio import DestinationRuleSpec
from tulle.model.parse import parse

V1 = "networking.istio.io/v1"

EVERYTHING = """
host: "*.shop.svc.cluster.local"
exportTo: ["*"]
trafficPolicy:
  loadBalancer:
    consistentHash:
      httpCookie: {name: user, path: /, ttl: 0s, attributes: [{name: SameSite, value: Lax}]}
      maglev: {tableSize: 65537}
    localityLbSetting:
      distribute:
      - from: us-west/zone1/*
        to: {"us-west/zone1/*": 80, "us-west/zone2/*": 20}
      - from: us-west/zone2/*
        to: {"us-west/zone1/*": 20, "us-west/zone2/*": 80}
      enabled: true
  connectionPool:
    tcp:
      maxConnections: 100
      connectTimeout: 30ms
      tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}
      maxConnectionDuration: 1h
      idleTimeout: 0s
    http:
      http1MaxPendingRequests: 1
      http2MaxRequests: 1000
      maxRequestsPerConnection: 10
      maxRetries: 3
      idleTimeout: 1.5s
      h2UpgradePolicy: UPGRADE
      maxConcurrentStreams: 100
      http2KeepAlive: {interval: 30s, timeout: 5s}
  outlierDetection:
    splitExternalLocalOriginErrors: true
    consecutiveLocalOriginFailures: 5
    consecutiveGatewayErrors: 0
    consecutive5xxErrors: 7
    interval: 5m
    baseEjectionTime: 15m
    maxEjectionPercent: 100
    minHealthPercent: 50
    outlierDetectionHttpErrorCodes: [429, 503]
  tls:
    mode: MUTUAL
    clientCertificate: /etc/certs/client.pem
    privateKey: /etc/certs/key.pem
    caCertificates: /etc/certs/root.pem
    caCrl: /etc/certs/crl.pem
    subjectAltNames: [a.example]
    sni: a.example
  retryBudget: {percent: 12.5, minRetryConcurrency: 2, budgetInterval: 10s}
  proxyProtocol: {version: V2}
  portLevelSettings:
  - port: {number: 80}
    loadBalancer: {simple: LEAST_REQUEST, warmup: {duration: 30s, minimumPercent: 5, aggression: 1.5}}
    tls: {mode: SIMPLE, insecureSkipVerify: true}
subsets:
- name: V1-a
  labels: {version: v1}
  trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}
"""


def test_everything_at_once() -> None:
    (resource,), findings = parse(document("DestinationRule", EVERYTHING, V1), "a.yaml")
    assert findings == []
    spec: DestinationRuleSpec = resource.spec
    assert spec.traffic_policy is not None
    assert spec.traffic_policy.retry_budget is not None
    assert spec.traffic_policy.retry_budget.percent == 12.5


def refused(path: str, spec: str, code: str, culprit: str) -> None:
    finding = only(document("DestinationRule", f"host: reviews\n{spec}", V1))
    field = ".".join(part for part in ("spec", path, culprit) if part)
    assert (finding.code, finding.field) == (code, field), finding


@pytest.mark.parametrize(
    ("spec", "code", "culprit"),
    [
        ("subsets: [{name: a_b}]", "invalid-name", "subsets[0].name"),
        ("subsets: [{name: a}, {name: a}]", "duplicate-name", "subsets[1].name"),
        ("trafficPolicy: {}", "missing-field", "trafficPolicy"),
        (
            "trafficPolicy: {portLevelSettings: [{port: {number: 80}}]}",
            "missing-field",
            "trafficPolicy.portLevelSettings[0]",
        ),
        ("trafficPolicy: {retryBudget: {percent: 101}}", "out-of-range", "trafficPolicy.retryBudget.percent"),
        (
            "trafficPolicy: {proxyProtocol: {version: V3}}",
            "invalid-value",
            "trafficPolicy.proxyProtocol.version",
        ),
    ],
)
def test_rules(spec: str, code: str, culprit: str) -> None:
    refused("", spec, code, culprit)


@pytest.mark.parametrize(
    ("written", "code", "culprit"),
    [
        ("", "missing-field", ""),
        ("tcp: {maxConnections: -1}", "out-of-range", "tcp.maxConnections"),
        ("tcp: {connectTimeout: 0s}", "invalid-duration", "tcp.connectTimeout"),
        ("tcp: {idleTimeout: ten}", "invalid-duration", "tcp.idleTimeout"),
        (
            "http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}",
            "exclusive-fields",
            "http.useClientProtocol",
        ),
        ("http: {http2KeepAlive: {interval: 1s}}", "missing-field", "http.http2KeepAlive.timeout"),
    ],
)
def test_rules_of_connection_pools(written: str, code: str, culprit: str) -> None:
    refused(
        "trafficPolicy.connectionPool", f"trafficPolicy: {{connectionPool: {{{written}}}}}", code, culprit
    )


@pytest.mark.parametrize(
    ("written", "code", "culprit"),
    [
        ("consecutiveLocalOriginFailures: 3", "missing-field", "consecutiveLocalOriginFailures"),
        ("maxEjectionPercent: 101", "out-of-range", "maxEjectionPercent"),
        ("minHealthPercent: -1", "out-of-range", "minHealthPercent"),
        ("outlierDetectionHttpErrorCodes: [99]", "out-of-range", "outlierDetectionHttpErrorCodes[0]"),
    ],
)
def test_rules_of_outlier_detection(written: str, code: str, culprit: str) -> None:
    refused(
        "trafficPolicy.outlierDetection", f"trafficPolicy: {{outlierDetection: {{{written}}}}}", code, culprit
    )


@pytest.mark.parametrize(
    ("written", "code", "culprit"),
    [
        ("simple: RANDOM, consistentHash: {useSourceIp: true}", "exclusive-fields", "consistentHash"),
        (
            "consistentHash: {useSourceIp: true, httpHeaderName: a}",
            "exclusive-fields",
            "consistentHash.useSourceIp",
        ),
        ("consistentHash: {maglev: {tableSize: 4}}", "out-of-range", "consistentHash.maglev.tableSize"),
        (
            "consistentHash: {ringHash: {}, minimumRingSize: 4}",
            "exclusive-fields",
            "consistentHash.minimumRingSize",
        ),
        ("consistentHash: {httpCookie: {ttl: 0s}}", "missing-field", "consistentHash.httpCookie.name"),
        (
            "consistentHash: {httpCookie: {name: a, attributes: [{name: b}, {name: b}]}}",
            "duplicate-name",
            "consistentHash.httpCookie.attributes[1].name",
        ),
        ("warmup: {duration: 1s}, warmupDurationSecs: 1s", "exclusive-fields", "warmup"),
        ("warmup: {duration: 1s, minimumPercent: 101}", "out-of-range", "warmup.minimumPercent"),
        ("warmup: {duration: 1s, aggression: 0}", "out-of-range", "warmup.aggression"),
        ("localityLbSetting: {}, zoneAwareLbSetting: {}", "exclusive-fields", "zoneAwareLbSetting"),
    ],
)
def test_rules_of_load_balancers(written: str, code: str, culprit: str) -> None:
    refused("trafficPolicy.loadBalancer", f"trafficPolicy: {{loadBalancer: {{{written}}}}}", code, culprit)


@pytest.mark.parametrize(
    ("written", "code", "culprit"),
    [
        ("distribute: [{from: a, to: {a: 50}}]", "out-of-range", "distribute[0].to"),
        ("distribute: [{from: a, to: {a: 100, b: 0}}]", "out-of-range", "distribute[0].to[b]"),
        ("distribute: [{from: a, to: {a/b: 50, a: 50}}]", "invalid-locality", "distribute[0].to"),
        ('distribute: [{from: "a*/b", to: {a: 100}}]', "invalid-locality", "distribute"),
        ("distribute: [{from: a/, to: {a: 100}}]", "invalid-locality", "distribute"),
        (
            "distribute: [{from: a, to: {a: 100}}], failover: [{from: a, to: b}]",
            "exclusive-fields",
            "failover",
        ),
        ("failover: [{from: a, to: a}]", "invalid-locality", "failover[0]"),
        ("failover: [{from: a/b, to: c}]", "invalid-locality", "failover[0].from"),
        (
            "failover: [{from: a, to: b}], failoverPriority: [topology.istio.io/subzone]",
            "exclusive-fields",
            "failoverPriority[0]",
        ),
    ],
)
def test_rules_of_localities(written: str, code: str, culprit: str) -> None:
    setting = "trafficPolicy.loadBalancer.localityLbSetting"
    spec = f"trafficPolicy: {{loadBalancer: {{localityLbSetting: {{{written}}}}}}}"
    refused(setting, spec, code, culprit)


@pytest.mark.parametrize(
    ("written", "code", "culprit"),
    [
        ("mode: MUTUAL, clientCertificate: /a", "missing-field", "privateKey"),
        ("mode: SIMPLE, insecureSkipVerify: true, caCertificates: /a", "exclusive-fields", "caCertificates"),
        (
            "mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]",
            "exclusive-fields",
            "subjectAltNames",
        ),
    ],
)
def test_rules_of_tls(written: str, code: str, culprit: str) -> None:
    refused("trafficPolicy.tls", f"trafficPolicy: {{tls: {{{written}}}}}", code, culprit)


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ("tunnel: {targetHost: 'fe80::1%REQ(x)', targetPort: 80}", "tunnel.targetHost"),
        (f"tls: {{mode: SIMPLE, sni: {'a' * 256}}}", "tls.sni"),
        ("tls: {mode: SIMPLE, credentialName: ../other}", "tls.credentialName"),
    ],
)
def test_what_envoy_would_refuse_is_refused_before(policy: str, field: str) -> None:
    finding = only(document("DestinationRule", f"host: a\ntrafficPolicy: {{{policy}}}", V1))
    assert finding.field == f"spec.trafficPolicy.{field}"
