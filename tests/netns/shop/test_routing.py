"""Both languages of routes, on the same two programs: weights, matches, gateways, and what leads nowhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.netns.mesh import Mesh
from tests.netns.shop.binomial import bounds

CALLS = 1000

SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo, namespace: lab}
spec:
  host: echo
  subsets:
  - {name: one, labels: {version: v1}}
  - {name: two, labels: {version: v2}}
---
"""

WEIGHTS = {
    "gateway-api": """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: echo, namespace: lab}
spec:
  parentRefs: [{group: "", kind: Service, name: echo, port: 8080}]
  rules:
  - backendRefs:
    - {name: echo-v1, port: 8080, weight: 9}
    - {name: echo-v2, port: 8080, weight: 1}
""",
    "istio": SUBSETS
    + """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo, namespace: lab}
spec:
  hosts: [echo]
  http:
  - route:
    - {destination: {host: echo, subset: one}, weight: 30}
    - {destination: {host: echo, subset: two}, weight: 70}
""",
}
SHARE = {"gateway-api": 0.9, "istio": 0.3}

MATCHES = {
    "gateway-api": """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: echo, namespace: lab}
spec:
  parentRefs: [{group: "", kind: Service, name: echo}]
  rules:
  - matches:
    - headers: [{name: end-user, value: jason}]
    - method: DELETE
    - path: {type: PathPrefix, value: /new}
    - path: {type: Exact, value: /only}
    - queryParams: [{name: version, value: "2"}]
    - path: {type: PathPrefix, value: /both}
      headers: [{name: beta, value: "yes"}]
    backendRefs: [{name: echo-v2, port: 8080}]
  - backendRefs: [{name: echo-v1, port: 8080}]
""",
    "istio": SUBSETS
    + """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo, namespace: lab}
spec:
  hosts: [echo]
  http:
  - match:
    - headers: {end-user: {exact: jason}}
    - method: {exact: DELETE}
    - uri: {prefix: /new/}
    - uri: {exact: /new}
    - uri: {exact: /only}
    - queryParams: {version: {exact: "2"}}
    - uri: {prefix: /both}
      headers: {beta: {exact: "yes"}}
    route: [{destination: {host: echo, subset: two}}]
  - route: [{destination: {host: echo, subset: one}}]
""",
}

REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("echo-v1", {"url": "/"}),
    ("echo-v2", {"url": "/", "headers": {"end-user": "jason"}}),
    ("echo-v2", {"url": "/", "headers": {"End-User": "jason"}}),
    ("echo-v1", {"url": "/", "headers": {"end-user": "jasonette"}}),
    ("echo-v2", {"url": "/", "method": "DELETE"}),
    ("echo-v1", {"url": "/", "method": "POST", "body": "x"}),
    ("echo-v2", {"url": "/new"}),
    ("echo-v2", {"url": "/new/book?and=query"}),
    ("echo-v1", {"url": "/newer"}),
    ("echo-v2", {"url": "/only"}),
    ("echo-v1", {"url": "/only/this"}),
    ("echo-v2", {"url": "/?version=2"}),
    ("echo-v1", {"url": "/?version=21"}),
    ("echo-v1", {"url": "/both"}),
    ("echo-v1", {"url": "/", "headers": {"beta": "yes"}}),
    ("echo-v2", {"url": "/both", "headers": {"beta": "yes"}}),
]


@pytest.mark.parametrize("language", WEIGHTS)
def test_weights_hold(shop: Mesh, language: str) -> None:
    """1,000 calls; a correct proxy fails this once in a million runs (binomial, both tails)."""
    with shop.applied(WEIGHTS[language]):
        counts = shop.run_program("client.lab", "shares", "http://echo:8080/", str(CALLS))
    assert set(counts) == {"echo-v1", "echo-v2"}
    assert counts["echo-v1"] in bounds(CALLS, SHARE[language]), counts


@pytest.mark.parametrize("language", MATCHES)
def test_requests_are_told_apart(shop: Mesh, language: str) -> None:
    requests = [{**request, "url": f"http://echo:8080{request['url']}"} for _, request in REQUESTS]
    with shop.applied(MATCHES[language]):
        answers = shop.requests("client.lab", *requests)
    answered = [json.loads(answer["body"])["name"] for answer in answers]
    assert [(name, request) for name, (_, request) in zip(answered, REQUESTS, strict=True)] == REQUESTS


def test_without_a_route_every_version_is_called_again(shop: Mesh) -> None:
    """Balanced by least request over two: all 60 calls on one has a chance of 2e-18."""
    with shop.applied(MATCHES["istio"]):
        pass
    counts = shop.run_program("client.lab", "shares", "http://echo:8080/", "60")
    assert set(counts) == {"echo-v1", "echo-v2"}


@pytest.mark.parametrize("form", ["echo", "echo.lab", "echo.lab.svc", "echo.lab.svc.cluster.local"])
def test_a_route_holds_for_every_form_of_the_name(shop: Mesh, form: str) -> None:
    with shop.applied(MATCHES["gateway-api"]):
        answers = shop.requests("client.lab", *[f"http://{form}:8080/only"] * 5)
    assert {json.loads(answer["body"])["name"] for answer in answers} == {"echo-v2"}


LEADS_NOWHERE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: nowhere, namespace: lab}
spec:
  parentRefs: [{group: "", kind: Service, name: echo}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /nowhere}}]
    backendRefs: [{name: nobody, port: 8080}]
  - backendRefs: [{name: echo-v1, port: 8080}]
"""


def test_a_route_to_a_service_that_is_not_there_answers_500_and_says_so(shop: Mesh) -> None:
    with shop.applied(LEADS_NOWHERE):
        nowhere, other = shop.requests("client.lab", "http://echo:8080/nowhere", "http://echo:8080/")
        route = shop.json("get", "httproute", "nowhere", "-n", "lab")
        findings = shop.json("analyze")["findings"]
    assert (nowhere["status"], other["status"]) == (500, 200)
    [resolved] = [
        condition
        for parent in route["status"]["parents"]
        for condition in parent["conditions"]
        if condition["type"] == "ResolvedRefs"
    ]
    assert (resolved["status"], resolved["reason"]) == ("False", "BackendNotFound")
    assert "nobody" in resolved["message"]
    [finding] = [each for each in findings if each["name"] == "nowhere"]
    assert (finding["kind"], finding["namespace"]) == ("HTTPRoute", "lab")
    assert finding["field"].startswith("spec.rules[0].backendRefs[0]")
    assert "nobody" in finding["message"] and finding["remedy"]


def test_the_service_that_was_missing_is_used_as_soon_as_it_comes(shop: Mesh) -> None:
    late = """
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: lab}
spec: {selector: {app: echo, version: v2}, ports: [{name: http, port: 8080}]}
"""
    with shop.applied(LEADS_NOWHERE):
        assert shop.request("client.lab", "http://echo:8080/nowhere")["status"] == 500
        with shop.applied(late):
            answer = shop.request("client.lab", "http://echo:8080/nowhere")
    assert json.loads(answer["body"])["name"] == "echo-v2"


def test_a_gateway_in_istios_language(shop: Mesh) -> None:
    documents = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: lab}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 8088, name: http, protocol: HTTP}
    hosts: [echo.example]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front, namespace: lab}
spec:
  hosts: [echo.example]
  gateways: [front]
  http:
  - match: [{uri: {prefix: /v2}}]
    route: [{destination: {host: echo-v2.lab.svc.cluster.local, port: {number: 8080}}}]
  - route: [{destination: {host: echo-v1, port: {number: 8080}}}]
"""
    with shop.applied(documents):
        shop.ready("istio-system", "istio-ingressgateway")
        local = shop.local("istio-system", "istio-ingressgateway")
        names = {}
        for path in ("/", "/v2"):
            with_host = ["curl", "-sS", "-H", "Host: echo.example", f"http://{local}{path}"]
            names[path] = json.loads(shop.run(*with_host))["name"]
        assert names == {"/": "echo-v1", "/v2": "echo-v2"}
        other = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"http://{local}/"]
        assert shop.run(*other) == "404"


def test_a_change_under_load_fails_no_request(shop: Mesh) -> None:
    """Weights, subsets, new clusters and their removal, with a caller that goes on meanwhile."""
    with shop.steady("client.lab", "http://echo:8080/", rate=100) as outcome:
        for language in ("istio", "gateway-api", "istio"):
            with shop.applied(WEIGHTS[language]):
                pass
            with shop.applied(MATCHES[language]):
                pass
    assert outcome["failures"] == []
    assert outcome["total"] > 100
