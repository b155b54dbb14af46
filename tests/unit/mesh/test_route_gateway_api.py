"""HTTPRoutes of Services: what matches, in which order, and where it goes."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.mesh.routed import ask, codes, shop, table
from tulle.mesh.view import Forward, MatchKind, Respond

REVIEWS, RATINGS = (f"outbound|9080||{name}.shop.svc.cluster.local" for name in ("reviews", "ratings"))
DETAILS = "outbound|9080||details.shop.svc.cluster.local"


def http_route(
    rules: str, name: str = "route", namespace: str = "shop", parent: str = "{name: reviews}"
) -> str:
    ref = parent.replace("{", "{group: '', kind: Service, ", 1)
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  parentRefs: [{ref}]
  rules: {rules}
"""


def to(*names: str, namespace: str = "") -> str:
    at = f", namespace: {namespace}" if namespace else ""
    return "[" + ", ".join(f"{{name: {name}, port: 9080{at}}}" for name in names) + "]"


def test_a_route_replaces_what_the_service_does_by_itself() -> None:
    _, resolution = shop(
        http_route(f"[{{matches: [{{path: {{value: /star}}}}], backendRefs: {to('ratings')}}}]")
    )
    view = resolution.outbound("front")
    assert ask(view, "9080", "reviews.shop", "/star/1") == RATINGS
    assert ask(view, "9080", "reviews.shop", "/other") == "404"
    assert ask(view, "9080", "ratings.shop", "/other") == RATINGS


def test_a_prefix_is_one_of_path_elements() -> None:
    _, resolution = shop(
        http_route(f"[{{matches: [{{path: {{value: /foo/}}}}], backendRefs: {to('ratings')}}}]")
    )
    view = resolution.outbound("shop")
    assert ask(view, "9080", "reviews", "/foo") == RATINGS
    assert ask(view, "9080", "reviews", "/foo/bar") == RATINGS
    assert ask(view, "9080", "reviews", "/foobar") == "404"


def test_a_rule_without_matches_takes_everything() -> None:
    _, resolution = shop(http_route(f"[{{backendRefs: {to('ratings')}}}]"))
    assert ask(resolution.outbound("shop"), "9080", "reviews", "/any/thing") == RATINGS


def test_headers_methods_and_query_parameters_must_all_hold() -> None:
    _, resolution = shop(
        http_route(
            "[{matches: [{method: POST, headers: [{name: X-User, value: jo}, {name: x-user, value: other}], "
            "queryParams: [{name: q, value: 'a.*', type: RegularExpression}]}], "
            f"backendRefs: {to('ratings')}}}]"
        )
    )
    view = resolution.outbound("shop")

    def go(method: str = "POST", user: str = "jo", q: str = "abc") -> str:
        return ask(view, "9080", "reviews", method=method, headers={"x-user": user}, query={"q": q})

    assert go() == RATINGS  # of two entries for one header, whatever its case, the first counts
    assert go(method="GET") == "404"
    assert go(user="other") == "404"
    assert go(q="b") == "404"


MATCHES = (
    "{path: {type: Exact, value: /foo}}",
    "{path: {type: RegularExpression, value: '/fo+'}}",
    "{path: {value: /foo/bar}, method: GET}",
    "{path: {value: /foo/bar}, headers: [{name: a, value: b}, {name: c, value: d}]}",
    "{path: {value: /foo/bar}, headers: [{name: a, value: b}], queryParams: [{name: q, value: r}]}",
    "{path: {value: /foo/bar}, headers: [{name: a, value: b}]}",
    "{path: {value: /foo/bar}}",
    "{path: {value: /foo}, method: GET}",
    "{headers: [{name: a, value: b}]}",
)


@pytest.mark.parametrize("order", [*itertools.islice(itertools.permutations(range(9)), 0, 362880, 40009)])
def test_matches_are_tried_in_the_order_of_the_specification(order: tuple[int, ...]) -> None:
    rules = ", ".join(
        f"{{name: rule{index}, matches: [{MATCHES[index]}], backendRefs: {to('ratings')}}}" for index in order
    )
    _, resolution = shop(http_route(f"[{rules}]"))
    (host, *_) = [
        host
        for host in table(resolution.outbound("shop"), "9080").virtual_hosts
        if host.name.startswith("reviews")
    ]
    assert [route.name for route in host.routes] == [f"shop.route.rule{index}.0" for index in range(9)]


def test_equal_matches_go_to_the_oldest_route_then_by_name() -> None:
    rule = "[{{backendRefs: {}}}]"
    young = http_route(rule.format(to("details")), "a").replace(
        "{name: a,", "{name: a, creationTimestamp: '2024-02-01T00:00:00Z',"
    )
    old = http_route(rule.format(to("ratings")), "z").replace(
        "{name: z,", "{name: z, creationTimestamp: '2024-01-01T00:00:00Z',"
    )
    _, resolution = shop(young, old)
    assert ask(resolution.outbound("shop"), "9080", "reviews") == RATINGS

    _, resolution = shop(
        http_route(rule.format(to("details")), "b"), http_route(rule.format(to("ratings")), "a")
    )
    assert ask(resolution.outbound("shop"), "9080", "reviews") == RATINGS


def test_weights_are_shares_and_a_missing_backend_answers_500_for_its_share() -> None:
    _, resolution = shop(
        http_route(
            "[{backendRefs: [{name: ratings, port: 9080, weight: 3}, {name: nobody, port: 9080, weight: 2}, "
            "{name: details, port: 9080, weight: 0}, {name: details, port: 1, weight: 1}]}]"
        )
    )
    assert ask(resolution.outbound("shop"), "9080", "reviews") == f"{RATINGS}=3 MissingBackend=3"
    assert codes(resolution) == [
        ("reference-not-found", "HTTPRoute/route", "spec.rules[0].backendRefs[1].name"),
        ("reference-not-found", "HTTPRoute/route", "spec.rules[0].backendRefs[3].port"),
    ]


@pytest.mark.parametrize(
    "refs",
    [
        "[{name: ratings, port: 9080, weight: 0}]",
        "[]",
        "[{name: nobody, port: 9080}]",
        "[{group: example.com, kind: Bucket, name: b}]",
    ],
)
def test_what_has_no_backend_answers_500(refs: str) -> None:
    _, resolution = shop(http_route(f"[{{backendRefs: {refs}}}]"))
    assert ask(resolution.outbound("shop"), "9080", "reviews") == "500"
    assert resolution.findings()


def test_a_backend_that_comes_later_is_used() -> None:
    from tests.unit.mesh.worldly import publish

    world, resolution = shop(http_route("[{backendRefs: [{name: later, port: 80}]}]"))
    assert ask(resolution.outbound("shop"), "9080", "reviews") == "500"
    publish(
        world,
        """
        apiVersion: v1
        kind: Service
        metadata: {name: later, namespace: shop}
        spec: {selector: {app: later}, ports: [{port: 80, name: http}]}
        """,
    )
    assert ask(resolution.outbound("shop"), "9080", "reviews") == "outbound|80||later.shop.svc.cluster.local"
    assert not resolution.findings()


def test_producer_routes_hold_for_everybody_and_consumer_routes_instead_of_them_for_their_own() -> None:
    producer = http_route(f"[{{backendRefs: {to('ratings')}}}]")
    consumer = http_route(
        f"[{{matches: [{{path: {{value: /mine}}}}], backendRefs: {to('details', namespace='shop')}}}]",
        namespace="front",
        parent="{name: reviews, namespace: shop}",
    )
    _, resolution = shop(producer, consumer)
    assert ask(resolution.outbound("shop"), "9080", "reviews", "/mine") == RATINGS
    assert ask(resolution.outbound("other"), "9080", "reviews.shop", "/mine") == RATINGS
    assert ask(resolution.outbound("front"), "9080", "reviews.shop", "/mine") == DETAILS
    assert ask(resolution.outbound("front"), "9080", "reviews.shop", "/") == "404"  # the two are not merged


def test_in_the_mesh_a_backend_of_another_namespace_needs_no_grant() -> None:
    _, resolution = shop(http_route("[{backendRefs: [{name: storefront, port: 80, namespace: front}]}]"))
    assert (
        ask(resolution.outbound("shop"), "9080", "reviews")
        == "outbound|80||storefront.front.svc.cluster.local"
    )
    assert not resolution.findings()


@pytest.mark.parametrize("parent", ["{name: two, port: 81}", "{name: two, sectionName: http-b}"])
def test_a_parent_may_be_one_port_of_a_service(parent: str) -> None:
    service = """
    apiVersion: v1
    kind: Service
    metadata: {name: two, namespace: shop}
    spec: {selector: {app: reviews}, ports: [{port: 80, name: http-a}, {port: 81, name: http-b}]}
    """
    _, resolution = shop(service, http_route(f"[{{backendRefs: {to('ratings')}}}]", parent=parent))
    view = resolution.outbound("shop")
    assert ask(view, "80", "two") == "outbound|80||two.shop.svc.cluster.local"
    assert ask(view, "81", "two") == RATINGS


def test_a_route_makes_an_undeclared_port_http() -> None:
    world, resolution = shop(http_route(f"[{{backendRefs: {to('ratings')}}}]", parent="{name: details}"))
    view = resolution.outbound("shop")
    address = world.service("details.shop.svc.cluster.local").addresses[0]  # type: ignore[union-attr]
    assert not [each for each in view.listeners if each.address == address]
    assert ask(view, "9080", "details") == RATINGS


def test_a_route_does_not_make_a_tcp_port_http() -> None:
    _, resolution = shop(http_route(f"[{{backendRefs: {to('ratings')}}}]", parent="{name: orders}"))
    assert not [each for each in resolution.outbound("shop").route_tables if each.name == "7000"]
    assert codes(resolution) == [("not-attached", "HTTPRoute/route", "spec.parentRefs[0]")]


def test_a_missing_parent_is_a_finding() -> None:
    _, resolution = shop(http_route(f"[{{backendRefs: {to('ratings')}}}]", parent="{name: nobody}"))
    assert codes(resolution) == [("reference-not-found", "HTTPRoute/route", "spec.parentRefs[0]")]


@pytest.mark.parametrize(("written", "seconds"), [("2s500ms", 2.5), ("0s", None)])
def test_a_request_may_have_a_time_limit(written: str, seconds: float | None) -> None:
    _, resolution = shop(http_route(f"[{{backendRefs: {to('ratings')}, timeouts: {{request: {written}}}}}]"))
    host = table(resolution.outbound("shop"), "9080").virtual_hosts[2]
    assert host.routes[0].action == Forward(host.routes[0].action.clusters, seconds)  # type: ignore[union-attr]


def test_an_http_route_stands_before_a_virtual_service_which_says_so() -> None:
    _, resolution = shop(
        http_route(f"[{{backendRefs: {to('ratings')}}}]"),
        """
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: other, namespace: shop}
        spec: {hosts: [reviews], http: [{route: [{destination: {host: details}}]}]}
        """,
    )
    assert ask(resolution.outbound("shop"), "9080", "reviews") == RATINGS
    assert codes(resolution) == [("overruled", "VirtualService/other", "spec.hosts[0]")]


def test_the_root_path_is_any_path() -> None:
    _, resolution = shop(http_route(f"[{{matches: [{{path: {{value: /}}}}], backendRefs: {to('ratings')}}}]"))
    host = table(resolution.outbound("shop"), "9080").virtual_hosts[2]
    assert host.routes[0].match.path is not None
    assert (host.routes[0].match.path.kind, host.routes[0].match.path.value) == (MatchKind.PREFIX, "/")
    assert not isinstance(host.routes[0].action, Respond)
