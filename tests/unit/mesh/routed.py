"""A shop to route in, and a way to ask an Outbound or a Gateway what happens to a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from textwrap import dedent

from tests.unit.mesh.worldly import publish, world_of
from tulle.mesh.declaration import Settings
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import (
    Forward,
    Gateway,
    MatchKind,
    Outbound,
    RequestMatch,
    Respond,
    Route,
    RouteTable,
    ValueMatch,
    VirtualHost,
)
from tulle.mesh.world import World

SHOP = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: shop, namespace: shop}
spec:
  services:
    reviews:
      ports: [{port: 9080, name: http}]
      versions:
        v1: {command: reviews}
        v2: {command: reviews}
    ratings: {ports: [{port: 9080, name: grpc}], command: ratings, serviceAccount: raters}
    details: {port: 9080, command: details}
    orders: {ports: [{port: 7000, name: tcp}], command: orders}
    vault: {ports: [{port: 8443, name: tls}], command: vault}
---
apiVersion: tulle.dev/v1
kind: App
metadata: {name: front, namespace: front}
spec:
  services:
    storefront: {ports: [{port: 80, name: http}], command: storefront}
"""


@dataclass(frozen=True)
class Request:
    """What a caller sends; `host` as in the Host header."""

    host: str
    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    destination: str = ""
    """The address that was dialled."""


def shop(*texts: str, settings: Settings | None = None) -> tuple[World, Resolution]:
    """The shop, and what else is written."""
    world = world_of(SHOP, settings)
    for text in texts:
        publish(world, dedent(text))
    return world, Resolution(world)


def table(view: Outbound | Gateway, name: str) -> RouteTable:
    return next(each for each in view.route_tables if each.name == name)


def virtual_host(found: RouteTable, host: str) -> VirtualHost | None:
    """As Envoy chooses: the exact domain, the longest wildcard suffix, any."""
    best: tuple[tuple[int, int], VirtualHost] | None = None
    for each in found.virtual_hosts:
        for domain in each.domains:
            exact = domain == host
            wild = domain.startswith("*") and host.endswith(domain[1:]) and domain != host
            rank = (0 if exact else 1, -len(domain))
            if (exact or wild) and (best is None or rank < best[0]):
                best = (rank, each)
    return best[1] if best is not None else None


def answer(found: RouteTable, request: Request) -> str:
    """`cluster`, `cluster=weight cluster=weight`, or the status that is answered in place."""
    host = virtual_host(found, request.host)
    for route in _routes(host, request.destination) if host is not None else ():
        if not holds(route.match, request):
            continue
        action = route.action
        if isinstance(action, Respond):
            return str(action.status)
        assert isinstance(action, Forward)
        if len(action.clusters) == 1:
            return action.clusters[0].cluster
        return " ".join(f"{each.cluster}={each.weight}" for each in action.clusters)
    return "404"


def ask(view: Outbound | Gateway, name: str, host: str, path: str = "/", **more: object) -> str:
    return answer(table(view, name), Request(host, path, **more))  # type: ignore[arg-type]


def _routes(host: VirtualHost, dialled: str) -> tuple[Route, ...]:
    """Those of the address, of the first range that has it, or the host's own."""
    by_destination = sorted(host.by_destination, key=lambda each: "/" in each.destination)
    for each in by_destination if dialled else ():
        if ip_address(dialled) in ip_network(each.destination):
            return each.routes
    return host.routes


def holds(match: RequestMatch, request: Request) -> bool:
    if match.path is not None and not _value_holds(match.path, request.path):
        return False
    headers = {
        ":method": request.method,
        ":authority": request.host,
        **{name.lower(): value for name, value in request.headers.items()},
    }
    return all(_value_holds(each.match, headers.get(each.name)) for each in match.headers) and all(
        _value_holds(each.match, request.query.get(each.name)) for each in match.query
    )


def _value_holds(match: ValueMatch, value: str | None) -> bool:
    if value is None:
        return match.invert
    wanted = match.value
    if match.ignore_case:
        value, wanted = value.lower(), wanted.lower()
    found = {
        MatchKind.EXACT: value == wanted,
        MatchKind.PREFIX: value.startswith(wanted),
        MatchKind.PATH_PREFIX: value == wanted or value.startswith(wanted + "/"),
        MatchKind.REGEX: re.fullmatch(wanted, value) is not None,
        MatchKind.PRESENT: True,
    }[match.kind]
    return found != match.invert


def codes(resolution: Resolution) -> list[tuple[str, str, str]]:
    """(code, resource, field) of all findings, by resource and field."""
    found = [(each.code, f"{each.kind}/{each.name}", each.field) for each in resolution.findings()]
    return sorted(found, key=lambda each: each[1:])
