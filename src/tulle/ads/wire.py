"""The bytes of the xDS messages.

A resource is encoded once, as the `resources` field (tag 2) that a response repeats; a response is put
together by joining such fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from sys import intern
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2, message
from google.rpc import status_pb2

from tulle.ads.resource import Resource
from tulle.kit.protobuf import length_delimited

DELTA = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
STATE_OF_THE_WORLD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"

MIRROR = "tulle.mirror"
"""The client feature by which an agent says that it keeps what it was given (see `Subscription`)."""
_NEEDS = "tulle.needs"
_INVALID_ARGUMENT = 3  # google.rpc.Code

# The message classes are made at run time, so type checkers do not see them. They stay in this module.
_discovery: Any = discovery_pb2
_base: Any = base_pb2
_any: Any = any_pb2
_status: Any = status_pb2


class MalformedError(ValueError):
    """Bytes that are not the message that they should be."""


def _text_field(tag: int, text: str) -> bytes:
    return length_delimited(tag, text.encode())


@cache
def _type_field(type_url: str) -> bytes:
    return _text_field(4, type_url)


class Encoder:
    """Encodes resources, each of them once for all streams."""

    def __init__(self) -> None:
        self.serialised = 0
        """How many resources were encoded: tests and metrics read it."""

    def delta(self, resource: Resource) -> bytes:
        """The resource as one `resources` field of a DeltaDiscoveryResponse."""
        if resource.encoded.delta is None:
            self.serialised += 1
            resource.encoded.delta = length_delimited(2, _wrapped(resource))
        return resource.encoded.delta

    def plain(self, resource: Resource) -> bytes:
        """The resource as one `resources` field of a (state of the world) DiscoveryResponse."""
        if resource.encoded.plain is None:
            self.serialised += 1
            body = _any.Any(type_url=resource.type_url, value=resource.body)
            resource.encoded.plain = length_delimited(2, body.SerializeToString(deterministic=True))
        return resource.encoded.plain


def _wrapped(resource: Resource) -> bytes:
    wrapped = _discovery.Resource(
        name=resource.name,
        version=resource.version,
        resource=_any.Any(type_url=resource.type_url, value=resource.body),
    )
    if resource.needs:
        # An agent orders its own updates by them; Envoy does not look at this field.
        needs = _base.Metadata()
        needs.filter_metadata[_NEEDS].update({type_url: [] for type_url, _ in resource.needs})
        for type_url, name in resource.needs:
            needs.filter_metadata[_NEEDS][type_url].append(name)
        wrapped.metadata.CopyFrom(needs)
    return wrapped.SerializeToString(deterministic=True)


def _unwrapped(wrapped: Any) -> Resource:
    needs = tuple(
        (type_url, str(name.string_value))
        for type_url, names in sorted(wrapped.metadata.filter_metadata[_NEEDS].fields.items())
        for name in names.list_value.values
    )
    return Resource(
        wrapped.resource.type_url, wrapped.name, wrapped.resource.value, needs, version=wrapped.version
    )


# -- what a server says ------------------------------------------------------------------------------


def delta_response(
    type_url: str, nonce: str, resources: Iterable[bytes], removed: Iterable[str] = ()
) -> bytes:
    """A DeltaDiscoveryResponse around fields that `Encoder.delta` made."""
    envelope = _type_field(type_url) + _text_field(5, nonce)
    return b"".join((envelope, *(_text_field(6, name) for name in removed), *resources))


def state_of_the_world_response(type_url: str, nonce: str, version: str, resources: Iterable[bytes]) -> bytes:
    """A DiscoveryResponse around fields that `Encoder.plain` made."""
    envelope = _discovery.DiscoveryResponse(
        type_url=type_url, nonce=nonce, version_info=version
    ).SerializeToString()
    return b"".join((envelope, *resources))


# -- what a client says ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeltaRequest:
    """A DeltaDiscoveryRequest."""

    type_url: str
    subscribe: Sequence[str] = ()
    unsubscribe: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the client has from an earlier stream: name -> version."""
    nonce: str = ""
    refusal: str | None = None
    """Why the response with this nonce is refused (a NACK); None means that it is accepted."""
    node_id: str = ""
    """Only the first request of a stream has to name the node."""
    features: Sequence[str] = ()

    def encode(self) -> bytes:
        """The message."""
        request = _discovery.DeltaDiscoveryRequest(
            type_url=self.type_url,
            resource_names_subscribe=self.subscribe,
            resource_names_unsubscribe=self.unsubscribe,
            initial_resource_versions=self.versions,
            response_nonce=self.nonce,
        )
        if self.node_id:
            request.node.id = self.node_id
            request.node.client_features.extend(self.features)
        if self.refusal is not None:
            request.error_detail.CopyFrom(_status.Status(code=_INVALID_ARGUMENT, message=self.refusal))
        return request.SerializeToString()


def _names(names: Iterable[str]) -> tuple[str, ...]:
    """A thousand proxies ask for the same names: they share the text."""
    return tuple(map(intern, names))


def parse_delta_request(content: bytes) -> DeltaRequest:
    """Raises MalformedError."""
    try:
        request = _discovery.DeltaDiscoveryRequest.FromString(content)
    except message.DecodeError as error:
        raise MalformedError("not a DeltaDiscoveryRequest") from error
    return DeltaRequest(
        request.type_url,
        _names(request.resource_names_subscribe),
        _names(request.resource_names_unsubscribe),
        {intern(name): intern(version) for name, version in request.initial_resource_versions.items()},
        request.response_nonce,
        request.error_detail.message if request.HasField("error_detail") else None,
        request.node.id,
        tuple(request.node.client_features),
    )


@dataclass(frozen=True, slots=True)
class StateOfTheWorldRequest:
    """A DiscoveryRequest."""

    type_url: str
    names: Sequence[str] = ()
    nonce: str = ""
    refusal: str | None = None
    node_id: str = ""


def parse_state_of_the_world_request(content: bytes) -> StateOfTheWorldRequest:
    """Raises MalformedError."""
    try:
        request = _discovery.DiscoveryRequest.FromString(content)
    except message.DecodeError as error:
        raise MalformedError("not a DiscoveryRequest") from error
    return StateOfTheWorldRequest(
        request.type_url,
        _names(request.resource_names),
        request.response_nonce,
        request.error_detail.message if request.HasField("error_detail") else None,
        request.node.id,
    )


# -- what a client reads -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeltaResponse:
    """A DeltaDiscoveryResponse as its receiver reads it."""

    type_url: str
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()


def parse_delta_response(content: bytes) -> DeltaResponse:
    """Raises MalformedError."""
    try:
        response = _discovery.DeltaDiscoveryResponse.FromString(content)
    except message.DecodeError as error:
        raise MalformedError("not a DeltaDiscoveryResponse") from error
    return DeltaResponse(
        response.type_url,
        response.nonce,
        tuple(_unwrapped(resource) for resource in response.resources),
        tuple(response.removed_resources),
    )


# -- resources at rest -------------------------------------------------------------------------------


def encode_resources(resources: Iterable[Resource]) -> bytes:
    """Resources of any types as one run of bytes, for the disk."""
    return b"".join(length_delimited(2, _wrapped(resource)) for resource in resources)


def parse_resources(content: bytes) -> tuple[Resource, ...]:
    """The other direction. Raises MalformedError."""
    return parse_delta_response(content).resources
