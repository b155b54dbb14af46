"""The bytes against the library that everybody else reads them with."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.service.discovery.v3 import discovery_pb2

from tulle.ads import wire
from tulle.ads.resource import CLUSTER, ENDPOINT, Resource

discovery: Any = discovery_pb2
PLAIN = Resource(CLUSTER, "a", b"\x0a\x01a")
NEEDY = Resource(CLUSTER, "b" * 300, b"x" * 20_000, ((ENDPOINT, "b"), (ENDPOINT, "c")))


def test_a_delta_response_is_what_protobuf_would_have_written() -> None:
    encoder = wire.Encoder()
    content = wire.delta_response(CLUSTER, "7", map(encoder.delta, [PLAIN, NEEDY]), ["x", "y"])
    response = discovery.DeltaDiscoveryResponse.FromString(content)
    assert (response.type_url, response.nonce, list(response.removed_resources)) == (CLUSTER, "7", ["x", "y"])
    first, second = response.resources
    assert (first.name, first.version, first.resource.type_url) == ("a", PLAIN.version, CLUSTER)
    assert first.resource.value == PLAIN.body
    assert second.resource.value == NEEDY.body
    assert not first.HasField("metadata")
    assert discovery.DeltaDiscoveryResponse.FromString(response.SerializeToString()) == response


def test_a_state_of_the_world_response_is_what_protobuf_would_have_written() -> None:
    content = wire.state_of_the_world_response(CLUSTER, "7", "v", [wire.Encoder().plain(PLAIN)])
    response = discovery.DiscoveryResponse.FromString(content)
    assert (response.type_url, response.nonce, response.version_info) == (CLUSTER, "7", "v")
    assert [(found.type_url, found.value) for found in response.resources] == [(CLUSTER, PLAIN.body)]


def test_a_resource_is_encoded_once() -> None:
    encoder = wire.Encoder()
    assert encoder.delta(PLAIN) is encoder.delta(PLAIN)
    fresh = Resource(CLUSTER, "fresh", b"1")
    for _ in range(3):
        encoder.delta(fresh)
        encoder.plain(fresh)
    assert encoder.serialised in (2, 3)


def test_resources_survive_the_wire_and_the_disk() -> None:
    content = wire.delta_response(CLUSTER, "7", map(wire.Encoder().delta, [PLAIN, NEEDY]), ["x"])
    assert wire.parse_delta_response(content) == wire.DeltaResponse(CLUSTER, "7", (PLAIN, NEEDY), ("x",))
    assert wire.parse_resources(wire.encode_resources([NEEDY, PLAIN])) == (NEEDY, PLAIN)


def test_requests_survive_the_wire() -> None:
    request = wire.DeltaRequest(CLUSTER, ("a",), ("b",), {"c": "1"}, "7", "no", "node", ("feature",))
    assert wire.parse_delta_request(request.encode()) == request
    acknowledgement = wire.DeltaRequest(CLUSTER, nonce="7")
    assert wire.parse_delta_request(acknowledgement.encode()) == acknowledgement
    refusal = wire.DeltaRequest(CLUSTER, nonce="7", refusal="")
    assert wire.parse_delta_request(refusal.encode()).refusal == ""


def test_a_state_of_the_world_request_is_read() -> None:
    message = discovery.DiscoveryRequest(
        type_url=CLUSTER, resource_names=["a"], response_nonce="7", node={"id": "node"}
    )
    message.error_detail.message = "no"
    read = wire.parse_state_of_the_world_request(message.SerializeToString())
    assert read == wire.StateOfTheWorldRequest(CLUSTER, ("a",), "7", "no", "node")


@pytest.mark.parametrize(
    "parse",
    [
        wire.parse_delta_request,
        wire.parse_delta_response,
        wire.parse_state_of_the_world_request,
        wire.parse_resources,
    ],
)
@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", b"\x12\x7f"])
def test_garbage_is_an_error_of_one_kind(parse: Any, garbage: bytes) -> None:
    with pytest.raises(wire.MalformedError):
        parse(garbage)
