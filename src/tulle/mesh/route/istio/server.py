"""The servers of Istio's Gateways with the VirtualServices bound to them.

At gateways the VirtualServices of one host are merged: the oldest first, what matches everything last
(Istio, "Split large virtual services and destination rules"). Read by `gateway/gateway.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tulle.mesh.export import is_exported
from tulle.mesh.route.common import age, intersection, takes_everything
from tulle.mesh.route.gateway_api.connection_route import connect
from tulle.mesh.route.host import HostCells
from tulle.mesh.route.istio import virtual_service
from tulle.mesh.route.istio.connection import tcp_route, tls_routes
from tulle.mesh.route.istio.match import Arrival
from tulle.mesh.route.istio.tls import is_terminated, passes_by_destination, server_tls, tls_faults
from tulle.mesh.route.istio.virtual_service import VirtualService
from tulle.mesh.route.server import Server
from tulle.mesh.scope import Scope
from tulle.mesh.view import (
    GatewayChain,
    HttpChain,
    Origin,
    Reject,
    Route,
    VirtualHost,
)
from tulle.mesh.world import World
from tulle.model.istio import HTTP_PROTOCOLS, TCP_PROTOCOLS, GatewaySpec
from tulle.model.istio import Server as WrittenServer
from tulle.model.resource import Resource

IstioGateway = Resource[GatewaySpec]


@dataclass(frozen=True, slots=True)
class _Written:
    """One server, and where it stands."""

    gateway: IstioGateway
    server: WrittenServer
    origin: Origin

    @property
    def bound_name(self) -> str:
        """How VirtualServices name the Gateway."""
        return f"{self.gateway.namespace}/{self.gateway.name}"


def istio_servers(
    world: World, hosts: HostCells, gateways: Iterable[IstioGateway], proxy: Scope, address: str
) -> tuple[Server, ...]:
    """What the servers of these Gateways ask of their proxy, which has this address.

    In the order of the Gateways; the plain HTTP of a port, which they share, in the place of its first.
    """
    plain: dict[int, list[_Written]] = {}
    other: list[_Written] = []
    order: list[Origin] = []
    for gateway in gateways:
        for index, server in enumerate(gateway.spec.servers):
            origin = Origin("Gateway", gateway.namespace, gateway.name, f"spec.servers[{index}]")
            written = _Written(gateway, server, origin)
            order.append(origin)
            if passes_by_destination(server):
                continue
            if is_plain_http(server):
                plain.setdefault(server.port.number, []).append(written)
            else:
                other.append(written)
    made: list[Server | None] = [
        Server(port, "HTTP", written[0].origin, _virtual_hosts(world, hosts, written, proxy))
        for port, written in plain.items()
    ]
    for each in other:
        if each.server.protocol == "HTTPS" and is_terminated(each.server):
            made.append(_https(world, hosts, each, proxy))
        else:
            made.append(_connections(world, hosts, each, proxy, address))
    found = [server for server in made if server is not None]
    return tuple(sorted(found, key=lambda server: order.index(server.origin)))


def is_plain_http(server: WrittenServer) -> bool:
    """Whether it speaks HTTP without TLS."""
    return server.protocol in HTTP_PROTOCOLS


def server_hosts(server: WrittenServer, gateway: str, resource: VirtualService) -> tuple[str, ...]:
    """The hosts of a server that are open to VirtualServices of this namespace.

    `NAMESPACE/HOST` is open to that namespace, `./HOST` to the Gateway's own (gateway.proto, `hosts`).
    """
    found: list[str] = []
    for written in server.hosts:
        namespace, slash, host = written.rpartition("/")
        if (
            not slash
            or namespace == "*"
            or resource.namespace == (gateway if namespace == "." else namespace)
        ):
            found.append(host.lower())
    return tuple(found)


def bound(hosts: HostCells, gateway: IstioGateway, namespace: str) -> list[VirtualService]:
    """The VirtualServices bound to a Gateway whose proxy stands in `namespace`, the oldest first."""
    name = f"{gateway.namespace}/{gateway.name}"
    found = hosts.attachments.of_gateway(name)
    return sorted((each for each in found if is_exported(hosts.world, each, namespace)), key=age)


def common_hosts(
    world: World, gateway: IstioGateway, server: WrittenServer, resource: VirtualService
) -> tuple[str, ...]:
    """The host names that a server and a VirtualService have in common."""
    offered = server_hosts(server, gateway.namespace, resource)
    pairs = (
        intersection(mine, theirs)
        for mine in offered
        for theirs in virtual_service.written_hosts(world, resource)
    )
    return tuple(dict.fromkeys(host for host in pairs if host is not None))


# -- HTTP -------------------------------------------------------------------------------------------


def _virtual_hosts(
    world: World,
    hosts: HostCells,
    written: Iterable[_Written],
    proxy: Scope,
) -> tuple[VirtualHost, ...]:
    routes: dict[str, dict[tuple[str, str, str], tuple[Route, ...]]] = {}
    origins: dict[str, Origin] = {}
    https_only: set[str] = set()
    number = 0
    for each in written:
        number = each.server.port.number
        tls = is_terminated(each.server)
        if each.server.redirects:
            # Whether or not a VirtualService is bound (Istio, buildGatewayHTTPRouteConfig).
            for host in _host_names(each.server):
                routes.setdefault(host, {})
                origins.setdefault(host, each.origin)
                https_only.add(host)
        arrival = Arrival(each.bound_name, number, proxy, tls=tls)
        for resource in bound(hosts, each.gateway, proxy.namespace):
            for host in common_hosts(world, each.gateway, each.server, resource):
                made = virtual_service.http_routes(world, resource, arrival)
                routes.setdefault(host, {}).setdefault(age(resource), made)
                origins.setdefault(host, each.origin)
                if each.server.redirects:
                    https_only.add(host)
    return tuple(
        VirtualHost(
            f"{host}:{number}", (host,), _merged(routes[host]), origins[host], https_only=host in https_only
        )
        for host in sorted(routes)
    )


def _merged(by_age: dict[tuple[str, str, str], tuple[Route, ...]]) -> tuple[Route, ...]:
    routes = [route for at in sorted(by_age) for route in by_age[at]]
    return tuple(sorted(routes, key=lambda route: takes_everything(route.match)))


def _https(world: World, hosts: HostCells, written: _Written, proxy: Scope) -> Server | None:
    """A server that terminates TLS; None while its certificate cannot be used."""
    gateway, server, origin = written.gateway, written.server, written.origin
    if any(tls_faults(world, proxy.namespace, server)):
        return None
    port = server.port
    table = f"https.{port.number}.{port.name or port.number}.{gateway.name}.{gateway.namespace}"
    chain = GatewayChain(
        name=f"https.{port.name or port.number}.{gateway.name}.{gateway.namespace}",
        then=HttpChain(table, f"outbound_{table}"),
        origin=origin,
        server_names=_server_names(server),
        tls=server_tls(proxy.namespace, server),
    )
    made = _virtual_hosts(world, hosts, [written], proxy)
    return Server(port.number, "HTTPS", origin, made, table, (chain,))


def _server_names(server: WrittenServer) -> tuple[str, ...]:
    names = _host_names(server)
    return () if "*" in names else names


def _host_names(server: WrittenServer) -> tuple[str, ...]:
    return tuple(dict.fromkeys(host.rpartition("/")[2].lower() for host in server.hosts))


# -- connections ------------------------------------------------------------------------------------


def _connections(world: World, hosts: HostCells, written: _Written, proxy: Scope, address: str) -> Server:
    """A server whose connections are passed on: TLS by SNI, TCP (or TLS that ends here) as a whole."""
    gateway, server, origin = written.gateway, written.server, written.origin
    namespace = proxy.namespace
    arrival = Arrival(written.bound_name, server.port.number, proxy, address)
    number, protocol = server.port.number, server.protocol
    chains: list[GatewayChain] = []
    label = f"{protocol.lower()}.{number}.{gateway.name}.{gateway.namespace}"
    tls = server_tls(namespace, server)
    usable = not any(tls_faults(world, namespace, server))
    for resource in bound(hosts, gateway, namespace) if usable else ():
        offered = server_hosts(server, gateway.namespace, resource)
        if protocol in TCP_PROTOCOLS or tls is not None:
            taken = tcp_route(world, resource, arrival)
            if taken is not None and common_hosts(world, gateway, server, resource):
                names = _server_names(server) if tls is not None else ()
                chains.append(GatewayChain(label, connect(taken[0]), taken[1], names, tls))
                break
            continue
        for each in tls_routes(world, resource, arrival):
            pairs = (intersection(mine, sni) for mine in offered for sni in each.server_names)
            names = tuple(dict.fromkeys(host for host in pairs if host is not None))
            if names:
                chains.append(
                    GatewayChain(
                        f"{label}.{len(chains)}",
                        connect(each.clusters),
                        each.origin,
                        () if "*" in names else names,
                    )
                )
    if not chains:
        chains.append(GatewayChain(label, Reject(), origin, _server_names(server)))
    return Server(number, protocol, origin, chains=tuple(chains))
