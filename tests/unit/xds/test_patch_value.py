"""What people write as a value: every fault at its own place, and what is right as Envoy means it."""

from __future__ import annotations

import pytest
import yaml

from tests.unit.xds.patched import LUA, ROUTER, apply, chain, listener, manager, patch
from tulle.xds import message
from tulle.xds.patch.types import UnknownTypeError, find
from tulle.xds.patch.value import read

WASM = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"


def faults(message_class: object, text: str) -> list[tuple[str, str]]:
    _, found = read(message_class, yaml.safe_load(text))
    return [(".".join(map(str, each.path)), each.code) for each in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{nam: x}", [("nam", "unknown-field")]),
        ("{name: [x]}", [("name", "invalid-value")]),
        ("[]", [("", "wrong-type")]),
        ("{connect_timeout: 5}", [("connect_timeout", "invalid-value")]),
        ("{connect_timeout: 5 seconds}", [("connect_timeout", "invalid-value")]),
        ("{lb_policy: BEST}", [("lb_policy", "invalid-value")]),
        ("{load_assignment: {endpoints: {lb_endpoints: []}}}", [("load_assignment.endpoints", "wrong-type")]),
        (
            "{load_assignment: {endpoints: [{}, {lb_endpoint: []}]}}",
            [("load_assignment.endpoints.1.lb_endpoint", "unknown-field")],
        ),
        ("{metadata: []}", [("metadata", "wrong-type")]),
        (
            "{typed_extension_protocol_options: {a.b: {x: 1}}}",
            [("typed_extension_protocol_options.a.b", "missing-field")],
        ),
        (
            "{transport_socket: {typed_config: {'@type': a.B}}}",
            [("transport_socket.typed_config.@type", "unknown-type")],
        ),
        ("{type: STATIC, cluster_type: {name: x}}", [("cluster_type", "exclusive-fields")]),
        (
            "{nam: x, lb_policy: BEST, alt_stat_name: ok}",
            [("nam", "unknown-field"), ("lb_policy", "invalid-value")],
        ),
    ],
)
def test_every_fault_at_its_place(text: str, expected: list[tuple[str, str]]) -> None:
    assert faults(message.Cluster, text) == expected


def test_types_that_envoy_does_not_have() -> None:
    text = "{name: x, typed_config: {'@type': type.googleapis.com/envoy.config.filter.http.lua.v2.Lua}}"
    _, (fault,) = read(message.HttpFilter, yaml.safe_load(text))
    assert fault.code == "unknown-type"
    assert "try v3" in fault.text
    # Nothing is ever loaded but Envoy's own packages.
    for name in ("os.path.Join", "tulle.cli.main.App", "tests.envoy.Proxy", "envoy._main.Main", "x"):
        with pytest.raises(UnknownTypeError):
            find(f"type.googleapis.com/{name}")


def test_both_spellings_of_names_and_all_forms_of_values() -> None:
    text = """
    name: c
    connectTimeout: 0.25s
    type: STRICT_DNS
    dns_lookup_family: 1
    per_connection_buffer_limit_bytes: 7
    healthChecks: [{timeout: 1s, interval: 1s, tcpHealthCheck: {}}]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicitHttpConfig: {http2ProtocolOptions: {}}
    metadata: {filter_metadata: {a: {b: [1, {c: true}]}}}
    """
    made, found = read(message.Cluster, yaml.safe_load(text))
    assert found == ()
    assert made.connect_timeout.nanos == 250_000_000
    assert made.per_connection_buffer_limit_bytes.value == 7
    assert made.health_checks[0].HasField("tcp_health_check")
    assert made.metadata.filter_metadata["a"]["b"][1]["c"] is True


def test_a_typed_struct_is_what_it_stands_for() -> None:
    for kind in ("udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"):
        text = f"""
        name: x
        typed_config:
          "@type": type.googleapis.com/{kind}
          type_url: {WASM}
          value:
            config:
              root_id: r
              configuration: {{"@type": type.googleapis.com/google.protobuf.StringValue, value: v}}
        """
        made, found = read(message.HttpFilter, yaml.safe_load(text))
        assert found == ()
        assert made.typed_config.type_url == WASM
        wrong = text.replace("root_id", "rot_id")
        assert faults(message.HttpFilter, wrong) == [("typed_config.value.config.rot_id", "unknown-field")]


def test_the_same_value_is_the_same_bytes() -> None:
    text = (
        "{name: x, typed_config: {'@type': %s, source_codes: {b: {inline_string: x}, a: {inline_string: y}}}}"
    )
    values = [yaml.safe_load(text % LUA), yaml.safe_load(text % LUA)]
    codes = values[1]["typed_config"]["source_codes"]
    values[1]["typed_config"]["source_codes"] = dict(reversed(codes.items()))
    first, second = (message.serialise(read(message.HttpFilter, each)[0]) for each in values)
    assert first == second


def test_a_patch_that_does_not_parse_is_left_out_and_the_others_are_applied() -> None:
    done = apply(
        listener(chain(manager(ROUTER))),
        patch("HTTP_FILTER", "INSERT_FIRST", "{name: a, typd_config: {}}", name="wrong"),
        patch("HTTP_FILTER", "INSERT_FIRST", "{name: b}", name="right"),
    )
    assert [(each.origin.name, each.path, each.code) for each in done.complaints] == [
        ("wrong", ("typd_config",), "unknown-field")
    ]
    assert [each.name for each in done.applied] == ["right"]
