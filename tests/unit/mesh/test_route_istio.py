"""VirtualServices of the mesh: what matches, in which order, and where it goes."""

from __future__ import annotations

import pytest

from tests.unit.mesh.routed import ask, codes, shop, table
from tulle.mesh.outbound.listener import HELLO_SECONDS
from tulle.mesh.view import Forward, TcpChain

REVIEWS, RATINGS = (f"outbound|9080||{name}.shop.svc.cluster.local" for name in ("reviews", "ratings"))
DETAILS = "outbound|9080||details.shop.svc.cluster.local"


def virtual_service(rest: str, name: str = "route", namespace: str = "shop", hosts: str = "[reviews]") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: {hosts}
  {rest}
"""


def http(matches: str, host: str = "ratings") -> str:
    return f"http: [{{match: {matches}, route: [{{destination: {{host: {host}}}}}]}}]"


def test_blocks_are_alternatives_and_conditions_of_a_block_all_hold() -> None:
    _, resolution = shop(
        virtual_service(http("[{uri: {prefix: /a}, method: {exact: POST}}, {uri: {exact: /b}}]"))
    )
    view = resolution.outbound("shop")
    assert ask(view, "9080", "reviews", "/ab", method="POST") == RATINGS  # a prefix of the text
    assert ask(view, "9080", "reviews", "/ab") == "404"
    assert ask(view, "9080", "reviews", "/b") == RATINGS
    assert ask(view, "9080", "reviews", "/b/c") == "404"


def test_routes_are_tried_as_they_are_written() -> None:
    _, resolution = shop(
        virtual_service(
            "http: [{match: [{uri: {prefix: /}}], route: [{destination: {host: ratings}}]},"
            "{match: [{uri: {exact: /exact}}], route: [{destination: {host: details}}]}]"
        )
    )
    assert ask(resolution.outbound("shop"), "9080", "reviews", "/exact") == RATINGS


@pytest.mark.parametrize(
    ("matches", "request_", "holds"),
    [
        ("{uri: {regex: '/v[0-9]+'}}", {"path": "/v12"}, True),
        ("{uri: {regex: '/v[0-9]+'}}", {"path": "/v12/x"}, False),
        ("{uri: {exact: /Case}, ignoreUriCase: true}", {"path": "/cASE"}, True),
        ("{uri: {exact: /Case}}", {"path": "/cASE"}, False),
        ("{headers: {End-User: {exact: jo}}}", {"headers": {"end-user": "jo"}}, True),
        ("{headers: {end-user: {exact: jo}}}", {"headers": {"end-user": "jon"}}, False),
        ("{headers: {end-user: {prefix: jo}}}", {"headers": {"end-user": "jon"}}, True),
        ("{headers: {end-user: {regex: 'j.*'}}}", {"headers": {"end-user": "jon"}}, True),
        ("{headers: {end-user: {}}}", {"headers": {"end-user": "x"}}, True),
        ("{headers: {end-user: {}}}", {}, False),
        ("{withoutHeaders: {end-user: {}}}", {}, True),
        ("{withoutHeaders: {end-user: {}}}", {"headers": {"end-user": "x"}}, False),
        ("{withoutHeaders: {end-user: {exact: jo}}}", {"headers": {"end-user": "jim"}}, True),
        ("{withoutHeaders: {end-user: {exact: jo}}}", {}, True),
        ("{withoutHeaders: {end-user: {exact: jo}}}", {"headers": {"end-user": "jo"}}, False),
        ("{queryParams: {q: {exact: a}}}", {"query": {"q": "a"}}, True),
        ("{queryParams: {q: {exact: a}}}", {}, False),
        ("{queryParams: {q: {}}}", {"query": {"q": "b"}}, True),
        ("{authority: {prefix: reviews}}", {}, True),
        ("{authority: {exact: ratings}}", {}, False),
        ("{port: 9080}", {}, True),
        ("{port: 9081}", {}, False),
        ("{headers: {uri: {exact: ignored}}}", {}, True),
        ("{gateways: [mesh]}", {}, True),
        ("{gateways: [shop/edge]}", {}, False),
    ],
)
def test_conditions(matches: str, request_: dict[str, object], holds: bool) -> None:
    last = "{route: [{destination: {host: details}}]}"
    first = f"{{match: [{matches}], route: [{{destination: {{host: ratings}}}}]}}"
    _, resolution = shop(virtual_service(f"http: [{first}, {last}]"))
    assert ask(resolution.outbound("shop"), "9080", "reviews", **request_) == (RATINGS if holds else DETAILS)  # type: ignore[arg-type]


def test_short_names_are_those_of_the_virtual_services_namespace() -> None:
    _, resolution = shop(virtual_service(http("[{uri: {prefix: /}}]"), namespace="shop", hosts="[reviews]"))
    assert ask(resolution.outbound("front"), "9080", "reviews.shop") == RATINGS

    _, resolution = shop(virtual_service(http("[{uri: {prefix: /}}]"), namespace="front", hosts="[reviews]"))
    assert ask(resolution.outbound("shop"), "9080", "reviews") == REVIEWS

    _, resolution = shop(
        virtual_service(http("[{}]", "ratings.shop"), namespace="front", hosts="[reviews.shop]")
    )
    assert ask(resolution.outbound("shop"), "9080", "reviews") == RATINGS


def test_a_single_destination_gets_everything_and_several_their_weights() -> None:
    _, resolution = shop(
        virtual_service(
            "http: [{match: [{uri: {exact: /one}}], route: [{destination: {host: ratings}}]},"
            "{route: [{destination: {host: ratings}, weight: 90}, {destination: {host: details}, weight: 10},"
            " {destination: {host: reviews}}]}]"
        )
    )
    view = resolution.outbound("shop")
    assert ask(view, "9080", "reviews", "/one") == RATINGS
    assert ask(view, "9080", "reviews") == f"{RATINGS}=90 {DETAILS}=10"


def test_a_destination_that_does_not_exist_answers_503_and_says_so() -> None:
    _, resolution = shop(
        virtual_service(
            "http: [{match: [{uri: {exact: /no}}], route: [{destination: {host: nobody}}]},"
            "{match: [{uri: {exact: /port}}], route: [{destination: {host: ratings, port: {number: 1}}}]},"
            "{match: [{uri: {exact: /subset}}], route: [{destination: {host: ratings, subset: v9}}]},"
            "{route: [{destination: {host: ratings}, weight: 1}, {destination: {host: nobody}, weight: 3}]}]"
        )
    )
    view = resolution.outbound("shop")
    assert ask(view, "9080", "reviews", "/no") == "503"
    assert ask(view, "9080", "reviews", "/port") == "503"
    # The cluster of a subset is the caller's matter; a proxy without it answers 503 itself.
    missing = ask(view, "9080", "reviews", "/subset")
    assert missing == "outbound|9080|v9|ratings.shop.svc.cluster.local"
    assert missing not in {each.name for each in view.clusters}
    assert ask(view, "9080", "reviews") == f"{RATINGS}=1 MissingBackend=3"
    assert codes(resolution) == [
        ("reference-not-found", "VirtualService/route", "spec.http[0].route[0].destination.host"),
        ("reference-not-found", "VirtualService/route", "spec.http[1].route[0].destination.port"),
        ("reference-not-found", "VirtualService/route", "spec.http[2].route[0].destination.subset"),
        ("reference-not-found", "VirtualService/route", "spec.http[3].route[1].destination.host"),
    ]


def test_of_several_for_one_host_the_oldest_holds_and_the_other_says_so() -> None:
    def at(name: str, time: str, host: str) -> str:
        text = virtual_service(http("[{}]", host), name)
        return text.replace(f"name: {name},", f"name: {name}, creationTimestamp: '{time}',")

    _, resolution = shop(
        at("a", "2024-02-01T00:00:00Z", "details"), at("b", "2024-01-01T00:00:00Z", "ratings")
    )
    assert ask(resolution.outbound("shop"), "9080", "reviews") == RATINGS
    assert codes(resolution) == [("overruled", "VirtualService/a", "spec.hosts[0]")]


def test_the_most_specific_host_holds() -> None:
    _, resolution = shop(
        virtual_service(http("[{}]", "details"), "wide", hosts="['*.shop.svc.cluster.local']"),
        virtual_service(http("[{}]", "ratings"), "exact", hosts="[reviews]"),
        virtual_service(http("[{}]", "reviews"), "wider", hosts="['*.cluster.local']"),
    )
    view = resolution.outbound("shop")
    assert ask(view, "9080", "reviews") == RATINGS
    assert ask(view, "9080", "ratings") == DETAILS
    assert ask(view, "80", "storefront.front") == REVIEWS
    _, resolution = shop(
        virtual_service(http("[{}]", "details"), "front", hosts="['*.front.svc.cluster.local']")
    )
    assert ask(resolution.outbound("shop"), "80", "storefront.front") == DETAILS


def test_export_to_here_hides_it_from_other_namespaces() -> None:
    _, resolution = shop(virtual_service("exportTo: ['.']\n  " + http("[{}]"), hosts="[reviews]"))
    assert ask(resolution.outbound("shop"), "9080", "reviews") == RATINGS
    assert ask(resolution.outbound("front"), "9080", "reviews.shop") == REVIEWS


def test_one_for_gateways_only_does_not_hold_in_the_mesh() -> None:
    _, resolution = shop(virtual_service("gateways: [edge]\n  " + http("[{}]")))
    assert ask(resolution.outbound("shop"), "9080", "reviews") == REVIEWS


def test_a_host_that_is_no_service_is_known_on_port_80() -> None:
    _, resolution = shop(virtual_service(http("[{}]", "storefront.front"), hosts="[www.example.com]"))
    assert ask(resolution.outbound("shop"), "80", "www.example.com") == (
        "outbound|80||storefront.front.svc.cluster.local"
    )


def test_a_time_limit() -> None:
    _, resolution = shop(virtual_service("http: [{timeout: 1.5s, route: [{destination: {host: ratings}}]}]"))
    host = next(
        host
        for host in table(resolution.outbound("shop"), "9080").virtual_hosts
        if host.name.startswith("reviews")
    )
    action = host.routes[0].action
    assert isinstance(action, Forward)
    assert action.timeout_seconds == 1.5


def test_tcp_connections_go_by_weight() -> None:
    world, resolution = shop(
        virtual_service(
            "tcp: [{match: [{port: 1}], route: [{destination: {host: vault}}]}, {match: [{port: 7000}], "
            "route: [{destination: {host: orders}, weight: 1}, {destination: {host: ratings}, weight: 3}]}]",
            hosts="[orders]",
        )
    )
    view = resolution.outbound("front")
    address = world.service("orders.shop.svc.cluster.local").addresses[0]  # type: ignore[union-attr]
    (found,) = [each for each in view.listeners if each.address == address]
    assert isinstance(found.otherwise.then, TcpChain)
    assert [(each.cluster, each.weight) for each in found.otherwise.then.clusters] == [
        ("outbound|7000||orders.shop.svc.cluster.local", 1),
        (RATINGS, 3),
    ]
    # ratings is HTTP, but here bytes come to it that nobody looked at.
    mtls = next(each.mtls for each in view.clusters if each.name == RATINGS)
    assert mtls is not None
    assert mtls.alpn == "tulle"


def test_tls_connections_go_by_the_name_that_they_ask_for() -> None:
    world, resolution = shop(
        virtual_service(
            "tls: [{match: [{port: 8443, sniHosts: [a.example.com]}], "
            "route: [{destination: {host: orders}}]}]",
            hosts="[vault, a.example.com]",
        )
    )
    address = world.service("vault.shop.svc.cluster.local").addresses[0]  # type: ignore[union-attr]
    (found,) = [each for each in resolution.outbound("front").listeners if each.address == address]
    (chain,) = found.chains
    assert chain.server_names == ("a.example.com",)
    assert isinstance(chain.then, TcpChain)
    assert chain.then.clusters[0].cluster == "outbound|7000||orders.shop.svc.cluster.local"
    assert isinstance(found.otherwise.then, TcpChain)
    assert found.otherwise.then.clusters[0].cluster == "outbound|8443||vault.shop.svc.cluster.local"
    assert found.inspect_seconds == HELLO_SECONDS


def test_a_host_that_looks_like_a_service_and_is_none_says_so() -> None:
    _, resolution = shop(virtual_service(http("[{}]"), hosts="[revews, example.com]"))
    assert codes(resolution) == [("reference-not-found", "VirtualService/route", "spec.hosts[0]")]
