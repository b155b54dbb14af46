"""HTTPRoute (Gateway API) in the one vocabulary of the View.

A route means the same wherever it is attached; what differs is only whether a ReferenceGrant is needed:
at a gateway it is, in the mesh it is not, since there a route exposes nothing that a caller could not
reach anyway (GEP-1426, "Namespace boundaries").
Read by `outbound.py` (routes of a Service), `gateway.py` (routes of a Gateway) and `status.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tulle.mesh.name import service_host
from tulle.mesh.route.attachment import Attachments
from tulle.mesh.route.common import Destination, age, forward
from tulle.mesh.route.grant import permitted
from tulle.mesh.service import Service, ServicePort
from tulle.mesh.view import (
    Forward,
    MatchKind,
    NamedMatch,
    Origin,
    Protocol,
    RequestMatch,
    Respond,
    Route,
    ValueMatch,
)
from tulle.mesh.world import World
from tulle.model.gateway_api import (
    HTTPBackendRef,
    HTTPHeaderMatch,
    HTTPPathMatch,
    HTTPRouteMatch,
    HTTPRouteRule,
    HTTPRouteSpec,
    ParentReference,
)
from tulle.model.resource import Key, Resource
from tulle.model.schema import seconds

Rank = tuple[int, int, int, int, int, tuple[str, str, str], int, int]


@dataclass(frozen=True, slots=True)
class RankedRoute:
    """A route with its precedence: the smallest rank is tried first."""

    rank: Rank
    route: Route


@dataclass(frozen=True, slots=True)
class BackendFault:
    """Why a backendRef has no cluster. `reason` is the specification's for the ResolvedRefs condition."""

    reason: str
    field: str
    """Of the backendRef, the one that is wrong."""
    message: str
    remedy: str


# -- translation ------------------------------------------------------------------------------------


def ranked_routes(
    world: World, resource: Resource[HTTPRouteSpec], at_gateway: bool
) -> tuple[RankedRoute, ...]:
    """One route for each match of each rule."""
    found: list[RankedRoute] = []
    for index, rule in enumerate(resource.spec.rules):
        action = _action(world, resource.key, rule, at_gateway)
        for number, match in enumerate(rule.matches):
            field = f"spec.rules[{index}]"
            origin = Origin("HTTPRoute", resource.namespace, resource.name, f"{field}.matches[{number}]")
            name = f"{resource.namespace}.{resource.name}.{rule.name or index}.{number}"
            rank = (*_precedence(match), age(resource), index, number)
            found.append(RankedRoute(rank, Route(name, _request_match(match), action, origin)))
    return tuple(found)


def in_order(routes: Iterable[RankedRoute]) -> tuple[Route, ...]:
    """The routes of several HTTPRoutes as one list, the first that matches being the right one."""
    return tuple(each.route for each in sorted(routes, key=lambda each: each.rank))


def _action(world: World, key: Key, rule: HTTPRouteRule, at_gateway: bool) -> Respond | Forward:
    shares: list[tuple[str | None, int]] = []
    for ref in rule.backend_refs:
        found = backend(world, key, ref, at_gateway)
        shares.append((found.cluster if isinstance(found, Destination) else None, ref.weight))
    timeout = rule.timeouts.request if rule.timeouts is not None else None
    return forward(shares, seconds(timeout) or None if timeout else None)


def backend(world: World, route: Key, ref: HTTPBackendRef, at_gateway: bool) -> Destination | BackendFault:
    """What a backendRef stands for."""
    namespace = ref.namespace or route.namespace
    if (ref.group, ref.kind) != ("", "Service"):
        return BackendFault(
            "InvalidKind",
            "kind",
            f"{ref.kind} ({ref.group or 'core'}) is not a kind that a route can send to",
            "Refer to a Service.",
        )
    if at_gateway and not permitted(world, route, Key("", "Service", namespace, ref.name)):
        return BackendFault(
            "RefNotPermitted",
            "namespace",
            f"no ReferenceGrant in namespace {namespace} lets HTTPRoutes of {route.namespace} "
            f"refer to Service {ref.name}",
            f"Write a ReferenceGrant in namespace {namespace}, or move the route there.",
        )
    host = service_host(ref.name, namespace, world.settings.cluster_domain)
    service = world.service(host)
    if service is None:
        return BackendFault(
            "BackendNotFound",
            "name",
            f"there is no Service {ref.name} in namespace {namespace}; its requests are answered with 500",
            "Apply the Service, or correct the name or the namespace.",
        )
    port = service.port(ref.port or 0)
    if port is None or port.protocol is Protocol.UDP:
        ports = ", ".join(str(each.number) for each in service.ports)
        return BackendFault(
            "BackendNotFound",
            "port",
            f"Service {namespace}/{ref.name} has no port {ref.port}; its requests are answered with 500",
            f"Use one of its ports: {ports}." if ports else "Give the Service a port.",
        )
    return Destination(host, port.number)


# -- matches ----------------------------------------------------------------------------------------


def _precedence(match: HTTPRouteMatch) -> tuple[int, int, int, int, int]:
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
) -> tuple[Resource[HTTPRouteSpec], ...]:
    """The HTTPRoutes that hold for callers of `scope` when they call this port of a Service.

    Routes of the caller's own namespace (consumer routes) stand before those of the Service's namespace
    (producer routes), and the two are not merged; others do not count (GEP-1426, "Multiple routes for a
    Service"). A scope "" is a caller from any other namespace.
    """
    if not (port.protocol.is_http or port.protocol is Protocol.DETECT):
        return ()
    parent = ("", "Service", service.namespace, service.name)
    routes = [
        route
        for route in attachments.http_routes(parent)
        if any(names_port(ref, route.namespace, service, port) for ref in route.spec.parent_refs)
    ]
    own = tuple(route for route in routes if route.namespace == scope)
    return own or tuple(route for route in routes if route.namespace == service.namespace)


def names_port(ref: ParentReference, namespace: str, service: Service, port: ServicePort) -> bool:
    """Whether a parentRef, written in `namespace`, means this port of this Service."""
    if (ref.group, ref.kind, ref.name) != ("", "Service", service.name):
        return False
    if (ref.namespace or namespace) != service.namespace:
        return False
    return ref.port in (None, port.number) and ref.section_name in (None, port.name)
