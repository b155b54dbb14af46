"""Changes of headers as Istio's resources write them (virtual_service.proto, Headers)."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from tulle.model.schema import Model, check_header_name, problem

_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_COMMAND = re.compile(r"%(%|([A-Z][A-Z0-9_]*)(\([^%]*\))?(:[0-9]+)?%)?")
_COMMAND_NAMES = (
    "BYTES_RECEIVED CONNECTION_ID CUSTOM_FLAGS DOWNSTREAM_DIRECT_LOCAL_ADDRESS "
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_REMOTE_ADDRESS "
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_REMOTE_PORT DOWNSTREAM_LOCAL_ADDRESS "
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_LOCAL_PORT DOWNSTREAM_LOCAL_SUBJECT "
    "DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_PEER_CERT DOWNSTREAM_PEER_CERT_V_END "
    "DOWNSTREAM_PEER_CERT_V_START DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_FINGERPRINT_256 "
    "DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_SUBJECT DOWNSTREAM_PEER_URI_SAN "
    "DOWNSTREAM_REMOTE_ADDRESS DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_REMOTE_PORT "
    "DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_TLS_VERSION DURATION DYNAMIC_METADATA "
    "ENVIRONMENT FILTER_STATE GRPC_STATUS GRPC_STATUS_NUMBER HOSTNAME METADATA PER_REQUEST_STATE PROTOCOL "
    "REQ REQUESTED_SERVER_NAME REQUEST_DURATION REQUEST_HEADERS_BYTES RESP RESPONSE_CODE "
    "RESPONSE_CODE_DETAILS RESPONSE_DURATION RESPONSE_FLAGS RESPONSE_FLAGS_LONG ROUTE_NAME START_TIME "
    "STREAM_ID TRACE_ID TRAILER UNIQUE_ID UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW UPSTREAM_HOST "
    "UPSTREAM_LOCAL_ADDRESS UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT UPSTREAM_LOCAL_PORT UPSTREAM_METADATA "
    "UPSTREAM_PROTOCOL UPSTREAM_REMOTE_ADDRESS UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT UPSTREAM_REMOTE_PORT "
    "UPSTREAM_REQUEST_ATTEMPT_COUNT UPSTREAM_TRANSPORT_FAILURE_REASON VIRTUAL_CLUSTER_NAME "
)
COMMANDS = frozenset(_COMMAND_NAMES.split())
"""Envoy's command operators ("Access logging", which headers share); it refuses a route with another one."""
COMMANDS_WITH_ARGUMENT = frozenset(
    {
        "DYNAMIC_METADATA",
        "ENVIRONMENT",
        "FILTER_STATE",
        "METADATA",
        "PER_REQUEST_STATE",
        "REQ",
        "RESP",
        "TRAILER",
        "UPSTREAM_METADATA",
    }
)
"""Those that are nothing without one."""
_AUTHORITY = frozenset({"host", ":authority"})


def _check_value(value: str) -> str:
    """As Envoy's HeaderParser (Istio, `validateHeaderValue`)."""
    if not _VALUE.fullmatch(value):
        raise problem(
            "invalid-header-value", "it has a control character", remedy="Remove line breaks and the like."
        )
    for found in _COMMAND.finditer(value):
        if found[0] == "%":
            raise problem(
                "invalid-header-value",
                "a per cent sign begins one of Envoy's commands, and this one does not end",
                remedy="Write %% for the sign itself.",
            )
        if found[2] and found[2] not in COMMANDS:
            raise problem(
                "invalid-header-value",
                f"Envoy has no command “{found[2]}”",
                remedy="Write %% for a per cent sign, or one of Envoy's command operators.",
            )
        if found[2] in COMMANDS_WITH_ARGUMENT and not found[3]:
            raise problem(
                "invalid-header-value",
                f"Envoy's command “{found[2]}” needs an argument",
                remedy=f"Write %{found[2]}(NAME)%.",
            )
    return value


def _check_request_name(name: str) -> str:
    return name if name.lower() in _AUTHORITY else _check_name(name)


def _check_name(name: str) -> str:
    if name.startswith(":") or name.lower() == "host":
        raise problem(
            "invalid-header-name",
            f"“{name}” cannot be changed here",
            remedy="The host of a request is changed by rewrite.authority, or by headers.request.set.",
        )
    return check_header_name(name)


HeaderValue = Annotated[str, AfterValidator(_check_value)]
RequestHeaderName = Annotated[str, AfterValidator(_check_request_name)]
ChangedHeaderName = Annotated[str, AfterValidator(_check_name)]


class HeaderOperations(Model):
    """Of a request; `host` and `:authority` stand for the request's host."""

    set: dict[RequestHeaderName, HeaderValue] = {}
    add: dict[RequestHeaderName, HeaderValue] = {}
    remove: tuple[ChangedHeaderName, ...] = ()

    @property
    def authority(self) -> str:
        """The host that is asked for instead; what is set stands before what is added."""
        named = [each for changes in (self.set, self.add) for each in changes.items()]
        return next((value for name, value in named if name.lower() in _AUTHORITY), "")

    @property
    def authorities(self) -> int:
        """How often the host is changed."""
        return sum(name.lower() in _AUTHORITY for changes in (self.set, self.add) for name in changes)


class ResponseHeaderOperations(Model):
    set: dict[ChangedHeaderName, HeaderValue] = {}
    add: dict[ChangedHeaderName, HeaderValue] = {}
    remove: tuple[ChangedHeaderName, ...] = ()


class Headers(Model):
    request: HeaderOperations | None = None
    response: ResponseHeaderOperations | None = None


def is_authority(name: str) -> bool:
    """Whether the name of a header stands for the host of the request."""
    return name.lower() in _AUTHORITY


PSEUDO_HEADERS = frozenset({":method", ":scheme", ":authority", ":path", ":status"})


def _check_matched_name(name: str) -> str:
    if name.startswith("@request.auth.claims"):
        raise problem(
            "not-honoured",
            "routes by claims of a token are not honoured by this version (they come with JWT)",
            remedy="Remove it.",
        )
    return name if name in PSEUDO_HEADERS else check_header_name(name)


MatchedHeaderName = Annotated[str, AfterValidator(_check_matched_name)]
