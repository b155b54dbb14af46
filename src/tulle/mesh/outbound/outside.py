"""Connections to addresses that are not the mesh's own, by port: what ServiceEntries say of them.

A caller that has found a host by another resolver than the mesh's dials an address that no listener is for.
There HTTP tells its host itself, TLS its server name; a range of addresses, or a whole port where nothing
else is said, is one service's. Read by `listener.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tulle.mesh.route.common import Destination
from tulle.mesh.route.gateway_api import connection_route
from tulle.mesh.route.gateway_api.connection_route import connect
from tulle.mesh.route.host import HostCells, port_origin
from tulle.mesh.route.istio.connection import tls_routes
from tulle.mesh.route.istio.match import Arrival
from tulle.mesh.scope import Scope
from tulle.mesh.service.declared import SERVICE_ENTRY
from tulle.mesh.service.service import Resolution, Service, ServicePort
from tulle.mesh.view import HttpChain, Origin, OutboundChain, Protocol, Reject, TcpChain, WeightedCluster
from tulle.mesh.world import World
from tulle.model.istio import MESH


@dataclass(frozen=True, slots=True)
class Outside:
    """What a port's listener does beyond the mesh's own addresses."""

    chains: tuple[OutboundChain, ...] = ()
    otherwise: OutboundChain | None = None
    http: bool = False
    """Something there is HTTP, so that everything else on this port is looked at as such."""
    looks_up: bool = False
    """And the hosts of some requests are looked up."""


def outside(world: World, hosts: HostCells, scope: Scope, number: int) -> Outside:
    """What callers of a scope reach at a port outside of the mesh."""
    chains: list[OutboundChain] = []
    otherwise: OutboundChain | None = None
    names: set[str] = set()
    ranges: set[str] = set()
    http = looks_up = False
    for service, port in _entries(world, hosts, scope, number):
        vantage = hosts.vantage(service.host, scope)
        origin = port_origin(service, port)
        cluster = Destination(service.host, number).cluster
        through = TcpChain((WeightedCluster(cluster),), cluster)
        if hosts.is_http(service.host, port, vantage):
            http = True
            looks_up |= service.behind(port).resolution is Resolution.DYNAMIC_DNS
        elif port.protocol is Protocol.TLS:
            for server_names, then, cause in _by_name(world, hosts, service, port, vantage):
                free = tuple(name for name in server_names if name not in names)
                names.update(free)
                if free:
                    chains.append(OutboundChain(f"sni-{len(chains)}", then, cause, server_names=free))
        elif service.ranges:
            free = tuple(each for each in service.ranges if each not in ranges)
            ranges.update(free)
            if free:
                chains.append(OutboundChain(f"range-{len(chains)}", through, origin, destination_cidrs=free))
        elif not service.addresses and otherwise is None:
            otherwise = OutboundChain("tcp", through, origin)
            if hosts.has_table(service.host, port, vantage):
                spoken = HttpChain(str(number), f"outbound_{number}")
                chains.append(OutboundChain("http", spoken, origin, application="http"))
    return Outside(tuple(chains), otherwise, http, looks_up)


def _entries(
    world: World, hosts: HostCells, scope: Scope, number: int
) -> Iterator[tuple[Service, ServicePort]]:
    for host in hosts.at_port(number):
        service = world.service(host)
        port = service.port(number) if service is not None else None
        if service is None or port is None or service.behind(port).parent[:2] != SERVICE_ENTRY:
            continue
        if hosts.exposed(scope, host, number):
            yield service, port


def _by_name(
    world: World, hosts: HostCells, service: Service, port: ServicePort, vantage: Scope
) -> Iterator[tuple[tuple[str, ...], TcpChain | Reject, Origin]]:
    """Where connections with a server name of a host go: as routes or a VirtualService say, else there."""
    taken = connection_route.attached(hosts.attachments, service, port, vantage.namespace)
    if taken is not None:
        for name, route in (*taken.by_name, (service.host, taken.otherwise)):
            if route is not None:
                clusters = connection_route.clusters(world, route, at_gateway=False)
                yield (name,), connect(clusters), connection_route.origin(route)
        return
    attached = hosts.attached((service.host, port.number, vantage)).virtual_service
    resource = world.resource(attached) if attached is not None else None
    if resource is not None:
        for each in tls_routes(world, resource, Arrival(MESH, port.number, vantage)):
            yield each.server_names, connect(each.clusters), each.origin
    cluster = Destination(service.host, port.number).cluster
    yield (service.host,), connect((WeightedCluster(cluster),)), port_origin(service, port)
