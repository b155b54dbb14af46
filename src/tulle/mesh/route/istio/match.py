"""Which requests and connections a match of a VirtualService takes.

What depends on where they arrive and from whom is decided here and now, since every proxy has a configuration
of its own (Istio: "This is not a runtime match, but is a selector"); the rest is left to the proxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from tulle.mesh.scope import Scope
from tulle.mesh.view import MatchKind, NamedMatch, RequestMatch, ValueMatch
from tulle.model.istio import HeaderMatch, HTTPMatchRequest, L4MatchAttributes, TLSMatchAttributes, UriMatch


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where requests and connections arrive, and whose they are."""

    gateway: str
    """`NAMESPACE/NAME`, or `mesh`"""
    port: int
    caller: Scope
    """At a gateway its own proxy's."""
    address: str = ""
    """That was dialled; connections only."""
    tls: bool = False
    """The gateway itself speaks TLS."""


def takes_request(match: HTTPMatchRequest, bound: tuple[str, ...], arrival: Arrival) -> bool:
    """`bound`: the gateways of the VirtualService, for matches without any. Those of a match stand in place
    of what it says of callers ("The gateway match is independent of sourceLabels"; `sourceMatchHTTP`).
    """
    at_port = match.port in (None, arrival.port)
    if match.gateways:
        return at_port and arrival.gateway in match.gateways
    return at_port and arrival.gateway in bound and _is_caller(match, arrival.caller)


def takes_connection(
    match: TLSMatchAttributes | L4MatchAttributes, gateways: tuple[str, ...], arrival: Arrival
) -> bool:
    """`gateways`: those of the match, or else of the VirtualService."""
    if match.port not in (None, arrival.port) or arrival.gateway not in gateways:
        return False
    subnets = match.destination_subnets
    return _is_caller(match, arrival.caller) and (not subnets or _is_within(arrival.address, subnets))


def _is_caller(match: HTTPMatchRequest | TLSMatchAttributes | L4MatchAttributes, caller: Scope) -> bool:
    return caller.carries(match.source_labels) and match.source_namespace in (None, caller.namespace)


def _is_within(address: str, subnets: tuple[str, ...]) -> bool:
    return bool(address) and any(ip_address(address) in ip_network(each, strict=False) for each in subnets)


# -- what the proxy looks at ------------------------------------------------------------------------


def request_match(match: HTTPMatchRequest) -> RequestMatch:
    """What of a request the proxy has to look at."""
    headers = [
        NamedMatch(name, _value(value))
        for name, value in (
            (":method", match.method),
            (":authority", match.authority),
            (":scheme", match.scheme),
        )
        if value is not None
    ]
    headers += _named(match.headers)
    headers += _named(match.without_headers, invert=True)
    path = _value(match.uri, ignore_case=match.ignore_uri_case) if match.uri is not None else None
    query = tuple(NamedMatch(name, _value(value)) for name, value in sorted(match.query_params.items()))
    return RequestMatch(path, tuple(headers), query)


def _named(matches: Mapping[str, HeaderMatch], invert: bool = False) -> list[NamedMatch]:
    """Headers; names that stand for parts of the request line are ignored, as documented by Istio."""
    reserved = ("uri", "scheme", "method", "authority")
    return [
        NamedMatch(name.lower(), _value(value, invert=invert))
        for name, value in sorted(matches.items())
        if name.lower() not in reserved
    ]


def _value(match: UriMatch, ignore_case: bool = False, invert: bool = False) -> ValueMatch:
    if match.exact is not None:
        return ValueMatch(MatchKind.EXACT, match.exact, ignore_case, invert)
    if match.prefix:  # an empty prefix is every value
        return ValueMatch(MatchKind.PREFIX, match.prefix, ignore_case, invert)
    if (
        match.regex is not None and match.regex != "*"
    ):  # no regular expression, but Istio's word for any value
        return ValueMatch(MatchKind.REGEX, match.regex, False, invert)
    return ValueMatch(MatchKind.PRESENT, "", False, invert)
