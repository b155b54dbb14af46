"""The constraints of Envoy's protobufs, as they are read here, against the Envoy that they are for: what one
refuses the other refuses too."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.envoy import BINARY
from tests.golden.case import inputs, outcome
from tulle.xds import message
from tulle.xds.bundle import CLUSTER, LISTENER, ROUTE
from tulle.xds.patch.constraint import violations
from tulle.xds.patch.value import read

_CLASSES = {LISTENER: message.Listener, ROUTE: message.RouteConfiguration, CLUSTER: message.Cluster}

HTTP = message.type_url(message.HttpConnectionManager)
MANAGER = """
name: l
address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
filter_chains:
- filters:
  - name: envoy.filters.network.http_connection_manager
    typed_config:
      "@type": HTTP
      stat_prefix: x
      http_filters:
      - name: envoy.filters.http.router
        typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
      {}
""".replace("HTTP", HTTP)
HOST = "route_config: {{name: r, virtual_hosts: [{{name: h, domains: ['*'], {}}}]}}"


def host(text: str) -> str:
    return MANAGER.format(HOST.format(text))


def checked(text: str) -> str:
    """A cluster with a health check."""
    return f"{{name: c, health_checks: [{{healthy_threshold: 1, {text}}}]}}"


REDIRECT = 'routes: [{match: {prefix: /}, redirect: {host_redirect: "a\\nb"}}]'
WEIGHTED = "routes: [{match: {prefix: /}, route: {weighted_clusters: {clusters: []}}}]"
BOUND = "{name: c, upstream_bind_config: {source_address: {address: '', port_value: 0}}}"
RING = "{name: c, lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 9000000}}"
MANY = "{header: {key: a, value: x}}, " * 1001

CASES: list[tuple[str, str, str]] = [
    ("string min_len", "cluster", "{name: ''}"),
    ("number lte", "cluster", RING),
    ("duration gt", "cluster", "{name: c, connect_timeout: 0s}"),
    ("duration required", "cluster", checked("interval: 1s, unhealthy_threshold: 1, tcp_health_check: {}")),
    ("oneof required", "cluster", checked("timeout: 1s, interval: 1s, unhealthy_threshold: 1")),
    ("message required", "cluster", checked("timeout: 1s, interval: 1s, tcp_health_check: {}")),
    ("enum defined_only", "cluster", "{name: c, lb_policy: 99}"),
    ("enum inside", "cluster", "{name: c, lb_subset_config: {fallback_policy: 77}}"),
    ("wrapped number lte", "cluster", "{name: c, outlier_detection: {enforcing_success_rate: 101}}"),
    ("string min_len inside", "cluster", BOUND),
    ("repeated min_items", "listener", host(WEIGHTED)),
    ("repeated max_items", "listener", host(f"request_headers_to_add: [{MANY}]")),
    ("repeated items", "listener", host('request_headers_to_remove: ["a\\nb"]')),
    ("number range", "listener", host("routes: [{match: {prefix: /}, direct_response: {status: 700}}]")),
    ("wrapped number inside", "listener", MANAGER.format("max_request_headers_kb: 9000")),
    ("well_known_regex", "listener", host(REDIRECT)),
    ("nested Any", "listener", MANAGER.replace("stat_prefix: x", "stat_prefix: ''").format("rds: {}")),
    ("oneof required inside", "listener", host("routes: [{match: {prefix: /}}]")),
    ("header name", "listener", host("request_headers_to_add: [{header: {key: '', value: x}}]")),
]


def refused(kind: str, value: Any, directory: Path) -> str:
    """What Envoy has against one listener or cluster; empty if nothing."""
    file = directory / "envoy.json"
    file.write_text(json.dumps({"static_resources": {f"{kind}s": [value]}}))
    done = subprocess.run(
        [BINARY, "--mode", "validate", "-c", str(file), "-l", "error"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr + done.stdout if done.returncode else ""


@pytest.mark.parametrize(("rule", "kind", "text"), CASES, ids=[f"{each[0]}" for each in CASES])
def test_what_is_refused_here_is_refused_by_envoy(rule: str, kind: str, text: str, tmp_path: Path) -> None:
    value = yaml.safe_load(text)
    made, faults = read(message.Cluster if kind == "cluster" else message.Listener, value)
    assert not faults
    assert "ValidationError" in refused(kind, value, tmp_path)
    assert next(violations(made), None), rule


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("cluster", "{name: c, connect_timeout: 1s, outlier_detection: {enforcing_success_rate: 100}}"),
        ("listener", host("routes: [{match: {prefix: /}, direct_response: {status: 200}}]")),
        ("listener", host("request_headers_to_add: [{header: {key: a, value: x}}]")),
        ("listener", MANAGER.format("route_config: {name: r}\n      max_request_headers_kb: 8192")),
    ],
)
def test_what_envoy_takes_is_taken_here(kind: str, text: str, tmp_path: Path) -> None:
    value = yaml.safe_load(text)
    made, faults = read(message.Cluster if kind == "cluster" else message.Listener, value)
    assert not faults
    assert refused(kind, value, tmp_path) == ""
    assert list(violations(made)) == []


@pytest.mark.parametrize("file", [each for each in inputs() if each.parent.name != "proxyless"], ids=str)
def test_what_tulle_makes_itself_breaks_none(file: Path) -> None:
    """gRPC clients have rules of their own and are never patched."""
    for one in outcome(file).resources:
        if one.type_url in _CLASSES:
            assert list(violations(_CLASSES[one.type_url].FromString(one.body))) == []
