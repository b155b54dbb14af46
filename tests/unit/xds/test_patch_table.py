"""Patches to route tables, virtual hosts, routes and clusters."""

from __future__ import annotations

import pytest

from tests.unit.xds.patched import apply, changed, cluster, patch, route, table
from tulle.mesh.view.patch import RouteMatch, TableMatch
from tulle.xds import message
from tulle.xds.bundle import ENDPOINT, Translated, translated
from tulle.xds.render import to_tree


def routes(tree: dict[str, object], at: int = 0) -> list[str]:
    return [each["name"] for each in tree["virtual_hosts"][at]["routes"]]  # type: ignore[index]


def wanted(name: str = "", action: str = "ANY") -> TableMatch:
    return TableMatch(route=RouteMatch(name, action))


NEW = "{name: new, match: {prefix: /new}, direct_response: {status: 204}}"


@pytest.mark.parametrize(
    ("operation", "match", "expected"),
    [
        ("ADD", None, ["a", "b", "b", "new"]),
        ("INSERT_BEFORE", wanted("b"), ["a", "new", "b", "b"]),
        ("INSERT_BEFORE", None, ["new", "a", "b", "b"]),
        ("INSERT_AFTER", wanted("b"), ["a", "b", "b", "new"]),
        ("INSERT_AFTER", wanted("a"), ["a", "new", "b", "b"]),
        ("INSERT_AFTER", None, ["a", "b", "b", "new"]),
        ("INSERT_FIRST", wanted("b"), ["new", "a", "b", "b"]),
        ("INSERT_FIRST", wanted("c"), ["a", "b", "b"]),
        ("INSERT_FIRST", None, ["new", "a", "b", "b"]),
        ("REMOVE", wanted("b"), ["a"]),
        ("REMOVE", wanted(action="REDIRECT"), ["b", "b"]),
        ("REMOVE", TableMatch(host="other:9080", route=RouteMatch("b")), ["a", "b", "b"]),
        ("REPLACE", wanted("b"), ["a", "b", "b"]),
    ],
)
def test_routes(operation: str, match: TableMatch | None, expected: list[str]) -> None:
    redirect = route("a", redirect={"path_redirect": "/x"})
    before = table("9080", reviews=[redirect, route("b"), route("b")])
    value = "" if operation == "REMOVE" else NEW
    done = apply(before, patch("HTTP_ROUTE", operation, value, match))
    assert not done.complaints
    assert routes(to_tree(done.resources[0])) == expected
    assert bool(done.applied) is (expected != ["a", "b", "b"])


def test_a_route_is_merged_by_name_and_by_action() -> None:
    before = table("9080", reviews=[route("a"), route("b", direct_response={"status": 200})])
    value = "{request_headers_to_remove: [x]}"
    for match in (wanted("a"), wanted(action="ROUTE")):
        tree = changed(before, patch("HTTP_ROUTE", "MERGE", value, match))
        found = [each.get("request_headers_to_remove") for each in tree["virtual_hosts"][0]["routes"]]
        assert found == [["x"], None]


def test_the_time_out_of_a_route_is_replaced_as_a_whole() -> None:
    before = table("9080", reviews=[route("a", route={"cluster": "c", "timeout": message.seconds(1.5)})])
    tree = changed(before, patch("HTTP_ROUTE", "MERGE", "{route: {timeout: 7s}}"))
    assert tree["virtual_hosts"][0]["routes"][0]["route"] == {"cluster": "c", "timeout": "7s"}


def test_routes_that_are_looked_up_by_address_are_patched_too() -> None:
    inner = message.RouteList(routes=[route("a")])
    match_map = {"map": {"10.0.0.1": {"action": message.extension("routes", inner)}}}
    matcher = {
        "matcher_tree": {
            "input": {"name": "i", "typed_config": message.packed(message.Router())},
            "exact_match_map": match_map,
        },
        "on_no_match": {"action": message.extension("routes", message.RouteList(routes=[route("b")]))},
    }
    host = {"name": "allow_any", "domains": ["*"], "matcher": matcher}
    before = translated(message.RouteConfiguration(name="9080", virtual_hosts=[host]), "9080")
    tree = changed(before, patch("HTTP_ROUTE", "ADD", NEW, TableMatch(host="allow_any")))
    found = tree["virtual_hosts"][0]["matcher"]
    entry = found["matcher_tree"]["exact_match_map"]["map"]["10.0.0.1"]
    for each in (entry, found["on_no_match"]):
        assert [one["name"] for one in each["action"]["typed_config"]["routes"]][1] == "new"


def test_virtual_hosts() -> None:
    before = table("9080", reviews=[route("a")], ratings=[route("b")])

    def names(operation: str, value: str = "", match: TableMatch | None = None) -> list[str]:
        tree = changed(before, patch("VIRTUAL_HOST", operation, value, match))
        return [each["name"] for each in tree["virtual_hosts"]]

    new = "{name: new, domains: [new]}"
    assert names("ADD", new) == ["reviews:9080", "ratings:9080", "new"]
    assert names("INSERT_FIRST", new) == ["reviews:9080", "ratings:9080", "new"]
    assert names("REMOVE", match=TableMatch(host="reviews:9080")) == ["ratings:9080"]
    assert names("REMOVE", match=TableMatch(domain="ratings")) == ["reviews:9080"]
    assert names("REPLACE", new, TableMatch(domain="ratings")) == ["reviews:9080", "new"]
    assert names("MERGE", "{name: x}", TableMatch(host="ratings:9080")) == ["reviews:9080", "x"]


def test_a_route_table_is_only_merged() -> None:
    before = table("9080", reviews=[route("a")])
    tree = changed(before, patch("ROUTE_CONFIGURATION", "MERGE", "{vhds: {config_source: {ads: {}}}}"))
    assert "vhds" in tree
    assert not apply(before, patch("ROUTE_CONFIGURATION", "ADD", "{name: x}")).applied


def test_clusters_are_merged_removed_and_added() -> None:
    before = cluster("outbound|80||a", type="EDS", connect_timeout=message.seconds(1))
    tree = changed(before, patch("CLUSTER", "MERGE", "{connect_timeout: 0.25s, lb_policy: RANDOM}"))
    assert (tree["connect_timeout"], tree["lb_policy"], tree["type"]) == ("0.250s", "RANDOM", "EDS")
    assert apply(before, patch("CLUSTER", "REMOVE")).resources == ()
    added = apply(before, patch("CLUSTER", "ADD", "{name: extra, type: STATIC, connect_timeout: 1s}"))
    assert [each.name for each in added.resources] == ["extra", "outbound|80||a"]


def test_entries_of_a_map_are_replaced() -> None:
    """proto merge; so Istio's users write `typed_extension_protocol_options` whole."""
    options = message.packed(message.HttpProtocolOptions(explicit_http_config={"http2_protocol_options": {}}))
    before = cluster("a", typed_extension_protocol_options={"x": options, "y": options})
    value = "{typed_extension_protocol_options: {x: {'@type': %s, use_downstream_protocol_config: {}}}}"
    name = message.type_url(message.HttpProtocolOptions)
    tree = changed(before, patch("CLUSTER", "MERGE", value % name))
    found = tree["typed_extension_protocol_options"]
    assert "explicit_http_config" not in found["x"]
    assert "explicit_http_config" in found["y"]


def test_a_cluster_whose_sockets_go_by_endpoint() -> None:
    tls = message.extension("mtls", message.UpstreamTls(sni="a"))
    before = cluster("a", transport_socket_matches=[{"name": "m", "match": {}, "transport_socket": tls}])
    kind = message.type_url(message.UpstreamTls)
    value = "{connect_timeout: 9s, transport_socket: {name: %s, typed_config: {'@type': %s, sni: b}}}"
    tree = changed(before, patch("CLUSTER", "MERGE", value % ("mtls", kind)))
    assert tree["transport_socket_matches"][0]["transport_socket"]["typed_config"]["sni"] == "b"
    assert "transport_socket" not in tree
    refused = apply(before, patch("CLUSTER", "MERGE", value % ("other", kind)))
    assert [each.code for each in refused.complaints] == ["not-applied"]
    assert refused.resources == (before,)


def dialling(kind: str = "STRICT_DNS", address: str = "a.shop.svc.cluster.local", port: int = 81) -> str:
    return f"""
    name: mine
    type: {kind}
    connect_timeout: 1s
    load_assignment:
      cluster_name: mine
      endpoints: [{{lb_endpoints: [
        {{endpoint: {{address: {{socket_address: {{address: {address}, port_value: {port}}}}}}}}}]}}]
    """


def test_a_cluster_that_dials_a_service_gets_its_endpoints_and_its_mtls() -> None:
    mesh = message.extension(
        "tls", message.UpstreamTls(common_tls_context={"alpn_protocols": ["tulle-http"]})
    )
    service = cluster(
        "outbound|81||a.shop.svc.cluster.local",
        type="EDS",
        eds_cluster_config={"service_name": "theirs", "eds_config": {"ads": {}}},
        transport_socket_matches=[{"name": "m", "match": {}, "transport_socket": mesh}],
    )

    def made(value: str) -> Translated:
        done = apply(service, patch("CLUSTER", "ADD", value))
        assert not done.complaints
        return next(each for each in done.resources if each.name == "mine")

    adopted = made(dialling())
    tree = to_tree(adopted)
    assert (tree["type"], tree["eds_cluster_config"]["service_name"]) == ("EDS", "theirs")
    assert "load_assignment" not in tree
    (match,) = tree["transport_socket_matches"]
    # Nothing that a filter sends has been through HTTP processing.
    assert match["transport_socket"]["typed_config"]["common_tls_context"]["alpn_protocols"] == ["tulle"]
    assert adopted.needs == ((ENDPOINT, "theirs"),)
    for other in (dialling("STATIC"), dialling(address="internal.org.net"), dialling(port=82)):
        assert "load_assignment" in to_tree(made(other))


def test_an_extension_is_added_and_replaced() -> None:
    first = "{name: e, typed_config: {'@type': " + message.type_url(message.Router) + "}}"
    second = first.replace("Router}", "Router, dynamic_stats: false}")
    done = apply(
        cluster("a"),
        patch("EXTENSION_CONFIG", "ADD", first, name="p"),
        patch("EXTENSION_CONFIG", "REPLACE", second, name="q"),
    )
    assert not done.complaints
    (made,) = [each for each in done.resources if each.name == "e"]
    assert made.origin.name == "q"
