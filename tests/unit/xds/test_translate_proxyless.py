from dataclasses import replace
from typing import Any

import pytest

from tests.unit.xds.views import HERE, REVIEWS, eds_cluster, header, host, route
from tulle.mesh.view import (
    Balancing,
    Forward,
    LoadBalancing,
    MatchKind,
    NamedMatch,
    Protocol,
    Proxyless,
    RequestMatch,
    Respond,
    Route,
    RouteTable,
    Target,
    ValueMatch,
    WeightedCluster,
)
from tulle.xds.bundle import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tulle.xds.proxyless import translate_proxyless
from tulle.xds.render import to_tree

NAMES = ("reviews.shop:9080", "reviews:9080")


def client(*routes: Route, missing: tuple[str, ...] = ()) -> Proxyless:
    in_turn = LoadBalancing(Balancing.ROUND_ROBIN)
    cluster = replace(eds_cluster(REVIEWS, Protocol.GRPC, ""), balancing=in_turn, mtls=None)
    table = RouteTable(REVIEWS, (host("reviews:9080", *routes, domains=("*",)),), HERE)
    return Proxyless("proxyless/shop", (Target(NAMES, table),), (cluster,), missing)


def routes(*found: Route) -> list[dict[str, Any]]:
    (table,) = (one for one in translate_proxyless(client(*found)) if one.type_url == ROUTE)
    return to_tree(table)["virtual_hosts"][0].get("routes", [])


def to(match: RequestMatch, timeout: float | None = None) -> Route:
    return Route("one", match, Forward((WeightedCluster(REVIEWS),), timeout), HERE)


def test_a_listener_for_each_name_leads_to_the_one_route_table() -> None:
    made = translate_proxyless(client(to(RequestMatch())))
    listeners = [one for one in made if one.type_url == LISTENER]
    assert [one.name for one in listeners] == list(NAMES)
    for one in listeners:
        assert one.needs == ((ROUTE, REVIEWS),)
        (manager,) = to_tree(one)["api_listener"].values()
        assert manager["rds"]["route_config_name"] == REVIEWS
        assert [each["name"] for each in manager["http_filters"]] == ["envoy.filters.http.router"]
    assert len(made) == len(NAMES) + 2


def test_a_cluster_is_plaintext_and_its_endpoints_are_the_shared_ones() -> None:
    (cluster,) = (one for one in translate_proxyless(client()) if one.type_url == CLUSTER)
    tree = to_tree(cluster)
    assert "lb_policy" not in tree, "round robin is the default"
    assert not {"transport_socket", "transport_socket_matches"} & tree.keys()
    assert cluster.needs == ((ENDPOINT, REVIEWS),)


def test_what_is_missing_is_a_cluster_without_endpoints() -> None:
    made = {(one.type_url, one.name): one for one in translate_proxyless(client(missing=("MissingBackend",)))}
    assert made[CLUSTER, "MissingBackend"].needs == ((ENDPOINT, "MissingBackend"),)
    assert to_tree(made[ENDPOINT, "MissingBackend"]) == {"cluster_name": "MissingBackend"}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (MatchKind.PATH_PREFIX, "/a.B/", {"safe_regex": {"regex": r"/a\.B(/.*)?"}}),
        (MatchKind.PATH_PREFIX, "/", {"prefix": "/"}),
        (MatchKind.PREFIX, "/a.B/", {"prefix": "/a.B/"}),
        (MatchKind.EXACT, "/a.B/C", {"path": "/a.B/C"}),
    ],
)
def test_a_path_is_said_in_what_grpc_knows(kind: MatchKind, value: str, expected: dict[str, Any]) -> None:
    (found,) = routes(to(RequestMatch(path=ValueMatch(kind, value))))
    assert found["match"] == expected


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        (ValueMatch(MatchKind.EXACT, "POST"), True),
        (ValueMatch(MatchKind.EXACT, "GET"), False),
        (ValueMatch(MatchKind.EXACT, "GET", invert=True), True),
        (ValueMatch(MatchKind.PREFIX, "P"), True),
        (ValueMatch(MatchKind.REGEX, "GET|POST"), True),
        (ValueMatch(MatchKind.REGEX, "P"), False),
        (ValueMatch(MatchKind.PRESENT), True),
        (ValueMatch(MatchKind.PRESENT, invert=True), False),
    ],
)
def test_every_call_is_a_post(match: ValueMatch, matches: bool) -> None:
    found = routes(to(RequestMatch(headers=(NamedMatch(":method", match),))))
    assert [each["match"] for each in found] == ([{"prefix": "/"}] if matches else [])


def test_a_route_by_query_is_for_nobody() -> None:
    query = (NamedMatch("version", ValueMatch(MatchKind.EXACT, "2")),)
    assert routes(to(RequestMatch(query=query))) == []


def test_an_excluded_value_is_two_routes() -> None:
    match = header("user", "tester", invert=True)
    two = replace(match, headers=(*match.headers, *header("version", "2").headers))
    value, absent = routes(to(two))
    assert [each["name"] for each in value["match"]["headers"]] == ["user", "version"]
    assert value["match"]["headers"][0]["string_match"] == {"exact": "tester"}
    assert absent["match"]["headers"][0] == {"name": "user", "present_match": True, "invert_match": True}
    assert value["route"] == absent["route"]


def test_an_excluded_header_is_one_route() -> None:
    (found,) = routes(to(header("user", "", MatchKind.PRESENT, invert=True)))
    assert found["match"]["headers"] == [{"name": "user", "present_match": True, "invert_match": True}]


def test_a_timeout_is_the_limit_of_the_stream() -> None:
    limited, unlimited = routes(to(RequestMatch(), 1.5), to(RequestMatch()))
    assert limited["route"]["max_stream_duration"] == {"max_stream_duration": "1.500s"}
    assert "max_stream_duration" not in unlimited["route"]


def test_an_answer_stays_an_answer() -> None:
    (found,) = routes(Route("one", RequestMatch(), Respond(404), HERE))
    assert found["direct_response"] == {"status": 404}


def test_weights_are_kept() -> None:
    (found,) = routes(route("one", RequestMatch(), (REVIEWS, 80), ("other", 20)))
    weights = found["route"]["weighted_clusters"]["clusters"]
    assert [(each["name"], each["weight"]) for each in weights] == [(REVIEWS, 80), ("other", 20)]
