"""The listeners of the outbound side: what a connection is, by where it goes.

An HTTP port has one listener for all services with that port (`0.0.0.0_9080`); within it the host name
decides. Every other port has a listener for each virtual address, so that bytes go to the right service
without being looked at. Which routes of HTTP hold is not known here, only whether any does: a change of one
changes no listener. Read by `outbound.py`.
"""

from __future__ import annotations

from dataclasses import replace

from tulle.kit.derived import Derived
from tulle.mesh.outbound.outside import outside
from tulle.mesh.route.attachment import ConnectionRoute
from tulle.mesh.route.common import PASSTHROUGH, Destination
from tulle.mesh.route.gateway_api import connection_route
from tulle.mesh.route.gateway_api.connection_route import Taken, connect
from tulle.mesh.route.host import FOREIGN_PORT, HostCells, port_origin
from tulle.mesh.route.istio.connection import tcp_route, tls_routes
from tulle.mesh.route.istio.match import Arrival
from tulle.mesh.scope import ANYWHERE, Scope
from tulle.mesh.service import headless
from tulle.mesh.service.service import Service, ServicePort
from tulle.mesh.view import (
    HttpChain,
    Origin,
    OutboundChain,
    OutboundListener,
    Protocol,
    Reject,
    TcpChain,
    WeightedCluster,
)
from tulle.mesh.world import World
from tulle.model.istio import MESH

DETECTION_SECONDS = 0.1
"""How long a caller whose port has no declared protocol waits for its own first byte (decision 14)."""
HELLO_SECONDS = 5.0
"""How long a TLS port with routes by SNI waits for the hello: there the caller speaks first."""
_ANY = "0.0.0.0"  # noqa: S104  the name of a listener that no port is bound for


class ListenerCells:
    """The derived values of outbound listeners."""

    def __init__(self, world: World, hosts: HostCells) -> None:
        graph = world.graph
        self._world = world
        self._hosts = hosts
        self.of_service: Derived[tuple[str, Scope], tuple[OutboundListener, ...]] = Derived(
            graph, self._make_own, "service_listeners"
        )
        self.common: Derived[tuple[Scope, int], OutboundListener | None] = Derived(
            graph, self._make_common, "common_listener"
        )
        self.of_scope: Derived[Scope, tuple[OutboundListener, ...]] = Derived(
            graph, self._make_all, "outbound_listeners"
        )

    def _make_all(self, scope: Scope) -> tuple[OutboundListener, ...]:
        made = [self.common((scope, number)) for number in self._hosts.numbers_of(scope)]
        special = self._hosts.special(scope)
        for host in self._world.service_hosts():
            made += self.of_service((host, special.get(host, ANYWHERE)))
        first: dict[str, OutboundListener] = {}
        for listener in made:
            if listener is not None:
                first.setdefault(listener.name, listener)
        return tuple(first[name] for name in sorted(first))

    # -- ports of HTTP ---------------------------------------------------------------------------

    def _make_common(self, at: tuple[Scope, int]) -> OutboundListener | None:
        """All addresses with this port that have no listener of their own; None: nothing is said of them."""
        scope, number = at
        origin = self._first_http(scope, number)
        beyond = outside(self._world, self._hosts, scope, number)
        any_goes = self._hosts.allows_any(scope)
        if origin is None and number == FOREIGN_PORT and not any_goes:
            origin = self._hosts.policy(scope)
        first = (*beyond.chains, *((beyond.otherwise,) if beyond.otherwise is not None else ()))
        if origin is None and not first:
            return None
        name = f"{_ANY}_{number}"
        chains: list[OutboundChain] = []
        rest: TcpChain | HttpChain | Reject = (
            connect((WeightedCluster(PASSTHROUGH),)) if any_goes else Reject()
        )
        if origin is not None:
            spoken = HttpChain(str(number), f"outbound_{name}")
            cidrs = (self._world.settings.service_cidr,)
            chains.append(OutboundChain("mesh", spoken, origin, destination_cidrs=cidrs))
            # What is refused shall be told so (502), and that only HTTP can say.
            if beyond.http or not any_goes:
                rest = replace(spoken, looks_up=beyond.looks_up)
        cause = origin or first[0].origin
        otherwise = beyond.otherwise or OutboundChain("outside", rest, cause)
        chains += beyond.chains
        return OutboundListener(name, _ANY, number, tuple(chains), otherwise, cause, _patience(tuple(chains)))

    def _first_http(self, scope: Scope, number: int) -> Origin | None:
        for host in self._hosts.at_port(number):
            service = self._world.service(host)
            meant = self._hosts.meant(service) if service is not None else None
            port = meant.port(number) if meant is not None else None
            if meant is None or port is None or not self._hosts.exposed(scope, host, number):
                continue
            if self._hosts.is_http(meant.host, port, self._hosts.vantage(meant.host, scope)):
                return port_origin(meant, port)
        return None

    # -- ports with listeners of their own -------------------------------------------------------

    def _make_own(self, at: tuple[str, Scope]) -> tuple[OutboundListener, ...]:
        """The listeners for a service's own addresses, or for its instances' where it has none."""
        host, vantage = at
        service = self._world.service(host)
        if service is None or service.external_name:
            return ()
        made: list[OutboundListener] = []
        for port in self._hosts.ports(service):
            if not self._hosts.exposed(vantage, host, port.number):
                continue
            http = self._hosts.is_http(host, port, vantage)
            may_be = not http and self._hosts.has_table(host, port, vantage)
            detect = DETECTION_SECONDS if may_be else None
            if service.headless:
                declared = self._hosts.instances((host, port.number))
                made += headless.listeners(service, port, declared, http, detect)
            elif not http:
                taken = connection_route.attached(self._hosts.attachments, service, port, vantage.namespace)
                for address in service.addresses:
                    if taken is not None:
                        made.append(self._routed(service, port, address, taken))
                    else:
                        made.append(self._for_address(service, port, vantage, address, detect))
        return tuple(made)

    def _routed(self, service: Service, port: ServicePort, address: str, taken: Taken) -> OutboundListener:
        """The listener of a port to which TLSRoutes or a TCPRoute are attached; what none of them takes is
        closed (GEP-1426, "Route presence")."""
        chains: list[OutboundChain] = []
        for number, (hostname, route) in enumerate(taken.by_name):
            then, cause = self._by_route(route)
            chains.append(OutboundChain(f"sni-{number}", then, cause, server_names=(hostname,)))
        origin = port_origin(service, port)
        otherwise = (Reject(), origin) if taken.otherwise is None else self._by_route(taken.otherwise)
        return OutboundListener(
            name=f"{address}_{port.number}",
            address=address,
            port=port.number,
            chains=tuple(chains),
            otherwise=OutboundChain("tcp", *otherwise),
            origin=origin,
            inspect_seconds=HELLO_SECONDS if chains else None,
        )

    def _by_route(self, route: ConnectionRoute) -> tuple[TcpChain | Reject, Origin]:
        clusters = connection_route.clusters(self._world, route, at_gateway=False)
        return connect(clusters), connection_route.origin(route)

    def _for_address(
        self, service: Service, port: ServicePort, vantage: Scope, address: str, detect: float | None
    ) -> OutboundListener:
        name = f"{address}_{port.number}"
        origin = port_origin(service, port)
        chains: list[OutboundChain] = []
        inspect = detect
        if detect is not None:
            spoken = HttpChain(str(port.number), f"outbound_{name}")
            chains.append(OutboundChain("http", spoken, origin, application="http"))
        taken = (WeightedCluster(Destination(service.host, port.number).cluster),), origin
        attached = self._hosts.attached((service.host, port.number, vantage)).virtual_service
        resource = self._world.resource(attached) if attached is not None else None
        if resource is not None:
            arrival = Arrival(MESH, port.number, vantage, address)
            by_name = tls_routes(self._world, resource, arrival)
            if port.protocol is Protocol.TLS and by_name:
                inspect = HELLO_SECONDS
                for number, each in enumerate(by_name):
                    then = connect(each.clusters)
                    chains.append(
                        OutboundChain(f"sni-{number}", then, each.origin, server_names=each.server_names)
                    )
            taken = tcp_route(self._world, resource, arrival) or taken
        otherwise = OutboundChain("tcp", connect(taken[0]), taken[1])
        return OutboundListener(name, address, port.number, tuple(chains), otherwise, origin, inspect)


def connected(listeners: tuple[OutboundListener, ...]) -> set[str]:
    """The clusters that connections are passed to without HTTP processing."""
    chains = [chain for listener in listeners for chain in (*listener.chains, listener.otherwise)]
    return {
        each.cluster for chain in chains if isinstance(chain.then, TcpChain) for each in chain.then.clusters
    }


def _patience(chains: tuple[OutboundChain, ...]) -> float | None:
    """How long to wait for what chains ask to be looked at."""
    if any(chain.server_names for chain in chains):
        return HELLO_SECONDS
    return DETECTION_SECONDS if any(chain.application for chain in chains) else None
