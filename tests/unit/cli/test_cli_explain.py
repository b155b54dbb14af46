"""explain: what would happen to a request, in files and in a running mesh."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.api.fake import FakeMesh, workload
from tests.unit.cli.conftest import Tulle

MESH = """\
apiVersion: tulle.dev/v1
kind: App
metadata: {name: shop, namespace: shop}
spec:
  services:
    web: {port: 9080, protocol: http, command: web, replicas: 2}
    reviews: {port: 9080, protocol: http, command: reviews}
    orders: {port: 7000, protocol: tcp, command: orders}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: tulle
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: front, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  hostnames: [shop.example]
  rules:
  - backendRefs: [{name: web, port: 9080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {x-user: {exact: jason}}}]
    route: [{destination: {host: nobody}}]
  - route: [{destination: {host: reviews}}]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mesh.yaml").write_text(MESH)


def test_each_step_names_the_line_that_it_is_because_of(tulle: Tulle) -> None:
    done = tulle("explain", "GET", "http://reviews:9080/a", "--from", "web", "-f", "mesh.yaml")
    assert done.status == 0, done.err
    assert "reviews.shop.svc.cluster.local, virtual address" in done.out
    assert "is not it: it wants header x-user is 'jason'" in done.out
    assert "because of VirtualService shop/reviews, mesh.yaml:34:5" in done.out
    assert "both proxies process HTTP: the mesh's httpProcessing" in done.out
    assert done.out.endswith("forwarded to outbound|9080||reviews.shop.svc.cluster.local\n")


def test_what_an_envoy_filter_may_change_on_the_way_is_named(tulle: Tulle) -> None:
    Path("filter.yaml").write_text("""\
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: inward, namespace: shop}
spec:
  workloadSelector: {labels: {app: reviews}}
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND}
    patch: {operation: ADD, value: {name: x}}
""")
    asked = ("explain", "GET", "http://reviews:9080/", "--from", "web-1.shop", "-f", "mesh.yaml")
    limit = "EnvoyFilter shop/inward changes this proxy, and its patches are not looked at here"
    assert limit not in tulle(*asked).out
    done = tulle(*asked, "-f", "filter.yaml")
    assert done.status == 0, done.err
    assert limit in " ".join(done.out.split())
    there = tulle(
        "explain", "GET", "http://web:9080/", "--from", "reviews.shop", "-f", "mesh.yaml", "-f", "filter.yaml"
    )
    assert limit not in " ".join(there.out.split())


def test_an_error_of_the_mesh_is_exit_status_1(tulle: Tulle) -> None:
    asked = (
        "explain",
        "GET",
        "http://reviews:9080/",
        "--from",
        "web-1.shop",
        "-f",
        "mesh.yaml",
        "-o",
        "json",
    )
    done = tulle(*asked, "-H", "X-User: jason")
    assert done.status == 1
    outcome = json.loads(done.out)["outcome"]
    assert (outcome["status"], outcome["reason"]) == (503, "answered")


def test_a_gateway_is_asked_by_the_name_of_its_resource(tulle: Tulle) -> None:
    done = tulle("explain", "GET", "http://shop.example/", "--at", "edge.shop", "-f", "mesh.yaml")
    assert done.status == 0, done.err
    assert "forwarded to outbound|9080||web.shop.svc.cluster.local" in done.out
    unknown = tulle("explain", "GET", "http://other.example/", "--at", "edge", "-f", "mesh.yaml")
    assert (unknown.status, "with 404" in unknown.out) == (1, True)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("tcp://orders:7000", "forwarded to outbound|7000||orders.shop.svc.cluster.local"),
        ("http://nowhere.example/", "passed through to PassthroughCluster"),
        ("http://reviews:9999/", "closed"),
    ],
)
def test_connections_and_what_is_not_in_the_mesh(tulle: Tulle, url: str, said: str) -> None:
    done = tulle("explain", "GET", url, "--from", "web-1.shop", "-f", "mesh.yaml")
    assert done.out.rstrip().endswith(said)


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        (("http://reviews/",), "who would call?", 2),
        (("http://reviews/", "--from", "web", "--at", "edge"), "exclude each other", 2),
        (("ftp://reviews", "--from", "web"), "says not where to", 1),
        (("http://reviews:99999/", "--from", "web"), "is no URL", 1),
        (("http://reviews", "--from", "nobody"), "no workload default/nobody", 1),
        (("http://reviews", "--at", "nobody"), "no gateway nobody", 1),
        (("http://reviews", "--from", "web", "-H", "jason"), "is no header", 2),
        (("http://reviews", "--from", "web", "-H", "x user: jason"), "'x user' is no name of a header", 1),
        (("http://localhost:9080", "--from", "web"), "localhost is the workload's own", 1),
        (("http://127.0.0.1:9080", "--from", "web"), "127.0.0.1 is the workload's own", 1),
    ],
)
def test_what_cannot_be_understood_is_said(
    tulle: Tulle, arguments: tuple[str, ...], said: str, status: int
) -> None:
    done = tulle("explain", "GET", *arguments, "-f", "mesh.yaml")
    assert (done.status, said in done.err, done.out) == (status, True, "")


def test_the_running_mesh_is_asked_where_there_are_no_files(tulle: Tulle, mesh: FakeMesh) -> None:
    mesh.workloads = (workload("web-1"),)
    done = tulle("explain", "GET", "http://reviews/", "--from", "web-1.shop")
    assert (done.status, "shop/web-1 asks" in done.out) == (1, True)


def test_a_method_is_a_word(tulle: Tulle) -> None:
    done = tulle("explain", "GET /", "http://reviews", "--from", "web", "-f", "mesh.yaml")
    assert (done.status, "'GET /' is no method of HTTP" in done.err) == (1, True)


RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: calm, namespace: shop}
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {consistentHash: {httpHeaderName: x-user}}
    connectionPool: {tcp: {maxConnections: 7, connectTimeout: 30ms}, http: {http2MaxRequests: 9}}
    outlierDetection: {consecutive5xxErrors: 3, baseEjectionTime: 1m, maxEjectionPercent: 50}
"""


def test_what_a_destination_rule_says_is_told_with_its_line(tulle: Tulle) -> None:
    Path("rule.yaml").write_text(RULE)
    asked = ("explain", "GET", "http://reviews:9080/", "--from", "web", "-f", "mesh.yaml")
    plain = tulle(*asked)
    assert not {"balancing", "limits", "outliers"} & set(plain.out.split())
    done = tulle(*asked, "-f", "rule.yaml")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    because = "because of DestinationRule shop/calm, rule.yaml:6:3"
    for said in (
        "balancing an endpoint by hash (ring) of header x-user",
        "limits of each proxy: at most 7 connections, at most 9 requests at one time, 30ms to connect",
        "outliers an endpoint is left out after 3 5xx in a row, for 60s at first, 50% of them at most",
    ):
        assert lines[lines.index(said) + 1] == because


def test_names_of_workloads_may_have_dots(tulle: Tulle) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: my.app, namespace: shop}\n"
    Path("pod.yaml").write_text(pod + "spec: {containers: [{name: a, command: [a]}]}\n")
    files = ("-f", "mesh.yaml", "-f", "pod.yaml")
    for name in (("my.app", "-n", "shop"), ("my.app.shop",), ("shop/my.app",)):
        assert tulle("explain", "GET", "http://reviews:9080/", "--from", *name, *files).status == 0
