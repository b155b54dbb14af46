"""TLSRoute, TCPRoute and UDPRoute: connections and datagrams to backends by weight.

Read by `listener.py`, `outbound/listener.py` and `binding.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.route.attachment import (
    TCP_ROUTE,
    TLS_ROUTE,
    AnyRoute,
    Attachments,
    ConnectionRoute,
    DatagramRoute,
)
from tulle.mesh.route.common import Destination, age, share, specificity
from tulle.mesh.route.gateway_api.ranking import names_port
from tulle.mesh.route.gateway_api.rule import backend
from tulle.mesh.service.declared import SERVICE_ENTRY
from tulle.mesh.service.service import Service, ServicePort
from tulle.mesh.view import MISSING_CLUSTER, Origin, Reject, TcpChain, WeightedCluster
from tulle.mesh.world import World
from tulle.model.gateway_api import TCPRouteSpec, UDPRouteSpec

_ANY = "*"
_RULE = 0
"""There is exactly one (maxItems of `rules`)."""


def connect(clusters: tuple[WeightedCluster, ...]) -> TcpChain | Reject:
    """Connections to clusters by weight. The share of a backend that does not exist, or may not be referred
    to, is closed (`TCPRouteRule.backendRefs`: "Connection rejections must respect weight").
    """
    known = [each.cluster for each in clusters if each.cluster != MISSING_CLUSTER]
    return TcpChain(clusters, known[0]) if known else Reject()


def clusters(
    world: World, route: ConnectionRoute | DatagramRoute, at_gateway: bool
) -> tuple[WeightedCluster, ...]:
    """The clusters of a route's backends."""
    found = (
        (backend(world, route.key, ref, at_gateway), ref) for ref in route.spec.rules[_RULE].backend_refs
    )
    return share((each.cluster if isinstance(each, Destination) else None, ref.weight) for each, ref in found)


def origin(route: ConnectionRoute | DatagramRoute) -> Origin:
    """A route's rule as what caused an object."""
    return Origin(route.key.kind, route.namespace, route.name, f"spec.rules[{_RULE}]")


# -- routes of a Service (GAMMA) --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Taken:
    """What connections to a port of a Service meet."""

    by_name: tuple[tuple[str, ConnectionRoute], ...] = ()
    """SNI (or a pattern of it), and the TLSRoute that takes it; the most specific first, each once."""
    otherwise: ConnectionRoute | None = None
    """The route that takes all others."""


def attached(attachments: Attachments, service: Service, port: ServicePort, scope: str) -> Taken | None:
    """The routes that hold for callers of `scope` when they connect to this port; None: none does.

    Whose routes hold is decided as for HTTPRoutes (`gateway_api.attached`); TLSRoutes stand before TCPRoutes
    (GEP-1294, "Route type specificity"), and of two routes for the same the older one.
    """
    if port.protocol.is_http:
        return None
    for namespace in dict.fromkeys((scope, service.namespace)):
        by_kind: list[list[ConnectionRoute]] = [
            sorted(
                (
                    route
                    for route in attachments.routes(kind, service.behind(port).parent)
                    if route.namespace == namespace
                    and any(names_port(ref, namespace, service, port) for ref in route.spec.parent_refs)
                ),
                key=age,
            )
            for _, kind in (TLS_ROUTE, TCP_ROUTE)
        ]
        by_name: dict[str, ConnectionRoute] = {}
        for route in by_kind[0]:
            for hostname in hostnames(route) or (_own_name(service.behind(port)),):
                by_name.setdefault(hostname, route)
        if by_name:
            otherwise = by_name.pop(_ANY, None)
            return Taken(tuple(sorted(by_name.items(), key=lambda each: specificity(each[0]))), otherwise)
        if by_kind[1]:
            return Taken(otherwise=by_kind[1][0])
    return None


def _own_name(service: Service) -> str:
    """The server name that a TLSRoute without names is for: that of the host outside, any of a Service's."""
    return service.host if service.parent[:2] == SERVICE_ENTRY else _ANY


def hostnames(route: AnyRoute) -> tuple[str, ...]:
    """The host names that a route is for; none: any."""
    return () if isinstance(route.spec, TCPRouteSpec | UDPRouteSpec) else route.spec.hostnames
