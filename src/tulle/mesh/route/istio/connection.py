"""Connections by the TLS and TCP routes of a VirtualService. Read by `outbound/listener.py` and
`server.py`."""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.route.attachment import bound_gateways, qualified_gateways
from tulle.mesh.route.common import share
from tulle.mesh.route.istio.destination import cluster_name
from tulle.mesh.route.istio.match import Arrival, takes_connection
from tulle.mesh.route.istio.virtual_service import VirtualService
from tulle.mesh.view import Origin, WeightedCluster
from tulle.mesh.world import World
from tulle.model.istio import L4MatchAttributes, RouteDestination, TLSMatchAttributes


@dataclass(frozen=True, slots=True)
class SniRoute:
    """Connections whose SNI is one of these hosts go to these clusters."""

    server_names: tuple[str, ...]
    clusters: tuple[WeightedCluster, ...]
    origin: Origin


def tls_routes(world: World, resource: VirtualService, arrival: Arrival) -> tuple[SniRoute, ...]:
    """Its TLS routes, by SNI. A name that an earlier match takes is its alone (Envoy refuses it twice)."""
    found: list[SniRoute] = []
    taken: set[str] = set()
    for index, route in enumerate(resource.spec.tls):
        clusters = _clusters(world, resource, route.route, arrival.port)
        for number, match in enumerate(route.match):
            names = tuple(
                name for name in dict.fromkeys(map(str.lower, match.sni_hosts)) if name not in taken
            )
            if names and _takes(resource, match, arrival):
                taken.update(names)
                field = f"spec.tls[{index}].match[{number}]"
                origin = Origin("VirtualService", resource.namespace, resource.name, field)
                found.append(SniRoute(names, clusters, origin))
    return tuple(found)


def tcp_route(
    world: World, resource: VirtualService, arrival: Arrival
) -> tuple[tuple[WeightedCluster, ...], Origin] | None:
    """The clusters of its first TCP route that takes these connections; None: none does."""
    bound = arrival.gateway in bound_gateways(resource.spec, resource.namespace)
    for index, route in enumerate(resource.spec.tcp):
        if (not route.match and bound) or any(_takes(resource, match, arrival) for match in route.match):
            origin = Origin("VirtualService", resource.namespace, resource.name, f"spec.tcp[{index}]")
            return _clusters(world, resource, route.route, arrival.port), origin
    return None


def _takes(resource: VirtualService, match: TLSMatchAttributes | L4MatchAttributes, arrival: Arrival) -> bool:
    named = qualified_gateways(match.gateways, resource.namespace)
    return takes_connection(match, named or bound_gateways(resource.spec, resource.namespace), arrival)


def _clusters(
    world: World, resource: VirtualService, route: tuple[RouteDestination, ...], port: int
) -> tuple[WeightedCluster, ...]:
    """Clusters by weight; a single one takes everything, whatever its weight."""
    single = len(route) == 1
    return share(
        (cluster_name(world, resource.namespace, each.destination, port), 1 if single else each.weight)
        for each in route
    )
