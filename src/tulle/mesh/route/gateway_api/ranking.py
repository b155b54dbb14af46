"""Routes of the Gateway API in the one vocabulary of the View: their order, and what an HTTPRoute matches.

A route means the same wherever it is attached; what differs is only whether a ReferenceGrant is needed:
at a gateway it is, in the mesh it is not, since there a route exposes nothing that a caller could not
reach anyway (GEP-1426, "Namespace boundaries").
Read by `outbound/outbound.py` (routes of a Service), `gateway/gateway.py` (routes of a Gateway) and
`status/status.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tulle.mesh.name import service_host
from tulle.mesh.route.attachment import GRPC_ROUTE, HTTP_ROUTE, Attachments, RouteResource
from tulle.mesh.route.common import age
from tulle.mesh.route.gateway_api import grpc_route
from tulle.mesh.route.gateway_api.rule import Rule
from tulle.mesh.service.declared import SERVICE_ENTRY
from tulle.mesh.service.service import Service, ServicePort
from tulle.mesh.view import MatchKind, NamedMatch, Origin, Protocol, RequestMatch, Route, ValueMatch
from tulle.mesh.world import World
from tulle.model.gateway_api import (
    GRPCRouteRule,
    HTTPHeaderMatch,
    HTTPPathMatch,
    HTTPRouteMatch,
    HTTPRouteRule,
    ParentReference,
)
from tulle.model.istio import ServiceEntrySpec
from tulle.model.resource import Key, Resource

Precedence = tuple[int, int, int, int, int]
Rank = tuple[Precedence, tuple[str, str, str], int, int]


@dataclass(frozen=True, slots=True)
class RankedRoute:
    """A route with its precedence: the smallest rank is tried first."""

    rank: Rank
    route: Route


# -- translation ------------------------------------------------------------------------------------


def ranked_routes(world: World, resource: RouteResource, at_gateway: bool) -> tuple[RankedRoute, ...]:
    """One route for each match of each rule."""
    found: list[RankedRoute] = []
    for index, written in enumerate(resource.spec.rules):
        rule = Rule(world, resource, index, at_gateway)
        field = f"spec.rules[{index}]"
        for number, (precedence, match) in enumerate(_matches(written)):
            origin = Origin(
                resource.key.kind, resource.namespace, resource.name, f"{field}.matches[{number}]"
            )
            name = f"{resource.namespace}.{resource.name}.{written.name or index}.{number}"
            rank = (precedence, age(resource), index, number)
            found.append(RankedRoute(rank, rule.route(name, match, origin)))
    return tuple(found)


def in_order(routes: Iterable[RankedRoute]) -> tuple[Route, ...]:
    """The routes of several resources as one list, the first that matches being the right one."""
    return tuple(each.route for each in sorted(routes, key=lambda each: each.rank))


def _matches(rule: HTTPRouteRule | GRPCRouteRule) -> list[tuple[Precedence, RequestMatch]]:
    if isinstance(rule, HTTPRouteRule):
        return [(_precedence(match), _request_match(match)) for match in rule.matches]
    return grpc_route.matches(rule)


# -- matches ----------------------------------------------------------------------------------------


def _precedence(match: HTTPRouteMatch) -> Precedence:
    """The specification's order (`HTTPRouteRule.matches`): an exact path, the longest prefix, a method, the
    most headers, the most query parameters. For a regular expression the order is the implementation's:
    here it comes after exact paths and before prefixes, so that `/` does not hide it.
    """
    kind = {"Exact": 0, "RegularExpression": 1, "PathPrefix": 2}[match.path.type]
    length = len(match.path.value.rstrip("/")) if kind == 2 else len(match.path.value)
    return (
        kind,
        -length if kind else 0,
        0 if match.method else 1,
        -len(_first_of_each_name(match.headers)),
        -len(match.query_params),
    )


def _request_match(match: HTTPRouteMatch) -> RequestMatch:
    headers = [NamedMatch(each.name.lower(), _value(each)) for each in _first_of_each_name(match.headers)]
    if match.method:
        headers.insert(0, NamedMatch(":method", ValueMatch(MatchKind.EXACT, match.method)))
    seen: dict[str, HTTPHeaderMatch] = {}
    for each in match.query_params:
        seen.setdefault(each.name, each)
    query = tuple(NamedMatch(name, _value(each)) for name, each in seen.items())
    return RequestMatch(_path(match.path), tuple(headers), query)


def _first_of_each_name(headers: tuple[HTTPHeaderMatch, ...]) -> tuple[HTTPHeaderMatch, ...]:
    """Of equivalent names (case-insensitive) only the first counts (`HTTPHeaderMatch.name`)."""
    seen: dict[str, HTTPHeaderMatch] = {}
    for each in headers:
        seen.setdefault(each.name.lower(), each)
    return tuple(seen.values())


def _path(path: HTTPPathMatch) -> ValueMatch:
    match path.type:
        case "Exact":
            return ValueMatch(MatchKind.EXACT, path.value)
        case "RegularExpression":
            return ValueMatch(MatchKind.REGEX, path.value)
        case "PathPrefix":
            value = path.value.rstrip("/")  # a trailing slash is ignored (`PathMatchPathPrefix`)
            return ValueMatch(MatchKind.PATH_PREFIX, value) if value else ValueMatch(MatchKind.PREFIX, "/")


def _value(match: HTTPHeaderMatch) -> ValueMatch:
    return ValueMatch(MatchKind.EXACT if match.type == "Exact" else MatchKind.REGEX, match.value)


# -- routes of a Service (GAMMA) --------------------------------------------------------------------


def attached(
    attachments: Attachments, service: Service, port: ServicePort, scope: str
) -> tuple[RouteResource, ...]:
    """The routes that hold for callers of `scope` when they call this port of a Service.

    Routes of the caller's own namespace (consumer routes) stand before those of the Service's namespace
    (producer routes), and the two are not merged; others do not count (GEP-1426, "Multiple routes for a
    Service"). Nor are kinds merged: GRPCRoutes stand before HTTPRoutes (GEP-1294, "Route type specificity").
    A scope "" is a caller from any other namespace.
    """
    if not (port.protocol.is_http or port.protocol is Protocol.DETECT):
        return ()
    for namespace in dict.fromkeys((scope, service.namespace)):
        for _, kind in (GRPC_ROUTE, HTTP_ROUTE):
            found = tuple(
                route
                for route in attachments.routes(kind, service.behind(port).parent)
                if route.namespace == namespace
                and any(names_port(ref, namespace, service, port) for ref in route.spec.parent_refs)
            )
            if found:
                return found
    return ()


def names_port(ref: ParentReference, namespace: str, service: Service, port: ServicePort) -> bool:
    """Whether a parentRef, written in `namespace`, means this port of this Service or ServiceEntry."""
    if (ref.group, ref.kind, ref.namespace or namespace, ref.name) != service.behind(port).parent:
        return False
    return ref.port in (None, port.number) and ref.section_name in (None, port.name)


def parent_hosts(world: World, ref: ParentReference, namespace: str) -> tuple[str, ...]:
    """The hosts that a parentRef, written in `namespace`, means: a Service's, or those of a ServiceEntry."""
    home = ref.namespace or namespace
    if (ref.group, ref.kind) == ("", "Service"):
        return (service_host(ref.name, home, world.settings.cluster_domain),)
    if (ref.group, ref.kind) != SERVICE_ENTRY:
        return ()
    entry: Resource[ServiceEntrySpec] | None = world.resource(Key(*SERVICE_ENTRY, home, ref.name))
    return tuple(host.lower().rstrip(".") for host in entry.spec.hosts) if entry is not None else ()
