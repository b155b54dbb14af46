"""Rules and matches that nothing can reach are found; those that something can reach are not."""

from __future__ import annotations

import pytest

from tests.unit.model.test_admit import document
from tulle.model.findings import Severity
from tulle.model.parse import parse

V1 = "networking.istio.io/v1"


def dead(kind: str, spec: str, api_version: str = V1) -> list[tuple[str, str]]:
    resources, findings = parse(document(kind, spec, api_version), "a.yaml")
    assert resources, findings
    return [
        (each.code, each.field.removeprefix("spec."))
        for each in findings
        if each.severity is Severity.WARNING
    ]


def http(*matches: str) -> list[tuple[str, str]]:
    routes = "\n".join(f"- {{route: [{{destination: {{host: a}}}}], match: [{each}]}}" for each in matches)
    return dead("VirtualService", f"hosts: [a]\nhttp:\n{routes}")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("", "uri: {exact: /a}"),
        ("uri: {prefix: /}", "headers: {a: {exact: b}}"),
        ("uri: {prefix: /a}", "uri: {prefix: /ab}"),
        ("uri: {prefix: /a}", "uri: {exact: /a/b}, method: {exact: GET}"),
        ("uri: {prefix: /a}, ignoreUriCase: true", "uri: {exact: /A/b}"),
        ("headers: {End-User: {}}", "headers: {end-user: {exact: jason}}"),
        ("uri: {regex: a.*}", "uri: {regex: a.*}, port: 80"),
        ("sourceLabels: {app: a}", "sourceLabels: {app: a, version: v1}"),
    ],
)
def test_a_wider_match_takes_all_of_a_narrower_one(first: str, second: str) -> None:
    found = http(f"{{{first}}}" if first else "", f"{{{second}}}")
    assert found == [("unreachable-rule", "http[1]")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("uri: {prefix: /ab}", "uri: {prefix: /a}"),
        ("uri: {prefix: /a}", "uri: {regex: /a.*}"),
        ("uri: {prefix: /a}", "uri: {prefix: /A}, ignoreUriCase: true"),
        ("uri: {prefix: /a}, method: {exact: GET}", "uri: {prefix: /ab}"),
        ("headers: {a: {exact: b}}", "headers: {a: {prefix: b}}"),
        ("withoutHeaders: {a: {}}", "headers: {a: {}}"),
        ("gateways: [b/c]", "uri: {prefix: /a}"),
        ("port: 80", "port: 81"),
        ("sourceNamespace: a", "sourceNamespace: b"),
    ],
)
def test_what_something_can_reach_is_not_told(first: str, second: str) -> None:
    assert http(f"{{{first}}}", f"{{{second}}}") == []


def test_one_match_of_several() -> None:
    found = http("{uri: {prefix: /a}}", "{uri: {prefix: /ab}}, {uri: {prefix: /b}}")
    assert found == [("unreachable-match", "http[1].match[0]")]


def test_a_delegate_takes_only_what_its_routes_take() -> None:
    routes = "- delegate: {name: b}\n- route: [{destination: {host: a}}]\n- route: [{destination: {host: a}}]"
    assert dead("VirtualService", f"hosts: [a]\nhttp:\n{routes}") == [("unreachable-rule", "http[2]")]


def test_connections() -> None:
    route = "route: [{destination: {host: a}}]"
    tcp = f"hosts: [a]\ntcp:\n- {{{route}}}\n- {{match: [{{port: 1}}], {route}}}"
    assert dead("VirtualService", tcp) == [("unreachable-rule", "tcp[1]")]
    sni = "match: [{{sniHosts: [{}]}}]"
    tls = "hosts: ['*.com']\ngateways: [a/b]\ntls:\n" + "\n".join(
        f"- {{{sni.format(name)}, {route}}}" for name in ("'*.com'", "a.com", "a.com")
    )
    assert dead("VirtualService", tls) == [("unreachable-rule", "tls[2]")]


def backends(rules: str) -> str:
    for name in "ab":
        rules = rules.replace(f"TO_{name.upper()}", f"backendRefs: [{{name: {name}, port: 1}}]")
    return f"rules:\n{rules}"


def test_of_equal_matches_of_an_http_route_the_first_holds() -> None:
    rules = (
        "- {matches: [{path: {value: /a/}, headers: [{name: X, value: a}]}], TO_A}",
        "- {matches: [{path: {value: /}}], TO_A}",
        "- {matches: [{headers: [{name: x, value: a}], path: {value: /a}}], TO_B}",
        "- {TO_B}",
        "- {matches: [{path: {value: /}}, {path: {value: /b}}], TO_B}",
    )
    found = dead("HTTPRoute", backends("\n".join(rules)), "gateway.networking.k8s.io/v1")
    assert found == [
        ("unreachable-rule", "rules[2]"),
        ("unreachable-rule", "rules[3]"),
        ("unreachable-match", "rules[4].matches[0]"),
    ]


def test_of_equal_matches_of_a_grpc_route_the_first_holds() -> None:
    rules = "rules:\n- {TO_A}\n- {matches: [{}], TO_B}"
    found = dead("GRPCRoute", rules, "gateway.networking.k8s.io/v1")
    assert found == [("unreachable-rule", "rules[1]")]
