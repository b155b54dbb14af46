"""Gateways of the Gateway API: listeners, host names, and the routes that they let in; with their status."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.mesh.certificate import secret
from tests.unit.mesh.routed import ask, codes, shop, table
from tulle.mesh.resolve import Part, PartKind, Resolution
from tulle.mesh.scope import Scope
from tulle.mesh.view import Gateway, HttpChain, Protocol, ServerTls
from tulle.model.resource import Key

GROUP = "gateway.networking.k8s.io"
REVIEWS, RATINGS, DETAILS = (
    f"outbound|9080||{name}.shop.svc.cluster.local" for name in ("reviews", "ratings", "details")
)


def gateway(listeners: str, gateway_class: str = "tulle") -> str:
    return f"""
apiVersion: {GROUP}/v1
kind: Gateway
metadata: {{name: edge, namespace: shop, generation: 3}}
spec:
  gatewayClassName: {gateway_class}
  listeners: {listeners}
"""


def route(
    name: str,
    to: str = "reviews",
    hostnames: str = "[]",
    parent: str = "{name: edge}",
    namespace: str = "shop",
    path: str = "/",
    backend: str = "",
) -> str:
    return f"""
apiVersion: {GROUP}/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: {namespace}, generation: 7}}
spec:
  parentRefs: [{parent}]
  hostnames: {hostnames}
  rules:
  - matches: [{{path: {{value: {path}}}}}]
    backendRefs: [{{name: {to}, port: 9080{backend}}}]
"""


HTTP = "{name: http, port: 80, protocol: HTTP}"


def served(resolution: Resolution) -> Gateway:
    found = resolution.gateway(("shop", "edge-istio"))
    assert found is not None
    return found


def conditions(resolution: Resolution, kind: str, name: str, namespace: str = "shop") -> Any:
    """type -> (status, reason) of every parent, listener and the whole."""
    status: Any = resolution.status(Key(GROUP, kind, namespace, name))
    assert status is not None

    def short(each: list[dict[str, str]]) -> dict[str, str]:
        return {one["type"]: f"{one['status']} {one['reason']}" for one in each}

    if kind in ("HTTPRoute", "GRPCRoute"):
        return [short(parent["conditions"]) for parent in status["parents"]]
    listeners = {each["name"]: short(each["conditions"]) for each in status["listeners"]}
    return short(status["conditions"]), listeners


def test_a_gateway_serves_the_routes_bound_to_it_and_404_for_the_rest() -> None:
    world, resolution = shop(gateway(f"[{HTTP}]"), route("all", path="/reviews"))
    view = served(resolution)
    assert [(each.name, each.port, each.protocol) for each in view.listeners] == [("0.0.0.0_80", 80, "HTTP")]
    assert view.listeners[0].chains[0].then == HttpChain("http.80", "outbound_0.0.0.0_80")
    assert ask(view, "http.80", "any.example.com", "/reviews/1") == REVIEWS
    assert ask(view, "http.80", "any.example.com", "/") == "404"
    assert [each.name for each in view.clusters] == [REVIEWS]  # those of its routes alone
    assert view.clusters[0].mtls is not None
    assert view.identity == "spiffe://cluster.local/ns/shop/sa/edge-istio"
    assert resolution.parts(("shop", "edge-istio")) == (Part(PartKind.GATEWAY, Scope("shop"), "edge-istio"),)
    assert list(resolution.endpoint_queries(Part(PartKind.GATEWAY, Scope("shop"), "edge-istio"))) == [REVIEWS]

    accepted = {"Accepted": "True Accepted", "ResolvedRefs": "True ResolvedRefs"}
    assert conditions(resolution, "HTTPRoute", "all") == [accepted]
    whole, listeners = conditions(resolution, "Gateway", "edge")
    assert whole == {**accepted, "Programmed": "True Programmed"}
    assert listeners == {
        "http": {**accepted, "Programmed": "True Programmed", "Conflicted": "False NoConflicts"}
    }
    status: Any = resolution.status(Key(GROUP, "Gateway", "shop", "edge"))
    workload = world.workload(("shop", "edge-istio"))
    assert workload is not None
    assert status["addresses"] == [{"type": "IPAddress", "value": workload.address}]
    assert status["conditions"][0]["observedGeneration"] == 3
    assert status["listeners"][0]["attachedRoutes"] == 1
    assert status["listeners"][0]["supportedKinds"] == [
        {"group": GROUP, "kind": kind} for kind in ("HTTPRoute", "GRPCRoute")
    ]


def test_the_parent_in_a_status_is_the_one_that_was_written() -> None:
    _, resolution = shop(gateway(f"[{HTTP}]"), route("one", parent="{name: edge, sectionName: http}"))
    status: Any = resolution.status(Key(GROUP, "HTTPRoute", "shop", "one"))
    (parent,) = status["parents"]
    assert parent["parentRef"] == {"group": GROUP, "kind": "Gateway", "name": "edge", "sectionName": "http"}
    assert parent["controllerName"] == "tulle.dev/gateway-controller"
    assert parent["conditions"][0]["observedGeneration"] == 7


def test_host_names_are_those_that_the_listener_and_the_route_have_in_common() -> None:
    _, resolution = shop(
        gateway("[{name: http, port: 80, protocol: HTTP, hostname: '*.example.com'}]"),
        route("exact", "ratings", "[a.example.com, a.example.org]"),
        route("wide", "details", "['*.b.example.com', '*.com']", path="/wide"),
        route("other", hostnames="[example.org]"),
    )
    view = served(resolution)
    assert ask(view, "http.80", "a.example.com") == RATINGS
    assert ask(view, "http.80", "a.example.org") == "404"
    assert ask(view, "http.80", "x.b.example.com", "/wide") == DETAILS
    assert ask(view, "http.80", "x.example.com", "/wide") == DETAILS
    assert ask(view, "http.80", "example.com", "/wide") == "404"
    assert conditions(resolution, "HTTPRoute", "other")[0]["Accepted"] == "False NoMatchingListenerHostname"
    assert codes(resolution) == [("not-attached", "HTTPRoute/other", "spec.parentRefs[0]")]


def test_the_most_specific_host_name_is_tried_first_and_then_wider_ones() -> None:
    _, resolution = shop(
        gateway(f"[{HTTP}]"),
        route("wide", "details", "['*.example.com']", path="/deep/er"),
        route("exact", "ratings", "[a.example.com]", path="/deep"),
        route("any", "reviews"),
    )
    view = served(resolution)
    assert ask(view, "http.80", "a.example.com", "/deep/er") == RATINGS
    assert ask(view, "http.80", "b.example.com", "/deep/er") == DETAILS
    assert ask(view, "http.80", "a.example.com", "/other") == REVIEWS


def test_a_request_belongs_to_the_most_specific_listener_alone() -> None:
    _, resolution = shop(
        gateway(
            "[{name: any, port: 80, protocol: HTTP},"
            "{name: wild, port: 80, protocol: HTTP, hostname: '*.example.com'},"
            "{name: exact, port: 80, protocol: HTTP, hostname: a.example.com}]"
        ),
        route("any", "reviews", parent="{name: edge, sectionName: any}"),
        route("wild", "details", parent="{name: edge, sectionName: wild}", path="/wild"),
        route("exact", "ratings", parent="{name: edge, sectionName: exact}", path="/exact"),
    )
    view = served(resolution)
    assert ask(view, "http.80", "a.example.com", "/exact") == RATINGS
    assert ask(view, "http.80", "a.example.com", "/wild") == "404"
    assert ask(view, "http.80", "b.example.com", "/wild") == DETAILS
    assert ask(view, "http.80", "b.example.com", "/") == "404"
    assert ask(view, "http.80", "example.org", "/") == REVIEWS


@pytest.mark.parametrize(
    ("allowed", "labels", "reason"),
    [
        ("{from: Same}", "{}", "False NotAllowedByListeners"),
        ("{from: Selector}", "{}", "False NotAllowedByListeners"),
        ("{from: All}", "{}", "True Accepted"),
        ("{from: Selector, selector: {matchLabels: {team: web}}}", "{team: web}", "True Accepted"),
        ("{from: Selector, selector: {matchLabels: {team: web}}}", "{}", "False NotAllowedByListeners"),
        (
            "{from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: front}}}",
            "{}",
            "True Accepted",
        ),
    ],
)
def test_a_listener_says_from_where_it_takes_routes(allowed: str, labels: str, reason: str) -> None:
    _, resolution = shop(
        gateway(f"[{{name: http, port: 80, protocol: HTTP, allowedRoutes: {{namespaces: {allowed}}}}}]"),
        route("far", "storefront", parent="{name: edge, namespace: shop}", namespace="front"),
        f"""
        apiVersion: v1
        kind: Namespace
        metadata: {{name: front, labels: {labels}}}
        """,
    )
    assert conditions(resolution, "HTTPRoute", "far", "front")[0]["Accepted"] == reason


@pytest.mark.parametrize("parent", ["{name: edge, sectionName: other}", "{name: edge, port: 81}"])
def test_a_listener_that_is_not_there_takes_nothing(parent: str) -> None:
    _, resolution = shop(gateway(f"[{HTTP}]"), route("lost", parent=parent))
    assert conditions(resolution, "HTTPRoute", "lost")[0]["Accepted"] == "False NoMatchingParent"


def test_at_a_gateway_a_backend_of_another_namespace_needs_a_grant() -> None:
    far = route("far", "storefront", backend=", namespace: front").replace("9080", "80")
    _, resolution = shop(gateway(f"[{HTTP}]"), far)
    assert ask(served(resolution), "http.80", "x") == "500"
    assert conditions(resolution, "HTTPRoute", "far") == [
        {"Accepted": "True Accepted", "ResolvedRefs": "False RefNotPermitted"}
    ]
    assert codes(resolution) == [
        ("reference-not-permitted", "HTTPRoute/far", "spec.rules[0].backendRefs[0].namespace")
    ]

    for name, permits in (("", True), (", name: storefront", True), (", name: other", False)):
        grant = f"""
        apiVersion: {GROUP}/v1beta1
        kind: ReferenceGrant
        metadata: {{name: grant, namespace: front}}
        spec:
          from: [{{group: {GROUP}, kind: HTTPRoute, namespace: shop}}]
          to: [{{group: "", kind: Service{name}}}]
        """
        _, resolution = shop(gateway(f"[{HTTP}]"), far, grant)
        cluster = "outbound|80||storefront.front.svc.cluster.local"
        assert ask(served(resolution), "http.80", "x") == (cluster if permits else "500")


@pytest.mark.parametrize(
    ("refs", "reason"),
    [
        ("[{name: nobody, port: 9080}]", "False BackendNotFound"),
        ("[{group: example.com, kind: Bucket, name: b}]", "False InvalidKind"),
    ],
)
def test_a_backend_that_cannot_be_used_is_in_the_status(refs: str, reason: str) -> None:
    written = route("bad").replace("[{name: reviews, port: 9080}]", refs)
    _, resolution = shop(gateway(f"[{HTTP}]"), written)
    assert conditions(resolution, "HTTPRoute", "bad") == [
        {"Accepted": "True Accepted", "ResolvedRefs": reason}
    ]
    assert ask(served(resolution), "http.80", "x") == "500"


HTTPS = "{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}"
NAMED = HTTPS.replace("port: 443", "port: 443, hostname: a.example.com").replace("name: https", "name: named")


def test_https_is_served_with_the_secret_by_the_name_that_is_asked_for() -> None:
    _, resolution = shop(gateway(f"[{HTTPS}, {NAMED}]"), route("all"), secret("cert", "shop"))
    view = served(resolution)
    (listener,) = view.listeners
    assert [(chain.server_names, chain.tls) for chain in listener.chains] == [
        ((), ServerTls(("shop/cert",))),
        (("a.example.com",), ServerTls(("shop/cert",))),
    ]
    assert ask(view, "https.443.https.edge.shop", "b.example.com") == REVIEWS
    assert ask(view, "https.443.named.edge.shop", "a.example.com") == REVIEWS
    # What belongs on another listener's connections is sent back (421).
    assert ask(view, "https.443.https.edge.shop", "a.example.com") == "421"
    assert ask(view, "https.443.named.edge.shop", "b.example.com") == "421"
    _, listeners = conditions(resolution, "Gateway", "edge")
    assert listeners["named"]["OverlappingTLSConfig"] == "True OverlappingHostnames"


@pytest.mark.parametrize(
    ("ref", "texts", "reason"),
    [
        ("{name: cert}", [], "False InvalidCertificateRef"),
        ("{name: cert, kind: ConfigMap}", [], "False InvalidCertificateRef"),
        ("{name: cert, namespace: front}", [secret("cert", "front")], "False RefNotPermitted"),
        (
            "{name: cert}",
            [secret("cert", "shop").replace("tls.key", "other.key")],
            "False InvalidCertificateRef",
        ),
    ],
)
def test_https_without_a_certificate_is_not_served(ref: str, texts: list[str], reason: str) -> None:
    listener = HTTPS.replace("{name: cert}", ref)
    _, resolution = shop(gateway(f"[{listener}, {HTTP}]"), route("all"), *texts)
    assert [each.port for each in served(resolution).listeners] == [80]
    whole, listeners = conditions(resolution, "Gateway", "edge")
    assert listeners["https"]["ResolvedRefs"] == reason
    assert listeners["https"]["Programmed"] == "False Invalid"
    assert listeners["http"]["Programmed"] == "True Programmed"
    assert whole == {
        "Accepted": "True ListenersNotValid",
        "Programmed": "True Programmed",
        "ResolvedRefs": "False ListenersNotResolved",
    }
    assert codes(resolution)[0][2] == "spec.listeners[0].tls.certificateRefs"


def test_listeners_that_cannot_share_a_port_are_not_served() -> None:
    _, resolution = shop(
        gateway(f"[{HTTP}, {HTTPS.replace('443', '80')}, {HTTP.replace('80', '81').replace('http', 'ok')}]"),
        secret("cert", "shop"),
    )
    assert [each.port for each in served(resolution).listeners] == [81]
    _, listeners = conditions(resolution, "Gateway", "edge")
    assert listeners["http"]["Conflicted"] == "True ProtocolConflict"
    assert listeners["https"]["Programmed"] == "False Invalid"
    assert listeners["ok"]["Conflicted"] == "False NoConflicts"


def test_kinds_that_nobody_serves_are_named() -> None:
    kinds = "allowedRoutes: {kinds: [{kind: HTTPRoute}, {kind: FooRoute}]}"
    _, resolution = shop(gateway(f"[{{name: http, port: 80, protocol: HTTP, {kinds}}}]"), route("all"))
    _, listeners = conditions(resolution, "Gateway", "edge")
    assert listeners["http"]["ResolvedRefs"] == "False InvalidRouteKinds"
    assert ask(served(resolution), "http.80", "x") == REVIEWS


def test_a_gateway_of_another_controller_is_left_alone() -> None:
    other = f"""
    apiVersion: {GROUP}/v1
    kind: GatewayClass
    metadata: {{name: theirs}}
    spec: {{controllerName: example.com/controller}}
    ---
    apiVersion: {GROUP}/v1
    kind: GatewayClass
    metadata: {{name: ours}}
    spec: {{controllerName: tulle.dev/gateway-controller}}
    """
    _, resolution = shop(other, gateway(f"[{HTTP}]", "theirs"), route("all"))
    assert resolution.status(Key(GROUP, "Gateway", "shop", "edge")) is None
    assert resolution.status(Key(GROUP, "HTTPRoute", "shop", "all")) == {"parents": []}
    assert resolution.status(Key(GROUP, "GatewayClass", "", "theirs")) is None
    ours: Any = resolution.status(Key(GROUP, "GatewayClass", "", "ours"))
    assert ours["conditions"][0]["type"] == "Accepted"
    assert codes(resolution) == []

    _, resolution = shop(other, gateway(f"[{HTTP}]", "ours"), route("all"))
    assert ask(served(resolution), "http.80", "x") == REVIEWS

    _, resolution = shop(gateway(f"[{HTTP}]", "nobodys"))
    assert codes(resolution) == [("reference-not-found", "Gateway/edge", "spec.gatewayClassName")]


def test_parameters_that_nobody_knows_are_invalid() -> None:
    unknown = "{group: example.com, kind: Parameters, name: mine}"
    with_parameters = gateway(f"[{HTTP}]") + f"  infrastructure: {{parametersRef: {unknown}}}\n"
    world, resolution = shop(with_parameters, route("all"))
    whole, _ = conditions(resolution, "Gateway", "edge")
    assert whole == {
        "Accepted": "False InvalidParameters",
        "Programmed": "False Invalid",
        "ResolvedRefs": "True ResolvedRefs",
    }
    assert codes(resolution) == [
        ("invalid-reference-kind", "Gateway/edge", "spec.infrastructure.parametersRef")
    ]
    assert world.workload(("shop", "edge-istio")) is None

    ours = f"""
    apiVersion: {GROUP}/v1
    kind: GatewayClass
    metadata: {{name: ours}}
    spec: {{controllerName: tulle.dev/gateway-controller, parametersRef: {unknown}}}
    """
    _, resolution = shop(ours, gateway(f"[{HTTP}]", "ours"))
    status: Any = resolution.status(Key(GROUP, "GatewayClass", "", "ours"))
    assert status["conditions"][0]["reason"] == "InvalidParameters"
    assert resolution.status(Key(GROUP, "Gateway", "shop", "edge")) is None
    assert codes(resolution) == [("invalid-reference-kind", "GatewayClass/ours", "spec.parametersRef")]


def test_a_gateways_proxy_has_the_labels_and_annotations_that_its_gateway_asks_for() -> None:
    asked = "{labels: {team: edge}, annotations: {example.com/pager: night}}"
    world, _ = shop(gateway(f"[{HTTP}]") + f"  infrastructure: {asked}\n")
    workload = world.workload(("shop", "edge-istio"))
    assert workload is not None
    assert ("team", "edge") in workload.labels
    assert workload.annotations == (("example.com/pager", "night"),)


@pytest.mark.parametrize(("kind", "spoken"), [("HTTPRoute", Protocol.HTTP), ("GRPCRoute", Protocol.DETECT)])
def test_a_port_of_which_nobody_says_what_it_speaks_is_served_in_http_1(kind: str, spoken: Protocol) -> None:
    """Whoever comes with TLS is offered HTTP/2, which says nothing of the server; gRPC is HTTP/2 always."""
    undeclared = route("all", "details").replace("HTTPRoute", kind)
    undeclared = undeclared.replace("  - matches: [{path: {value: /}}]\n    backend", "  - backend")
    _, resolution = shop(gateway(f"[{HTTP}]"), undeclared)
    (cluster,) = served(resolution).clusters
    assert (cluster.name, cluster.protocol) == (DETAILS, spoken)


def test_a_class_says_which_features_its_gateways_have() -> None:
    _, resolution = shop()
    status: Any = resolution.status(Key(GROUP, "GatewayClass", "", "tulle"))
    names = [each["name"] for each in status["supportedFeatures"]]
    assert names == sorted(set(names))
    assert {"Gateway", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"} < set(names)
    assert len(names) <= 64  # maxItems


def test_a_route_may_have_a_gateway_and_a_service_as_parents() -> None:
    both = route("both", "ratings").replace(
        "[{name: edge}]", "[{name: edge}, {group: '', kind: Service, name: reviews}]"
    )
    _, resolution = shop(gateway(f"[{HTTP}]"), both)
    assert ask(served(resolution), "http.80", "x") == RATINGS
    assert ask(resolution.outbound("shop"), "9080", "reviews") == RATINGS
    assert [each["Accepted"] for each in conditions(resolution, "HTTPRoute", "both")] == ["True Accepted"] * 2


def test_a_route_without_a_gateway_says_so() -> None:
    _, resolution = shop(route("lost"))
    assert conditions(resolution, "HTTPRoute", "lost")[0]["Accepted"] == "False NoMatchingParent"
    assert codes(resolution) == [("reference-not-found", "HTTPRoute/lost", "spec.parentRefs[0]")]


def test_every_table_that_a_chain_names_is_there() -> None:
    _, resolution = shop(gateway(f"[{HTTP}, {HTTPS}, {NAMED}]"), secret("cert", "shop"))
    view = served(resolution)
    for listener in view.listeners:
        for chain in listener.chains:
            assert isinstance(chain.then, HttpChain)
            assert table(view, chain.then.route_table)


def calls(name: str, hostnames: str = "[]") -> str:
    return f"""
apiVersion: {GROUP}/v1
kind: GRPCRoute
metadata: {{name: {name}, namespace: shop}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: {hostnames}
  rules: [{{matches: [{{method: {{service: shop.Ratings}}}}], backendRefs: [{{name: ratings, port: 9080}}]}}]
"""


def test_a_listener_takes_grpc_routes_too() -> None:
    _, resolution = shop(gateway(f"[{HTTP}]"), calls("calls", "[calls.example.com]"))
    assert ask(served(resolution), "http.80", "calls.example.com", "/shop.Ratings/Rate") == RATINGS
    assert ask(served(resolution), "http.80", "calls.example.com", "/shop.Other/Rate") == "404"
    accepted = {"Accepted": "True Accepted", "ResolvedRefs": "True ResolvedRefs"}
    assert conditions(resolution, "GRPCRoute", "calls") == [accepted]


def test_of_two_kinds_with_a_host_name_in_common_the_older_route_holds() -> None:
    _, resolution = shop(
        gateway(f"[{HTTP}]"),
        route("b-pages", hostnames="['*.example.com']"),
        calls("a-calls", "[calls.example.com, other.example.org]"),
        calls("c-calls", "[calls.example.org]"),
    )
    assert codes(resolution) == [("not-attached", "HTTPRoute/b-pages", "spec.parentRefs[0]")]
    view = served(resolution)
    assert conditions(resolution, "HTTPRoute", "b-pages")[0]["Accepted"] == "False Conflicted"
    assert conditions(resolution, "GRPCRoute", "a-calls")[0]["Accepted"] == "True Accepted"
    assert conditions(resolution, "GRPCRoute", "c-calls")[0]["Accepted"] == "True Accepted"
    assert ask(view, "http.80", "calls.example.com", "/shop.Ratings/Rate") == RATINGS
    assert ask(view, "http.80", "pages.example.com", "/") == "404"
    status: Any = resolution.status(Key(GROUP, "Gateway", "shop", "edge"))
    assert status["listeners"][0]["attachedRoutes"] == 2
