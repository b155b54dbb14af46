"""The short form for processes."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from tulle.model.app import AppSpec
from tulle.model.parse import parse
from tulle.model.resource import Resource


def app(services: str) -> tuple[list[Resource[Any]], list[Any]]:
    body = textwrap.indent(textwrap.dedent(services).strip(), "    ")
    text = f"apiVersion: tulle.dev/v1\nkind: App\nmetadata: {{name: shop}}\nspec:\n  services:\n{body}\n"
    return parse(text, "a.yaml")


def spec(services: str) -> AppSpec:
    resources, findings = app(services)
    assert findings == []
    return resources[0].spec


def test_ten_services_fit_on_one_screen() -> None:
    parsed = spec(
        "".join(f"s{number}: {{port: 9080, protocol: http, command: run}}\n" for number in range(10))
    )
    assert len(parsed.services) == 10


def test_a_command_is_split_without_a_shell_or_taken_as_a_list() -> None:
    services = spec("""
        a: {command: "python 'my app.py' $HOME | cat"}
        b: {command: [python, "my app.py"]}
    """).services
    assert services["a"].command == ("python", "my app.py", "$HOME", "|", "cat")
    assert services["b"].command == ("python", "my app.py")


def test_a_version_may_have_another_proxy_than_its_service() -> None:
    variants = (
        spec("a: {command: run, proxy: grpc, versions: {v1: {}, v2: {proxy: none}}}").services["a"].variants()
    )
    assert [each.proxy for each in variants.values()] == ["grpc", "none"]
    assert spec("a: {command: run}").services["a"].proxy is None


def test_environment_values_are_texts_as_they_were_written() -> None:
    env = spec("a: {command: run, env: {A: x, B: 1, C: true, D: 1.10, E: '', F: 0x10}}").services["a"].env
    assert env == {"A": "x", "B": "1", "C": "true", "D": "1.10", "E": "", "F": "16"}


def test_a_version_overrides_the_service_and_merges_env_and_labels() -> None:
    service = spec("""
        reviews:
          port: 9080
          command: run
          env: {A: 1, B: 2}
          labels: {team: x}
          replicas: 2
          versions:
            v1: {}
            v2: {command: run2, env: {B: 3, C: 4}, replicas: 0, labels: {canary: "yes"}}
    """).services["reviews"]
    first, second = service.variants().values()
    assert (first.command, first.replicas, dict(first.env)) == (("run",), 2, {"A": "1", "B": "2"})
    assert (second.command, second.replicas) == (("run2",), 0)
    assert second.env == {"A": "1", "B": "3", "C": "4"}
    assert second.labels == {"version": "v2", "team": "x", "canary": "yes"}


def test_without_versions_there_is_one_variant_without_a_name() -> None:
    variants = spec("a: {command: run, workdir: src}").services["a"].variants()
    assert list(variants) == [""]
    assert variants[""].workdir == "src"


def test_ports_are_written_short_or_long() -> None:
    services = spec("""
        a: {command: run, port: 80, protocol: grpc}
        b:
          command: run
          ports: [{port: 80, name: http, targetPort: 8080}, {port: 53, name: dns, protocol: udp}]
        c: {command: run}
    """).services
    assert [(port.port, port.protocol) for port in services["a"].service_ports()] == [(80, "grpc")]
    assert [(port.name, port.target_port) for port in services["b"].service_ports()] == [
        ("http", 8080),
        ("dns", None),
    ]
    assert services["c"].service_ports() == ()


def test_readiness_takes_seconds_or_durations() -> None:
    ready = (
        spec("a: {port: 1, command: run, readiness: {http: /healthz, period: 500ms, timeout: 2}}")
        .services["a"]
        .readiness
    )
    assert ready is not None
    assert (ready.http, ready.period, ready.timeout, ready.initial_delay) == ("/healthz", 0.5, 2.0, 0.0)


@pytest.mark.parametrize(
    ("services", "code", "field"),
    [
        ("a: {port: 80}", "missing-field", "spec.services.a"),
        ("a: {versions: {v1: {}}}", "missing-field", "spec.services.a.versions.v1"),
        ('a: {command: "run \'x"}', "invalid-command", "spec.services.a.command"),
        ("a: {command: ''}", "invalid-command", "spec.services.a.command"),
        ("a: {command: run, port: 1, ports: [{port: 2}]}", "exclusive-fields", "spec.services.a.ports"),
        ("a: {command: run, protocol: http}", "exclusive-fields", "spec.services.a.protocol"),
        ("a: {command: run, port: 1, protocol: htp}", "invalid-value", "spec.services.a.protocol"),
        ("a: {command: run, ports: [{port: 1}, {port: 2}]}", "missing-field", "spec.services.a.ports[0]"),
        (
            "a: {command: run, ports: [{port: 1, name: x}, {port: 1, name: y}]}",
            "duplicate-port",
            "spec.services.a.ports[1].port",
        ),
        (
            "a: {command: run, ports: [{port: 1, name: x}, {port: 2, name: x}]}",
            "duplicate-name",
            "spec.services.a.ports[1].name",
        ),
        ("a: {command: run, env: {A=B: x}}", "invalid-name", "spec.services.a.env.A=B"),
        ("a: {command: run, env: {A: [x]}}", "wrong-type", "spec.services.a.env.A"),
        ("a_b: {command: run}", "invalid-name", "spec.services.a_b"),
        ("a: {command: run, replicas: -1}", "out-of-range", "spec.services.a.replicas"),
        ("a: {command: run, replicas: 10001}", "out-of-range", "spec.services.a.replicas"),
        ("a: {command: run, locality: a/b/c/d}", "invalid-locality", "spec.services.a.locality"),
        ("a: {command: run, proxy: envoy}", "invalid-value", "spec.services.a.proxy"),
        ("a: {command: run, readiness: {}}", "exclusive-fields", "spec.services.a.readiness"),
        (
            "a: {command: run, readiness: {http: /, tcp: 1}}",
            "exclusive-fields",
            "spec.services.a.readiness.tcp",
        ),
        (
            "a: {command: run, readiness: {tcp: 1, port: 2}}",
            "exclusive-fields",
            "spec.services.a.readiness.port",
        ),
        (
            "a: {command: run, readiness: {tcp: 1, period: soon}}",
            "invalid-duration",
            "spec.services.a.readiness.period",
        ),
        (
            "a: {command: run, versions: {v1: {}}}\na-v1: {command: run}",
            "duplicate-name",
            "spec.services.a.versions.v1",
        ),
    ],
)
def test_what_is_refused(services: str, code: str, field: str) -> None:
    resources, findings = app(services)
    assert resources == []
    assert [(finding.code, finding.field.replace("[A=B]", ".A=B")) for finding in findings] == [(code, field)]
    assert findings[0].remedy
