"""The outbound side: what every workload of one scope sees when it calls out.

Here are the route tables, and the whole put together. Read by `resolve.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tulle.kit.derived import Derived
from tulle.mesh.export import is_exported
from tulle.mesh.name import short_forms
from tulle.mesh.outbound.cluster import ClusterCells
from tulle.mesh.outbound.listener import ListenerCells, connected
from tulle.mesh.outbound.tls import opaque
from tulle.mesh.policy.credential import at_sidecar
from tulle.mesh.route.common import (
    PASSTHROUGH,
    Destination,
    age,
    covers,
    full_host,
    named_clusters,
    takes_everything,
)
from tulle.mesh.route.default_retry import with_default_retry
from tulle.mesh.route.host import FOREIGN_PORT, HostCells, HostPort, port_origin
from tulle.mesh.route.istio import virtual_service
from tulle.mesh.route.istio.match import Arrival
from tulle.mesh.scope import ANYWHERE, Scope
from tulle.mesh.service import headless
from tulle.mesh.view import (
    Cluster,
    DestinationRoutes,
    Forward,
    Origin,
    Outbound,
    OutboundChain,
    OutboundListener,
    RequestMatch,
    Respond,
    Route,
    RouteTable,
    TcpChain,
    VirtualHost,
    WeightedCluster,
)
from tulle.mesh.world import World
from tulle.model.istio import MESH

Row = tuple[str, tuple[VirtualHost, ...], tuple[DestinationRoutes, ...]]
"""A host, its virtual hosts in a table, and its routes by address there."""


class OutboundCells:
    """The derived values of the outbound side."""

    def __init__(self, world: World, hosts: HostCells, clusters: ClusterCells) -> None:
        graph = world.graph
        self._world = world
        self._hosts = hosts
        self._cluster_cells = clusters
        self._listeners = ListenerCells(world, hosts)
        self._virtual_hosts: Derived[HostPort, tuple[VirtualHost, ...]] = Derived(
            graph, self._make_virtual_hosts, "virtual_hosts"
        )
        self._by_address: Derived[HostPort, tuple[DestinationRoutes, ...]] = Derived(
            graph, self._route_by_address, "routes_by_address"
        )
        self._shared: Derived[int, tuple[Row, ...]] = Derived(graph, self._make_shared, "shared_hosts")
        self._foreign: Derived[Scope, tuple[VirtualHost, ...]] = Derived(
            graph, self._make_foreign, "foreign_hosts"
        )
        self._table: Derived[tuple[Scope, int], RouteTable | None] = Derived(
            graph, self._make_table, "route_table"
        )
        self.clusters: Derived[Scope, tuple[Cluster, ...]] = Derived(
            graph, self._make_clusters, "outbound_clusters"
        )
        self._governed: Derived[Scope, tuple[OutboundListener, ...]] = Derived(
            graph, self._govern, "governed_listeners"
        )
        self.outbound: Derived[Scope, Outbound] = Derived(graph, self._make, "outbound")

    def _make(self, scope: Scope) -> Outbound:
        tables = (self._table((scope, number)) for number in self._hosts.numbers_of(scope))
        return Outbound(
            scope=f"outbound/{scope}",
            allow_any=self._hosts.allows_any(scope),
            listeners=self._governed(scope),
            route_tables=tuple(table for table in tables if table is not None),
            clusters=self.clusters(scope),
            service_cidr=self._world.settings.service_cidr,
        )

    def _govern(self, scope: Scope) -> tuple[OutboundListener, ...]:
        """The listeners with what DestinationRules say of connections."""

        def chain(one: OutboundChain) -> OutboundChain:
            if not isinstance(one.then, TcpChain):
                return one
            then = self._cluster_cells.governed_chain(one.then, scope)
            return one if then is one.then else replace(one, then=then)

        made: list[OutboundListener] = []
        for listener in self._listeners.of_scope(scope):
            chains, otherwise = tuple(map(chain, listener.chains)), chain(listener.otherwise)
            same = (chains, otherwise) == (listener.chains, listener.otherwise)
            made.append(listener if same else replace(listener, chains=chains, otherwise=otherwise))
        return tuple(made)

    def _make_clusters(self, scope: Scope) -> tuple[Cluster, ...]:
        special = self._hosts.special(scope)
        found = {
            each.name: at_sidecar(each)
            for host in self._called(scope)
            for each in self._cluster_cells.of_service((host, special.get(host, ANYWHERE)))
        }
        for name in connected(self._listeners.of_scope(scope)) & found.keys():
            found[name] = opaque(found[name])
        return tuple(found[name] for name in sorted(found))

    def _called(self, scope: Scope) -> Iterable[str]:
        """The services that callers may reach: those that they know of, and those that routes lead to."""
        unknown = self._hosts.unknown(scope.namespace)
        hosts = [host for host in self._world.service_hosts() if host not in unknown]
        if not scope.sidecar:
            return hosts
        tables = (self._table((scope, number)) for number in self._hosts.numbers_of(scope))
        named = named_clusters(table for table in tables if table is not None)
        named |= connected(self._listeners.of_scope(scope))
        led = {found.host for name in named if (found := Destination.of(name)) is not None}
        return (host for host in hosts if host in led or self._is_exposed(scope, host))

    def _is_exposed(self, scope: Scope, host: str) -> bool:
        service = self._world.service(host)
        ports = self._hosts.ports(service) if service is not None else ()
        return any(self._hosts.exposed(scope, host, port.number) for port in ports)

    # -- route tables ----------------------------------------------------------------------------

    def _make_table(self, at: tuple[Scope, int]) -> RouteTable | None:
        """All virtual hosts of a port that may speak HTTP; None if none does."""
        scope, number = at
        special = self._hosts.special(scope)
        found: list[VirtualHost] = []
        by_address: list[DestinationRoutes] = []
        for host, shared, routes in self._shared(number):
            if not self._hosts.exposed(scope, host, number):
                continue
            if host in special:
                found += self._virtual_hosts((host, number, special[host]))
                by_address += self._by_address((host, number, special[host]))
            else:
                found += shared
                by_address += routes
        refused = number == FOREIGN_PORT and not self._hosts.allows_any(scope)
        if not found and not refused:
            return None  # no listener leads here
        if number == FOREIGN_PORT:
            found += self._foreign(scope)
        rest = self._rest(by_address, scope)
        table = RouteTable(str(number), (*_distinct(found), rest), (found[0] if found else rest).origin)
        return with_default_retry(self._world, table)

    def _make_shared(self, number: int) -> tuple[Row, ...]:
        """What each host with a port has in its table, as most callers see it."""
        return tuple(
            (host, self._virtual_hosts((host, number, ANYWHERE)), self._by_address((host, number, ANYWHERE)))
            for host in self._hosts.at_port(number)
        )

    def _route_by_address(self, at: HostPort) -> tuple[DestinationRoutes, ...]:
        """The routes of a service for requests that came to its virtual address under a name that nobody
        knows (a reverse proxy that keeps the Host header): a Service is its name and its address (GEP-1324).
        """
        host, _, _ = at
        service = self._world.service(host)
        if service is None or not self._virtual_hosts(at):
            return ()
        addresses = (*service.addresses, *service.ranges)
        if not addresses:
            return ()
        routes = self._hosts.routes(at)
        if not takes_everything(routes[-1].match):
            routes += (Route("unmatched", RequestMatch(), Respond(404), service.origin),)
        return tuple(DestinationRoutes(address, routes) for address in addresses)

    def _make_virtual_hosts(self, at: HostPort) -> tuple[VirtualHost, ...]:
        host, number, vantage = at
        service = self._world.service(host)
        meant = self._hosts.meant(service) if service is not None else None
        port = meant.port(number) if meant is not None else None
        if service is None or meant is None or port is None:
            return ()
        seen = vantage if meant is service else ANYWHERE
        if not self._hosts.has_table(meant.host, port, seen):
            return ()
        domains = (
            *short_forms(host, vantage.namespace, self._world.settings.cluster_domain),
            *service.addresses,
        )
        routes = self._hosts.routes((meant.host, number, seen))
        whole = VirtualHost(f"{host}:{number}", domains, routes, port_origin(service, port))
        declared = self._hosts.instances((host, number)) if service.headless else ()
        return (whole, *headless.virtual_hosts(self._world, service, port, vantage.namespace, declared))

    def _make_foreign(self, scope: Scope) -> tuple[VirtualHost, ...]:
        """Hosts that VirtualServices of the mesh name and no service has; of several the oldest counts.

        A service that has other ports only is one for who does not say `port: 80` (in Istio for nobody:
        `separateVSHostsAndServices`).
        """
        best: dict[str, VirtualHost] = {}
        for resource in sorted(self._hosts.attachments.of_gateway(MESH), key=age):
            if not (
                is_exported(self._world, resource, scope.namespace)
                and self._hosts.holds(resource, FOREIGN_PORT, scope)
            ):
                continue
            for host in (full_host(self._world, each, resource.namespace) for each in resource.spec.hosts):
                if host == "*" or host in best or self._is_known(host, resource):
                    continue
                routes = virtual_service.http_routes(
                    self._world, resource, Arrival(MESH, FOREIGN_PORT, scope)
                )
                origin = Origin("VirtualService", resource.namespace, resource.name, "spec.hosts")
                if routes:
                    best[host] = VirtualHost(f"{host}:{FOREIGN_PORT}", (host,), routes, origin)
        return tuple(best[host] for host in sorted(best))

    def _is_known(self, host: str, resource: virtual_service.VirtualService) -> bool:
        asked = any(match.port == FOREIGN_PORT for route in resource.spec.http for match in route.match)
        known = self._hosts.at_port(FOREIGN_PORT) if asked else self._world.service_hosts()
        return any(covers(host, each) for each in known)

    def _rest(self, by_address: list[DestinationRoutes], scope: Scope) -> VirtualHost:
        """What comes under no known name: by its address, and what is left under Istio's names.

        A virtual address that has no such port (any more) is nowhere: who dials it waits in vain.
        """
        policy = self._hosts.policy(scope)
        if self._hosts.allows_any(scope):
            nowhere = Route("no_such_port", RequestMatch(), Respond(503), policy)
            by_address.append(DestinationRoutes(self._world.settings.service_cidr, (nowhere,)))
            rest = Route("allow_any", RequestMatch(), Forward((WeightedCluster(PASSTHROUGH),)), policy)
        else:
            rest = Route("block_all", RequestMatch(), Respond(502), policy)
        return VirtualHost(rest.name, ("*",), (rest,), policy, tuple(by_address))


def _distinct(hosts: list[VirtualHost]) -> list[VirtualHost]:
    """Each name once: the first virtual host keeps it (Envoy refuses a table with a name in two)."""
    names = [name for each in hosts for name in each.domains]
    if len(set(names)) == len(names):
        return hosts
    seen: set[str] = set()
    made: list[VirtualHost] = []
    for each in hosts:
        domains = tuple(name for name in dict.fromkeys(each.domains) if name not in seen)
        seen.update(domains)
        if domains:
            made.append(each if domains == each.domains else replace(each, domains=domains))
    return made
