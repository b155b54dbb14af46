"""Patches to listeners and what is in them: every operation, where it applies and where it does not."""

from __future__ import annotations

import pytest

from tests.unit.xds.patched import (
    HTTP,
    LUA,
    MANAGER,
    ROUTER,
    TCP,
    apply,
    chain,
    changed,
    http_filters,
    listener,
    manager,
    network_filters,
    patch,
    route,
    tcp,
)
from tulle.mesh.view.patch import ListenerMatch
from tulle.xds import message
from tulle.xds.render import to_tree

AT_ROUTER = ListenerMatch(filter=HTTP, http_filter=ROUTER)
AT_FAULT = ListenerMatch(filter=HTTP, http_filter="fault")
AT_MANAGER = ListenerMatch(filter=HTTP)
ABSENT = ListenerMatch(filter=HTTP, http_filter="absent")


def edge(*filters: str) -> object:
    return listener(chain(manager(*filters)))


@pytest.mark.parametrize(
    ("operation", "match", "expected"),
    [
        ("ADD", None, ["fault", "new", ROUTER]),
        ("INSERT_BEFORE", AT_ROUTER, ["fault", "new", ROUTER]),
        ("INSERT_BEFORE", AT_FAULT, ["new", "fault", ROUTER]),
        ("INSERT_BEFORE", AT_MANAGER, ["new", "fault", ROUTER]),
        ("INSERT_BEFORE", None, ["new", "fault", ROUTER]),
        ("INSERT_AFTER", AT_FAULT, ["fault", "new", ROUTER]),
        ("INSERT_AFTER", AT_MANAGER, ["fault", ROUTER, "new"]),
        ("INSERT_FIRST", AT_ROUTER, ["new", "fault", ROUTER]),
        ("INSERT_BEFORE", ABSENT, ["fault", ROUTER]),
        ("REPLACE", AT_FAULT, ["new", ROUTER]),
        ("REPLACE", AT_MANAGER, ["fault", ROUTER]),
        ("REMOVE", AT_FAULT, [ROUTER]),
        ("REMOVE", None, ["fault", ROUTER]),
    ],
)
def test_http_filters(operation: str, match: ListenerMatch | None, expected: list[str]) -> None:
    value = "" if operation == "REMOVE" else "{name: new}"
    before = edge("fault", ROUTER)
    done = apply(before, patch("HTTP_FILTER", operation, value, match))  # type: ignore[arg-type]
    assert http_filters(to_tree(done.resources[0])) == expected
    is_same = expected == ["fault", ROUTER]
    assert (done.resources[0] is before) is is_same
    assert bool(done.applied) is not is_same


def test_the_class_of_an_added_http_filter_says_where_it_stands() -> None:
    added = [
        patch("HTTP_FILTER", "ADD", f"{{name: {name}}}", filter_class=kind, name=name)
        for name, kind in (
            ("stats", "STATS"),
            ("authz", "AUTHZ"),
            ("authn", "AUTHN"),
            ("authz2", "AUTHZ"),
            ("any", "UNSPECIFIED"),
        )
    ]
    tree = changed(edge("fault", ROUTER), *added)  # type: ignore[arg-type]
    assert http_filters(tree) == ["authn", "authz", "authz2", "fault", "stats", "any", ROUTER]


def test_an_http_filter_is_merged_within_its_own_configuration() -> None:
    lua = f"{{name: lua, typed_config: {{'@type': {LUA}, default_source_code: {{inline_string: a}}}}}}"
    more = f"{{name: lua2, typedConfig: {{'@type': {LUA}, statPrefix: x}}}}"
    before = edge(ROUTER)
    tree = changed(
        before,  # type: ignore[arg-type]
        patch("HTTP_FILTER", "INSERT_FIRST", lua),
        patch("HTTP_FILTER", "MERGE", more, ListenerMatch(filter=HTTP, http_filter="lua"), name="q"),
    )
    first = tree["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]
    assert first["name"] == "lua2"
    assert first["typed_config"]["default_source_code"] == {"inline_string": "a"}
    assert first["typed_config"]["stat_prefix"] == "x"


def test_what_cannot_be_merged_is_told_of_and_the_other_patches_are_applied() -> None:
    wrong = f"{{typed_config: {{'@type': {LUA}}}}}"
    done = apply(
        edge(ROUTER),  # type: ignore[arg-type]
        patch("HTTP_FILTER", "MERGE", wrong, AT_ROUTER, name="wrong"),
        patch("HTTP_FILTER", "INSERT_FIRST", "{name: new}", name="right"),
    )
    assert http_filters(to_tree(done.resources[0])) == ["new", ROUTER]
    (complaint,) = done.complaints
    assert (complaint.origin.name, complaint.code) == ("wrong", "not-applied")
    assert "Router" in complaint.text
    assert "Lua" in complaint.text


@pytest.mark.parametrize(
    ("operation", "match", "expected"),
    [
        ("ADD", None, ["new", TCP]),
        ("INSERT_BEFORE", ListenerMatch(filter=TCP), ["new", TCP]),
        ("INSERT_FIRST", ListenerMatch(filter=TCP), ["new", TCP]),
        ("INSERT_AFTER", ListenerMatch(filter=TCP), [TCP, "new"]),
        ("INSERT_BEFORE", ListenerMatch(filter=HTTP), [TCP]),
        ("REPLACE", ListenerMatch(filter=TCP), ["new"]),
        ("REPLACE", None, [TCP]),
        ("INSERT_BEFORE", ListenerMatch(port=1, filter=TCP), [TCP]),
        ("INSERT_BEFORE", ListenerMatch(port=9080, name="0.0.0.0_9080", filter=TCP), ["new", TCP]),
        ("INSERT_BEFORE", ListenerMatch(name="0.0.0.0_8080", filter=TCP), [TCP]),
    ],
)
def test_network_filters(operation: str, match: ListenerMatch | None, expected: list[str]) -> None:
    tree = changed(listener(chain(tcp())), patch("NETWORK_FILTER", operation, "{name: new}", match))
    assert network_filters(tree) == expected


def test_a_connection_manager_is_merged_and_keeps_the_rest() -> None:
    value = """
    name: envoy.filters.network.http_connection_manager
    typed_config:
      "@type": %s
      xff_num_trusted_hops: 5
      common_http_protocol_options: {idle_timeout: 30s}
    """
    before = listener(
        chain(manager(ROUTER, common_http_protocol_options={"max_headers_count": {"value": 7}}))
    )
    tree = changed(before, patch("NETWORK_FILTER", "MERGE", value % MANAGER, AT_MANAGER))
    config = tree["filter_chains"][0]["filters"][0]["typed_config"]
    assert config["xff_num_trusted_hops"] == 5
    assert config["common_http_protocol_options"] == {"max_headers_count": 7, "idle_timeout": "30s"}
    assert config["stat_prefix"] == "m"


def test_lists_are_appended_to_or_replaced() -> None:
    value = f"{{typed_config: {{'@type': {MANAGER}, upgrade_configs: [{{upgrade_type: b}}]}}}}"
    before = listener(chain(manager(ROUTER, upgrade_configs=[{"upgrade_type": "a"}])))
    found: list[list[str]] = []
    for operation in ("MERGE", "MERGE_AND_REPLACE_LIST"):
        tree = changed(before, patch("NETWORK_FILTER", operation, value, AT_MANAGER))
        upgrades = tree["filter_chains"][0]["filters"][0]["typed_config"]["upgrade_configs"]
        found.append([each["upgrade_type"] for each in upgrades])
    assert found == [["a", "b"], ["b"]]


def test_routes_inside_a_connection_manager_are_patched_too() -> None:
    hosts = [{"name": "inbound|http|9080", "domains": ["*"], "routes": [route("default")]}]
    before = listener(chain(manager(ROUTER, route_config={"name": "inbound|9080||", "virtual_hosts": hosts})))
    tree = changed(
        before,
        patch("VIRTUAL_HOST", "MERGE", "{request_headers_to_remove: [x]}"),
        context="SIDECAR_INBOUND",
    )
    config = tree["filter_chains"][0]["filters"][0]["typed_config"]
    assert config["route_config"]["virtual_hosts"][0]["request_headers_to_remove"] == ["x"]


@pytest.mark.parametrize(
    ("operation", "name", "expected"),
    [
        ("ADD", "", ["tls", "http", "new"]),
        ("INSERT_FIRST", "", ["new", "tls", "http"]),
        ("INSERT_BEFORE", "http", ["tls", "new", "http"]),
        ("INSERT_AFTER", "tls", ["tls", "new", "http"]),
        ("REPLACE", "tls", ["new", "http"]),
        ("REMOVE", "tls", ["http"]),
        ("REMOVE", "", ["tls", "http"]),
        ("MERGE", "tls", ["new", "http"]),
    ],
)
def test_listener_filters(operation: str, name: str, expected: list[str]) -> None:
    before = listener(chain(tcp()), listener_filters=[{"name": "tls"}, {"name": "http"}])
    value = "" if operation == "REMOVE" else "{name: new}"
    tree = changed(before, patch("LISTENER_FILTER", operation, value, ListenerMatch(listener_filter=name)))
    assert [each["name"] for each in tree["listener_filters"]] == expected


def test_a_listener_is_merged_removed_and_added() -> None:
    before = listener(chain(tcp()))
    tree = changed(before, patch("LISTENER", "MERGE", "{per_connection_buffer_limit_bytes: 7}"))
    assert tree["per_connection_buffer_limit_bytes"] == 7
    gone = apply(before, patch("LISTENER", "REMOVE", match=ListenerMatch(port=9080)))
    assert gone.resources == ()
    assert len(gone.applied) == 1
    value = """
    name: extra
    address: {socket_address: {address: 127.0.0.1, port_value: 1234}}
    filter_chains: [{filters: [{name: envoy.filters.network.echo}]}]
    """
    added = apply(before, patch("LISTENER", "ADD", value))
    assert [each.name for each in added.resources] == ["0.0.0.0_9080", "extra"]
    assert added.resources[1].origin.kind == "EnvoyFilter"
    assert added.resources[0] is before


def test_a_name_that_is_there_keeps_what_it_has() -> None:
    before = listener(chain(tcp()))
    done = apply(before, patch("LISTENER", "ADD", "{name: 0.0.0.0_9080}"))
    assert done.resources == (before,)
    assert [(each.code, each.path) for each in done.complaints] == [("duplicate-name", ("name",))]


def test_filter_chains() -> None:
    before = listener(
        chain(tcp(), name="a", filter_chain_match={"server_names": ["a.example"]}),
        chain(tcp(), name="b", filter_chain_match={"application_protocols": ["h2", "http/1.1"]}),
        default_filter_chain=chain(tcp(), name="rest"),
    )

    def names(*patches: object) -> list[str]:
        tree = changed(before, *patches)  # type: ignore[arg-type]
        rest = [tree["default_filter_chain"]] if "default_filter_chain" in tree else []
        return [each["name"] for each in (*tree["filter_chains"], *rest)]

    def remove(match: ListenerMatch) -> list[str]:
        return names(patch("FILTER_CHAIN", "REMOVE", match=match))

    assert remove(ListenerMatch(sni="a.example")) == ["b", "rest"]
    assert remove(ListenerMatch(sni="b.example")) == ["a", "b", "rest"]
    assert remove(ListenerMatch(chain="rest")) == ["a", "b"]
    assert remove(ListenerMatch(chain="PassthroughFilterChain")) == ["a", "b"]
    assert remove(ListenerMatch(application_protocols=("h2", "http/1.1"))) == ["a", "rest"]
    assert remove(ListenerMatch(application_protocols=("h2", "h3"))) == ["a", "b", "rest"]
    assert names(patch("FILTER_CHAIN", "ADD", "{name: new, filters: [{name: x}]}")) == [
        "a",
        "b",
        "new",
        "rest",
    ]
    assert names(patch("FILTER_CHAIN", "MERGE", "{name: z}", ListenerMatch(chain="a"))) == ["z", "b", "rest"]


def test_a_transport_socket_is_merged_within_or_replaced() -> None:
    tls = message.extension("tls", message.DownstreamTls(require_client_certificate={"value": True}))
    before = listener(chain(tcp(), transport_socket=tls))
    of_type = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    more = "{name: z, transport_socket: {name: %s, typed_config: {'@type': %s, require_sni: true}}}"

    def merged(name: str) -> dict[str, object]:
        (made,) = changed(before, patch("FILTER_CHAIN", "MERGE", more % (name, of_type)))["filter_chains"]
        assert made["name"] == "z"
        config = made["transport_socket"]["typed_config"]
        return {key: value for key, value in config.items() if key != "@type"}

    assert merged("tls") == {"require_client_certificate": True, "require_sni": True}
    assert merged("other") == {"require_sni": True}
