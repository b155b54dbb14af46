"""VirtualService (Istio) in the one vocabulary of the View.

Routes are tried in the order in which they are written; blocks of `match` are alternatives, all conditions
of a block must hold (virtual_service.proto).
Read by `outbound/outbound.py` (the mesh) and by `gateway/gateway.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from tulle.mesh.route.attachment import WILDCARD, Attachments, bound_gateways
from tulle.mesh.route.common import age, covers, full_host, specificity, takes_everything
from tulle.mesh.route.istio.action import action, cors, fault, header_changes
from tulle.mesh.route.istio.delegate import PlacedRoute, VirtualService, placed_routes
from tulle.mesh.route.istio.match import Arrival, request_match, takes_request
from tulle.mesh.view import Origin, RequestMatch, Route
from tulle.mesh.world import World
from tulle.model.istio import HTTPMatchRequest

# -- which VirtualService ---------------------------------------------------------------------------


def written_hosts(world: World, resource: VirtualService) -> tuple[str, ...]:
    """Its hosts as full names."""
    return tuple(full_host(world, host, resource.namespace) for host in resource.spec.hosts)


def attached(
    world: World, attachments: Attachments, host: str, is_known: Callable[[VirtualService], bool]
) -> VirtualService | None:
    """The VirtualService of the mesh that holds for this host, of those that a caller knows of.

    The one with the most specific host, of several the oldest: those of one host are not merged in the
    mesh (Istio, "Split large virtual services": only at gateways).
    """
    exact = [
        each
        for each in attachments.virtual_services(host)
        if is_known(each) and host in written_hosts(world, each)
    ]
    if exact:
        return min(exact, key=age)
    wide = [
        (specificity(pattern), age(each), each)
        for each in attachments.virtual_services(WILDCARD)
        if is_known(each)
        for pattern in each.spec.hosts
        if "*" in pattern and covers(pattern, host)
    ]
    return min(wide, key=lambda found: found[:2])[2] if wide else None


# -- HTTP -------------------------------------------------------------------------------------------


def http_routes(world: World, resource: VirtualService, arrival: Arrival) -> tuple[Route, ...]:
    """Its HTTP routes, as they are for requests that arrive there."""
    bound = bound_gateways(resource.spec, resource.namespace)
    found: list[Route] = []
    for placed in placed_routes(world, resource):
        for match, origin in _matches(placed, bound, arrival):
            found.append(_route(world, placed, match, origin, arrival))
            if takes_everything(found[-1].match):
                return tuple(found)  # nothing comes after it, at gateways either, where routes are merged
    return tuple(found)


def _matches(
    placed: PlacedRoute, bound: tuple[str, ...], arrival: Arrival
) -> list[tuple[HTTPMatchRequest | None, Origin]]:
    if not placed.matches:
        return [(None, placed.origin)] if arrival.gateway in bound else []
    return [(match, origin) for match, origin in placed.matches if takes_request(match, bound, arrival)]


def _route(
    world: World,
    placed: PlacedRoute,
    match: HTTPMatchRequest | None,
    origin: Origin,
    arrival: Arrival,
) -> Route:
    written = placed.route
    name = written.name or f"{placed.origin.namespace}.{placed.origin.name}.{placed.index}"
    headers = written.headers
    return Route(
        f"{name}.{match.name}" if match is not None and match.name else name,
        request_match(match) if match is not None else RequestMatch(),
        action(world, placed.namespace, written, arrival),
        origin,
        request=header_changes(headers.request) if headers is not None else None,
        response=header_changes(headers.response) if headers is not None else None,
        cors=cors(written.cors_policy) if written.cors_policy is not None else None,
        fault=fault(written.fault) if written.fault is not None else None,
        stat_prefix=match.stat_prefix if match is not None else "",
    )
