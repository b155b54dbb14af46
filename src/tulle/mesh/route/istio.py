"""VirtualService (Istio) in the one vocabulary of the View.

Routes are tried in the order in which they are written; blocks of `match` are alternatives, all conditions
of a block must hold (virtual_service.proto). A destination that does not exist answers 500 here, as in the
Gateway API (Istio: 503), so that one mesh has one answer to one mistake.
Read by `outbound.py` (the mesh) and by `gateway.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tulle.mesh.route.attachment import WILDCARD, Attachments, qualified_gateways
from tulle.mesh.route.common import MESH, Destination, age, covers, forward, full_host, share, specificity
from tulle.mesh.scope import Scope
from tulle.mesh.view import (
    MISSING_CLUSTER,
    MatchKind,
    NamedMatch,
    Origin,
    Protocol,
    RequestMatch,
    Route,
    ValueMatch,
    WeightedCluster,
)
from tulle.mesh.world import World
from tulle.model import istio
from tulle.model.istio import (
    HeaderMatch,
    HTTPMatchRequest,
    HTTPRouteDestination,
    L4MatchAttributes,
    RouteDestination,
    StringMatch,
    TLSMatchAttributes,
    VirtualServiceSpec,
)
from tulle.model.resource import Resource
from tulle.model.schema import seconds

VirtualService = Resource[VirtualServiceSpec]


@dataclass(frozen=True, slots=True)
class DestinationFault:
    """Why a destination has no cluster."""

    field: str
    """Of the destination, the one that is wrong."""
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class SniRoute:
    """Connections whose SNI is one of these hosts go to these clusters."""

    server_names: tuple[str, ...]
    clusters: tuple[WeightedCluster, ...]
    origin: Origin


# -- which VirtualService ---------------------------------------------------------------------------


def visible(resource: Resource[VirtualServiceSpec], namespace: str) -> bool:
    """Whether `exportTo` lets callers of a namespace see it. "" is one that it does not name."""
    export = resource.spec.export_to
    return (
        not export
        or "*" in export
        or namespace in export
        or ("." in export and resource.namespace == namespace)
    )


def written_hosts(world: World, resource: VirtualService) -> tuple[str, ...]:
    """Its hosts as full names."""
    return tuple(full_host(world, host, resource.namespace) for host in resource.spec.hosts)


def attached(world: World, attachments: Attachments, host: str, namespace: str) -> VirtualService | None:
    """The VirtualService of the mesh that holds for this host and for callers of a namespace.

    The one with the most specific host, of several the oldest: those of one host are not merged in the
    mesh (Istio, "Split large virtual services": only at gateways).
    """
    exact = [
        each
        for each in attachments.virtual_services(host)
        if visible(each, namespace) and host in written_hosts(world, each)
    ]
    if exact:
        return min(exact, key=age)
    wide = [
        (specificity(pattern), age(each), each)
        for each in attachments.virtual_services(WILDCARD)
        if visible(each, namespace)
        for pattern in each.spec.hosts
        if "*" in pattern and covers(pattern, host)
    ]
    return min(wide, key=lambda found: found[:2])[2] if wide else None


# -- HTTP -------------------------------------------------------------------------------------------


def http_routes(
    world: World, resource: VirtualService, gateway: str, port: int, caller: Scope
) -> tuple[Route, ...]:
    """Its HTTP routes at a gateway (`NAMESPACE/NAME` or `mesh`), for requests of a caller to `port`."""
    found: list[Route] = []
    for index, route in enumerate(resource.spec.http):
        timeout = seconds(route.timeout) if route.timeout else None
        action = forward(_shares(world, resource, route.route, port), timeout)
        name = route.name or f"{resource.namespace}.{resource.name}.{index}"
        origin = Origin("VirtualService", resource.namespace, resource.name, f"spec.http[{index}]")
        if not route.match and _binds(resource, (), gateway):
            found.append(Route(name, RequestMatch(), action, origin))
        for number, match in enumerate(route.match):
            if match.port in (None, port) and _takes_requests(resource, match, gateway, caller):
                at = Origin(origin.kind, origin.namespace, origin.name, f"{origin.field}.match[{number}]")
                full_name = f"{name}.{match.name}" if match.name else name
                found.append(Route(full_name, _request_match(match), action, at))
    return tuple(found)


def _binds(resource: VirtualService, gateways: tuple[str, ...], gateway: str) -> bool:
    """Gateways in a match stand for those of the whole VirtualService."""
    bound = gateways or resource.spec.gateways or (MESH,)
    return gateway in qualified_gateways(bound, resource.namespace)


def _takes_requests(resource: VirtualService, match: HTTPMatchRequest, gateway: str, caller: Scope) -> bool:
    """The gateways of a match stand in place of what it says of callers ("The gateway match is independent of
    sourceLabels"; Istio, `sourceMatchHTTP`)."""
    return _binds(resource, match.gateways, gateway) and bool(match.gateways or _comes_from(match, caller))


def _comes_from(match: HTTPMatchRequest | TLSMatchAttributes | L4MatchAttributes, caller: Scope) -> bool:
    return caller.carries(match.source_labels) and match.source_namespace in (None, caller.namespace)


def _request_match(match: HTTPMatchRequest) -> RequestMatch:
    headers = [
        NamedMatch(name, _string(value))
        for name, value in (
            (":method", match.method),
            (":authority", match.authority),
            (":scheme", match.scheme),
        )
        if value is not None
    ]
    headers += _named(match.headers)
    headers += _named(match.without_headers, invert=True)
    path = _string(match.uri, ignore_case=match.ignore_uri_case) if match.uri is not None else None
    query = tuple(NamedMatch(name, _string(value)) for name, value in sorted(match.query_params.items()))
    return RequestMatch(path, tuple(headers), query)


def _named(matches: Mapping[str, HeaderMatch], invert: bool = False) -> list[NamedMatch]:
    """Headers; names that stand for parts of the request line are ignored, as documented by Istio."""
    reserved = ("uri", "scheme", "method", "authority")
    return [
        NamedMatch(name.lower(), _string(value, invert=invert))
        for name, value in sorted(matches.items())
        if name.lower() not in reserved
    ]


def _string(match: StringMatch, ignore_case: bool = False, invert: bool = False) -> ValueMatch:
    if match.exact is not None:
        return ValueMatch(MatchKind.EXACT, match.exact, ignore_case, invert)
    if match.prefix:  # an empty prefix is every value
        return ValueMatch(MatchKind.PREFIX, match.prefix, ignore_case, invert)
    if match.regex is not None:
        return ValueMatch(MatchKind.REGEX, match.regex, False, invert)
    return ValueMatch(MatchKind.PRESENT, "", False, invert)


# -- TLS and TCP ------------------------------------------------------------------------------------


def tls_routes(
    world: World, resource: VirtualService, gateway: str, port: int, caller: Scope
) -> tuple[SniRoute, ...]:
    """Its TLS routes at a gateway, for connections of a caller to `port`, by SNI."""
    found: list[SniRoute] = []
    for index, route in enumerate(resource.spec.tls):
        clusters = _connections(world, resource, route.route, port)
        for number, match in enumerate(route.match):
            if _takes(resource, match, gateway, port, caller):
                field = f"spec.tls[{index}].match[{number}]"
                origin = Origin("VirtualService", resource.namespace, resource.name, field)
                found.append(SniRoute(match.sni_hosts, clusters, origin))
    return tuple(found)


def tcp_route(
    world: World, resource: VirtualService, gateway: str, port: int, caller: Scope
) -> tuple[tuple[WeightedCluster, ...], Origin] | None:
    """The clusters of its first TCP route that takes connections of a caller to `port`; None: none does."""
    for index, route in enumerate(resource.spec.tcp):
        if (not route.match and _binds(resource, (), gateway)) or any(
            _takes(resource, match, gateway, port, caller) for match in route.match
        ):
            origin = Origin("VirtualService", resource.namespace, resource.name, f"spec.tcp[{index}]")
            return _connections(world, resource, route.route, port), origin
    return None


def _takes(
    resource: VirtualService,
    match: TLSMatchAttributes | L4MatchAttributes,
    gateway: str,
    port: int,
    caller: Scope,
) -> bool:
    bound = match.port in (None, port) and _binds(resource, match.gateways, gateway)
    return bound and _comes_from(match, caller)


def _connections(
    world: World, resource: VirtualService, route: tuple[RouteDestination, ...], port: int
) -> tuple[WeightedCluster, ...]:
    """A connection to a missing destination cannot be answered: its share goes to the others, if any."""
    shared = share(_shares(world, resource, route, port))
    return tuple(each for each in shared if each.cluster != MISSING_CLUSTER)


# -- destinations -----------------------------------------------------------------------------------


def _shares(
    world: World,
    resource: VirtualService,
    route: Iterable[HTTPRouteDestination | RouteDestination],
    port: int,
) -> list[tuple[str | None, int]]:
    written = tuple(route)
    shares: list[tuple[str | None, int]] = []
    for each in written:
        found = destination(world, resource, each.destination, port)
        weight = each.weight if len(written) > 1 else 1  # a single destination gets everything
        shares.append((found.cluster if isinstance(found, Destination) else None, weight))
    return shares


def destination(
    world: World, resource: VirtualService, written: istio.Destination, listener_port: int | None
) -> Destination | DestinationFault:
    """What a destination stands for. Without a port: the service's only one, else the one that was called."""
    service = world.find_service(written.host, resource.namespace)
    if service is None:
        host = full_host(world, written.host, resource.namespace)
        return DestinationFault(
            "host",
            f"there is no service {host}; its requests are answered with 500",
            "Apply the service, or correct the host.",
        )
    ports = {port.number: port for port in service.ports if port.protocol is not Protocol.UDP}
    if written.port is not None:
        number = written.port.number
    elif len(ports) == 1:
        number = next(iter(ports))
    elif listener_port is None:
        number = min(ports, default=0)
    else:
        number = listener_port
    if number not in ports:
        names = ", ".join(map(str, sorted(ports)))
        return DestinationFault(
            "port" if written.port is not None else "host",
            f"service {service.host} has no port {number}; its requests are answered with 500",
            f"Write port: {{number: N}} with one of its ports: {names}." if names else "Give it a port.",
        )
    return Destination(service.host, number, written.subset or "")
