"""Pods, what makes them, and what they are configured with."""

from __future__ import annotations

import pytest

from tests.unit.model.test_admit import document, only
from tulle.model.kubernetes import DeploymentSpec, SecretSpec
from tulle.model.parse import parse

TEMPLATE = "template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, command: [a]}]}}"


def pod(container: str, rest: str = "") -> str:
    return document("Pod", f"containers:\n- {{name: a, {container}}}\n{rest}")


def test_a_deployment_as_it_is_published() -> None:
    text = document(
        "Deployment",
        """
        replicas: 2
        selector: {matchLabels: {app: a}}
        template:
          metadata: {labels: {app: a, version: v1}, annotations: {sidecar.istio.io/inject: "true"}}
          spec:
            serviceAccountName: a
            terminationGracePeriodSeconds: 5
            initContainers: [{name: init, command: ["true"]}]
            containers:
            - name: a
              image: docker.io/a:1
              command: [a]
              args: [--port, "80"]
              workingDir: /srv
              env:
              - {name: A, value: b}
              - {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
              - {name: C, valueFrom: {secretKeyRef: {name: s, key: k, optional: true}}}
              envFrom: [{configMapRef: {name: c}, prefix: X_}]
              ports: [{containerPort: 80, name: http}]
              readinessProbe: {httpGet: {port: http, httpHeaders: [{name: a, value: b}]}, periodSeconds: 1}
              livenessProbe: {tcpSocket: {port: 80}}
              startupProbe: {exec: {command: [a]}}
              volumeMounts:
              - {name: c, mountPath: /etc/c, subPath: k, readOnly: true}
              - {name: e, mountPath: /e}
            volumes:
            - {name: c, configMap: {name: c, items: [{key: k, path: k}]}}
            - {name: e, emptyDir: {}}
        """,
        "apps/v1",
    )
    (resource,), findings = parse(text, "a.yaml")
    assert findings == []
    spec: DeploymentSpec = resource.spec
    container = spec.template.spec.containers[0]
    assert container.readiness_probe is not None
    assert container.readiness_probe.http_get is not None
    assert container.readiness_probe.http_get.port == "http"


@pytest.mark.parametrize(
    ("container", "rest", "code", "field"),
    [
        ("env: [{name: A, value: 1}]", "", "wrong-type", "containers[0].env[0].value"),
        (
            "env: [{name: A, value: b, valueFrom: {fieldRef: {fieldPath: x}}}]",
            "",
            "exclusive-fields",
            "containers[0].env[0].valueFrom",
        ),
        ("env: [{name: A, valueFrom: {}}]", "", "exclusive-fields", "containers[0].env[0].valueFrom"),
        ("readinessProbe: {}", "", "exclusive-fields", "containers[0].readinessProbe"),
        ("readinessProbe: {grpc: {port: http}}", "", "wrong-type", "containers[0].readinessProbe.grpc.port"),
        (
            "volumeMounts: [{name: v, mountPath: /v}]",
            "",
            "unknown-volume",
            "containers[0].volumeMounts[0].name",
        ),
        ("command: run", "", "wrong-type", "containers[0].command"),
        ("comand: [run]", "", "unknown-field", "containers[0].comand"),
        ("ports: [{containerPort: 99999}]", "", "out-of-range", "containers[0].ports[0].containerPort"),
        ("image: a", "volumes: [{name: v}]", "exclusive-fields", "volumes[0]"),
        (
            "image: a",
            "volumes: [{name: v, configMap: {name: c, items: [{key: a, path: ../b}]}}]",
            "invalid-path",
            "volumes[0].configMap.items[0].path",
        ),
        ("image: a", "initContainers: [{name: a}]", "duplicate-name", "containers[0].name"),
        ("image: a", "hostAliases: [{ip: 1.2.3.4}]", "not-honoured", "hostAliases"),
    ],
)
def test_the_rules_of_a_pod(container: str, rest: str, code: str, field: str) -> None:
    finding = only(pod(container, rest))
    assert (finding.code, finding.field) == (code, f"spec.{field}"), finding


@pytest.mark.parametrize(
    ("kind", "api_version", "spec", "field"),
    [
        ("Deployment", "apps/v1", f"selector: {{matchLabels: {{app: b}}}}\n{TEMPLATE}", "spec.selector"),
        ("Deployment", "apps/v1", f"selector: {{}}\n{TEMPLATE}", "spec.selector"),
        ("StatefulSet", "apps/v1", TEMPLATE, "spec.selector"),
        ("DaemonSet", "apps/v1", TEMPLATE, "spec.selector"),
        ("DaemonSet", "apps/v1", f"selector: {{matchLabels: {{app: b}}}}\n{TEMPLATE}", "spec.selector"),
        ("Job", "batch/v1", TEMPLATE, "spec.template.spec.restartPolicy"),
        (
            "Deployment",
            "apps/v1",
            f"replicas: -1\nselector: {{matchLabels: {{app: a}}}}\n{TEMPLATE}",
            "spec.replicas",
        ),
        (
            "Deployment",
            "apps/v1",
            f"replicas: 10001\nselector: {{matchLabels: {{app: a}}}}\n{TEMPLATE}",
            "spec.replicas",
        ),
        (
            "StatefulSet",
            "apps/v1",
            f"replicas: 10001\nselector: {{matchLabels: {{app: a}}}}\n{TEMPLATE}",
            "spec.replicas",
        ),
    ],
)
def test_the_rules_of_what_makes_pods(kind: str, api_version: str, spec: str, field: str) -> None:
    assert only(document(kind, spec, api_version)).field == field


@pytest.mark.parametrize("unset", ["0", "''"])
def test_no_target_port_is_the_port_itself(unset: str) -> None:
    (service,), findings = parse(
        f"""
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{ports: [{{port: 80, targetPort: {unset}}}]}}
""",
        "f.yaml",
    )
    assert not findings
    assert service.spec.ports[0].target_port is None


def test_endpoints_of_a_service_without_selector() -> None:
    slices = """\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a-1, labels: {kubernetes.io/service-name: a}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]
ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: b}
subsets: [{addresses: [{ip: 10.0.0.2}], ports: [{port: 80}]}]
"""
    resources, findings = parse(slices, "a.yaml")
    assert findings == []
    assert [resource.key.kind for resource in resources] == ["EndpointSlice", "Endpoints"]
    assert only(slices.partition("---")[2].replace("10.0.0.2", "here")).code == "invalid-address"


def test_the_content_of_a_secret_is_decoded_and_never_shown() -> None:
    secret = SecretSpec(data={"a": "aGVsbG8=", "b": ""}, string_data={"b": "open"})
    assert secret.content == {"a": b"hello", "b": b"open"}
    assert "aGVs" not in repr(secret)
    assert "open" not in f"{secret}"
