from typing import Any

import pytest

from tests.unit.xds.views import HERE, REVIEWS, header, host, route
from tulle.mesh.view import (
    DestinationRoutes,
    Forward,
    MatchKind,
    NamedMatch,
    RequestMatch,
    Respond,
    Route,
    RouteTable,
    ValueMatch,
    VirtualHost,
    WeightedCluster,
)
from tulle.xds import message
from tulle.xds.render import to_tree
from tulle.xds.route import translate_route_table

_IDEMPOTENT = {
    "name": ":method",
    "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS|TRACE|PUT|DELETE"}},
}


def routes(*found: Route) -> list[dict[str, Any]]:
    """Those for every method; in front of each may stand one for those that may be repeated."""
    written = virtual_host(*found)["routes"]
    return [one for one in written if _IDEMPOTENT not in one["match"].get("headers", ())]


def table(*hosts: VirtualHost) -> dict[str, Any]:
    return to_tree(translate_route_table(RouteTable("9080", hosts, HERE)))


def virtual_host(*found: Route) -> dict[str, Any]:
    return table(host("reviews", *found))["virtual_hosts"][0]


def match(request: RequestMatch) -> dict[str, Any]:
    return routes(route("one", request, (REVIEWS, 1)))[0]["match"]


def path(kind: MatchKind, value: str, ignore_case: bool = False) -> dict[str, Any]:
    return match(RequestMatch(path=ValueMatch(kind, value, ignore_case)))


@pytest.mark.parametrize(
    ("kind", "value", "ignore_case", "expected"),
    [
        (MatchKind.EXACT, "/a", False, {"path": "/a"}),
        (MatchKind.PREFIX, "/a", False, {"prefix": "/a"}),
        (MatchKind.PREFIX, "/a", True, {"prefix": "/a", "case_sensitive": False}),
        (MatchKind.PREFIX, "", False, {"prefix": "/"}),
        (MatchKind.PATH_PREFIX, "/a/", False, {"path_separated_prefix": "/a"}),
        (MatchKind.PATH_PREFIX, "/", False, {"prefix": "/"}),
        (MatchKind.REGEX, "/a+", False, {"safe_regex": {"regex": "/a+"}}),
        (MatchKind.REGEX, "/a+", True, {"safe_regex": {"regex": "(?i)/a+"}}),
        (MatchKind.PRESENT, "", False, {"prefix": "/"}),
    ],
)
def test_paths(kind: MatchKind, value: str, ignore_case: bool, expected: dict[str, Any]) -> None:
    assert path(kind, value, ignore_case) == expected


def test_headers() -> None:
    assert match(header("X-A", "b"))["headers"] == [{"name": "x-a", "string_match": {"exact": "b"}}]
    assert match(header("a", "", MatchKind.PRESENT))["headers"] == [{"name": "a", "present_match": True}]
    assert match(header("a", "", MatchKind.PREFIX))["headers"] == [{"name": "a", "present_match": True}]
    assert match(header("a", "", MatchKind.PRESENT, invert=True))["headers"] == [
        {"name": "a", "present_match": True, "invert_match": True}
    ]
    # what is not there is not this value
    assert match(header("a", "b", invert=True))["headers"] == [
        {
            "name": "a",
            "string_match": {"exact": "b"},
            "invert_match": True,
            "treat_missing_header_as_empty": True,
        }
    ]


def test_query_parameters() -> None:
    wanted = RequestMatch(
        query=(
            NamedMatch("a", ValueMatch(MatchKind.REGEX, "[0-9]+")),
            NamedMatch("b", ValueMatch(MatchKind.PRESENT)),
        )
    )
    assert match(wanted)["query_parameters"] == [
        {"name": "a", "string_match": {"safe_regex": {"regex": "[0-9]+"}}},
        {"name": "b", "present_match": True},
    ]


def test_one_cluster_or_several_by_weight() -> None:
    one, several = routes(
        route("one", RequestMatch(), ("a", 7)), route("several", RequestMatch(), ("a", 90), ("b", 10))
    )
    assert one["route"]["cluster"] == "a"
    assert several["route"]["weighted_clusters"]["clusters"] == [
        {"name": "a", "weight": 90},
        {"name": "b", "weight": 10},
    ]


def test_no_time_out_that_nobody_wrote() -> None:
    written = Route("w", RequestMatch(), Forward((WeightedCluster("a"),), timeout_seconds=1.5), HERE)
    default, own = routes(route("d", RequestMatch(), ("a", 1)), written)
    assert default["route"]["timeout"] == "0s"
    assert own["route"]["timeout"] == "1.500s"


def test_answers_in_place() -> None:
    plain, worded = routes(
        Route("p", RequestMatch(), Respond(502), HERE), Route("w", RequestMatch(), Respond(404, b"no"), HERE)
    )
    assert plain["direct_response"] == {"status": 502}
    assert worded["direct_response"] == {"status": 404, "body": {"inline_string": "no"}}


def test_what_may_be_carried_out_twice_is_tried_again_after_a_reset() -> None:
    built = virtual_host(route("r", RequestMatch(), (REVIEWS, 1)))
    repeatable, other = built["routes"]
    assert repeatable["match"] == {"prefix": "/", "headers": [_IDEMPOTENT]}
    assert repeatable["name"] == other["name"]
    assert repeatable["route"]["cluster"] == other["route"]["cluster"]
    retried = [built["retry_policy"], repeatable["route"]["retry_policy"]]
    assert ["reset" in each["retry_on"].split(",") for each in retried] == [False, True]
    assert "retry_policy" not in other["route"]


def test_only_a_choice_of_places_is_tried_again() -> None:
    assert virtual_host(route("r", RequestMatch(), (REVIEWS, 1)))["retry_policy"]["num_retries"] == 2
    assert "retry_policy" not in virtual_host(route("r", RequestMatch(), ("PassthroughCluster", 1)))
    assert "retry_policy" not in virtual_host(Route("r", RequestMatch(), Respond(502), HERE))


def test_an_address_is_looked_up_and_what_is_not_found_has_the_other_routes() -> None:
    rest = route("rest", RequestMatch(), ("PassthroughCluster", 1))
    found = table(
        VirtualHost(
            "rest",
            ("*",),
            (rest,),
            HERE,
            by_destination=(
                DestinationRoutes("10.0.0.2", (route("a", RequestMatch(), ("two", 1)),)),
                DestinationRoutes("10.0.0.1", (route("b", RequestMatch(), ("one", 1)),)),
            ),
        )
    )["virtual_hosts"][0]
    assert "routes" not in found
    tree = found["matcher"]["matcher_tree"]["exact_match_map"]["map"]
    by_address = {
        address: [one["name"] for one in there["action"]["typed_config"]["routes"]]
        for address, there in tree.items()
    }
    assert by_address == {"10.0.0.1": ["b", "b"], "10.0.0.2": ["a", "a"]}
    (last,) = found["matcher"]["on_no_match"]["action"]["typed_config"]["routes"]
    assert last["name"] == "rest"
    assert last["route"]["retry_policy"] == {}


def test_a_range_is_looked_at_after_the_addresses() -> None:
    within = DestinationRoutes("10.0.0.0/8", (Route("w", RequestMatch(), Respond(503), HERE),))
    one = DestinationRoutes("10.0.0.1", (route("one", RequestMatch(), ("one", 1)),))
    rest = (Route("rest", RequestMatch(), Respond(502), HERE),)
    both, alone = table(
        VirtualHost("both", ("*",), rest, HERE, (within, one)),
        VirtualHost("alone", ("a",), rest, HERE, (within,)),
    )["virtual_hosts"]
    assert list(both["matcher"]["matcher_tree"]["exact_match_map"]["map"]) == ["10.0.0.1"]
    assert both["matcher"]["on_no_match"]["matcher"] == alone["matcher"]
    (only,) = alone["matcher"]["matcher_list"]["matchers"]
    assert only["on_match"]["action"]["typed_config"]["routes"][0]["name"] == "w"
    assert alone["matcher"]["on_no_match"]["action"]["typed_config"]["routes"][0]["name"] == "rest"


def test_a_host_that_two_tables_share_is_serialised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    plain = message.serialise

    def counting(built: Any) -> bytes:
        if isinstance(built, message.VirtualHost):
            made.append(built.name)
        return plain(built)

    monkeypatch.setattr(message, "serialise", counting)
    shared = host("shared", route("one", RequestMatch(), (REVIEWS, 1)))
    bodies = {
        translate_route_table(RouteTable("80", (shared, host(own)), HERE)).body for own in ("first", "second")
    }
    assert len(bodies) == 2
    assert made == ["shared", "first", "second"]
