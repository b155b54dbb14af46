"""Ingress and IngressClass: what an API server would take, and what not."""

from __future__ import annotations

import pytest

from tests.unit.model.test_admit import document, only
from tulle.model.kubernetes import IngressSpec
from tulle.model.parse import parse

API = "networking.k8s.io/v1"
BACKEND = "backend: {service: {name: web, port: {number: 80}}}"


def path(written: str, kind: str = "Prefix") -> str:
    return f"rules: [{{http: {{paths: [{{path: {written}, pathType: {kind}, {BACKEND}}}]}}}}]"


def test_an_ingress_as_it_is_published() -> None:
    text = document(
        "Ingress",
        f"""
        ingressClassName: tulle
        tls: [{{hosts: [foo.bar.com, "*.foo.com"], secretName: foo}}]
        defaultBackend: {{service: {{name: web, port: {{name: http}}}}}}
        rules:
        - host: "*.foo.com"
          http:
            paths:
            - {{path: /foo, pathType: Exact, {BACKEND}}}
            - {{pathType: ImplementationSpecific, {BACKEND}}}
        - host: bare.foo.com
        """,
        API,
    )
    (resource,), findings = parse(text, "a.yaml")
    assert findings == []
    spec: IngressSpec = resource.spec
    assert spec.rules[0].http is not None
    assert [each.path_type for each in spec.rules[0].http.paths] == ["Exact", "ImplementationSpecific"]


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ("ingressClassName: tulle", "missing-field", "spec"),
        (path("foo"), "invalid-path", ".paths[0].path"),
        (path("/a//b"), "invalid-path", ".paths[0].path"),
        (path("/a/.."), "invalid-path", ".paths[0].path"),
        (path("''"), "invalid-path", ".paths[0].pathType"),
        (path("/", "Regex"), "invalid-value", ".paths[0].pathType"),
        ("rules: [{http: {paths: []}}]", "too-short", ".http.paths"),
        ("rules: [{host: 10.0.0.1}]", "invalid-hostname", "spec.rules[0].host"),
        ("rules: [{host: '*'}]", "invalid-hostname", "spec.rules[0].host"),
        ("rules: [{host: 'a.*.com'}]", "invalid-hostname", "spec.rules[0].host"),
        ("defaultBackend: {}", "exclusive-fields", "spec.defaultBackend"),
        ("defaultBackend: {service: {name: web, port: {}}}", "exclusive-fields", ".service.port"),
        (
            "defaultBackend: {service: {name: web, port: {name: a, number: 1}}}",
            "exclusive-fields",
            ".port.number",
        ),
        (
            "defaultBackend: {resource: {apiGroup: k8s.example.com, kind: StorageBucket, name: static}}",
            "not-honoured",
            "spec.defaultBackend.resource",
        ),
    ],
)
def test_what_no_api_server_takes_is_refused(spec: str, code: str, field: str) -> None:
    found = only(document("Ingress", spec, API))
    assert (found.code, found.field[-len(field) :]) == (code, field)


def test_a_class_is_written_in_one_place() -> None:
    text = document("Ingress", f"ingressClassName: tulle\n{path('/')}", API)
    annotated = text.replace("{name: x}", "{name: x, annotations: {kubernetes.io/ingress.class: tulle}}")
    found = only(annotated)
    assert (found.code, found.field) == (
        "exclusive-fields",
        "metadata.annotations.kubernetes.io/ingress.class",
    )


@pytest.mark.parametrize(
    ("controller", "accepted"),
    [
        ("tulle.dev/ingress-controller", True),
        ("k8s.io/ingress-nginx", True),
        ("nginx", False),
        ("example.com/", False),
        (f"example.com/{'a' * 240}", False),
    ],
)
def test_a_controller_is_a_path_of_a_domain(controller: str, accepted: bool) -> None:
    resources, _ = parse(document("IngressClass", f"controller: {controller}", API), "a.yaml")
    assert bool(resources) == accepted
