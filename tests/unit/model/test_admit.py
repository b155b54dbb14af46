"""What is refused, at which field, with which remedy; and where support ends."""

from __future__ import annotations

import textwrap

import pytest

from tulle.model.findings import Finding, Severity
from tulle.model.parse import parse

POD = "containers: [{name: a, command: [a]}]"


def document(kind: str, spec: str, api_version: str = "v1", name: str = "x") -> str:
    body = textwrap.indent(textwrap.dedent(spec).strip(), "  ")
    return f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{body}\n"


def findings_of(text: str) -> list[Finding]:
    return parse(text, "a.yaml")[1]


def only(text: str) -> Finding:
    resources, findings = parse(text, "a.yaml")
    assert resources == [], findings
    assert len(findings) == 1, [str(finding) for finding in findings]
    return findings[0]


@pytest.mark.parametrize(
    ("text", "code", "field", "remedy"),
    [
        ("kind: Service\nmetadata: {name: x}", "missing-field", "apiVersion", "Write apiVersion"),
        ("apiVersion: v1\nmetadata: {name: x}", "missing-field", "kind", "Write kind"),
        ("apiVersion: 1\nkind: Service", "wrong-type", "apiVersion", "quotation marks"),
        ("apiVersion: v1\nkind: Servce", "unknown-kind", "kind", "Did you mean Service?"),
        ("apiVersion: v1\nkind: Deployment", "unknown-kind", "apiVersion", "Write apiVersion: apps/v1."),
        (
            "apiVersion: x.io/v1\nkind: Gateway",
            "unknown-kind",
            "apiVersion",
            "gateway.networking.k8s.io/v1 or networking.istio.io/v1",
        ),
        (
            "apiVersion: networking.istio.io/v2\nkind: VirtualService",
            "unknown-version",
            "apiVersion",
            "networking.istio.io/v1 or networking.istio.io/v1beta1",
        ),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {}", "missing-field", "metadata.name", "Write name"),
        ("apiVersion: v1\nkind: ConfigMap", "missing-field", "metadata.name", "Write name"),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: A_b}",
            "invalid-name",
            "metadata.name",
            "lower-case",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, labels: {a b: c}}",
            "invalid-label",
            "metadata.labels[a b]",
            "NAME",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, label: {}}",
            "unknown-field",
            "metadata.label",
            "Did you mean “labels”?",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspecs: {}\nspec: {containers: [{name: a}]}",
            "unknown-field",
            "specs",
            "Did you mean “spec”?",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: 1}",
            "wrong-type",
            "data.a",
            "quotation",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nspec: {}",
            "unknown-field",
            "spec",
            "Known are",
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {a: '?'}",
            "invalid-base64",
            "data[a]",
            "stringData",
        ),
    ],
)
def test_the_head_of_a_document(text: str, code: str, field: str, remedy: str) -> None:
    finding = only(text)
    assert (finding.code, finding.field) == (code, field), finding
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("spec", "code", "field", "line", "remedy"),
    [
        (
            "ports: [{port: 80, targetport: 1}]",
            "unknown-field",
            "spec.ports[0].targetport",
            5,
            "“targetPort”",
        ),
        ("ports: {port: 80}", "wrong-type", "spec.ports", 5, "Write a list."),
        ("ports: [80]", "wrong-type", "spec.ports[0]", 5, "Write a mapping."),
        ("ports:\n- port: '80'", "wrong-type", "spec.ports[0].port", 6, "Remove the quotation marks."),
        ("ports: [{port: 80.5}]", "wrong-type", "spec.ports[0].port", 5, "Write a whole number."),
        ("ports: [{port: 0}]", "out-of-range", "spec.ports[0].port", 5, "at least 1"),
        ("ports: [{port: 65536}]", "out-of-range", "spec.ports[0].port", 5, "at most 65535"),
        (
            "ports: [{port: 1, targetPort: [1]}]",
            "wrong-type",
            "spec.ports[0].targetPort",
            5,
            "number or a text",
        ),
        (
            "ports: [{port: 1, targetPort: A!}]",
            "invalid-port-name",
            "spec.ports[0].targetPort",
            5,
            "RFC 6335",
        ),
        ("ports: [{port: 1, protocol: TPC}]", "invalid-value", "spec.ports[0].protocol", 5, "“TCP”"),
        ("ports: [{port: 1}, {port: 2}]", "missing-field", "spec.ports[0]", 5, "name: http"),
        (
            "ports: [{port: 1, name: a}, {port: 1, name: b}]",
            "duplicate-port",
            "spec.ports[1].port",
            5,
            "Remove",
        ),
        (
            "ports: [{port: 1, name: a}, {port: 2, name: a}]",
            "duplicate-name",
            "spec.ports[1].name",
            5,
            "own name",
        ),
        ("type: ExternalName", "missing-field", "spec.type", 5, "externalName: HOST"),
        ("selector: {a: b}", "missing-field", "spec", 4, "Write ports"),
        (
            "ports: [{port: 1}]\nsessionAffinity: ClientIP",
            "not-honoured",
            "spec.sessionAffinity",
            6,
            "Change or",
        ),
    ],
)
def test_the_fields_of_a_service(spec: str, code: str, field: str, line: int, remedy: str) -> None:
    finding = only(document("Service", spec))
    assert (finding.code, finding.field, finding.line) == (code, field, line), finding
    assert remedy in finding.remedy


def test_every_wrong_field_is_told_at_once() -> None:
    text = document("Service", "selector: []\nports:\n- port: 0\n  nam: x\n- port: 1")
    fields = [finding.field for finding in findings_of(text)]
    assert fields == ["spec.selector", "spec.ports[0].port", "spec.ports[0].nam"]


def test_a_list_is_not_called_empty_for_a_wrong_item() -> None:
    assert only(document("Pod", "containers: [{nam: x, name: a}]")).field == "spec.containers[0].nam"
    assert only(document("Pod", "containers: []")).code == "too-short"


def test_null_counts_as_left_out() -> None:
    text = document("Service", "clusterIP:\nselector: null\nports: [{port: 80, name: null}]")
    resources, findings = parse(text, "a.yaml")
    assert findings == []
    assert resources[0].spec.selector is None


def test_the_published_names_alone_are_fields() -> None:
    assert only(document("Service", "ports: [{port: 80, target_port: 1}]")).code == "unknown-field"


def test_a_field_without_meaning_for_processes_is_an_information() -> None:
    text = document("Pod", f"{POD}\nnodeName: worker\nsecurityContext: {{runAsUser: 1}}")
    resources, findings = parse(text, "a.yaml")
    assert len(resources) == 1
    assert [(each.code, each.severity, each.field) for each in findings] == [
        ("no-effect", Severity.INFO, "spec.nodeName"),
        ("no-effect", Severity.INFO, "spec.securityContext"),
    ]


def test_a_kind_without_meaning_for_processes_is_an_information() -> None:
    head = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n"
    text = head + "metadata: {name: 'a:b'}\nrules: [{verbs: [get]}]"
    resources, findings = parse(text, "a.yaml")
    assert [resource.key.namespace for resource in resources] == [""]
    assert [(each.code, each.severity) for each in findings] == [("no-effect", Severity.INFO)]


def test_a_field_with_its_default_value_changes_nothing_and_is_not_told() -> None:
    assert (
        findings_of(document("Service", "ports: [{port: 1}]\nsessionAffinity: None\nexternalIPs: []")) == []
    )


def test_a_namespace_on_a_kind_without_one_is_left_alone() -> None:
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: b}"
    resources, findings = parse(text, "a.yaml")
    assert resources[0].key.namespace == ""
    assert [finding.field for finding in findings] == ["metadata.namespace"]


def test_what_an_api_server_adds_is_taken() -> None:
    text = """\
apiVersion: v1
kind: Service
metadata:
  name: x
  uid: 1234
  resourceVersion: "12"
  generation: 3
  creationTimestamp: 2026-01-01T00:00:00Z
  managedFields: [{manager: kubectl}]
spec: {ports: [{port: 80}]}
status: {loadBalancer: {}}
"""
    assert only(text).field == "metadata.uid"
    assert findings_of(text.replace("1234", "abcd")) == []


def test_no_finding_shows_what_is_in_a_secret() -> None:
    text = (
        "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {a: sesame-open}\nstringData: {b: 424242}"
    )
    resources, findings = parse(text, "a.yaml")
    assert resources == []
    assert not any("sesame" in str(finding) or "424242" in str(finding) for finding in findings)
