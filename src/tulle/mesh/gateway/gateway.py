"""Gateways: what a proxy with configured listeners does, in either language.

A port is one listener. Its virtual hosts and chains come from all Gateways that have it: each host name
once, the oldest Gateway first. Clusters are those that the routes name. Read by `resolve.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tulle.kit.derived import Derived
from tulle.mesh.outbound.cluster import ClusterCells
from tulle.mesh.outbound.tls import opaque, passed_through, raw
from tulle.mesh.policy import envoy_filter
from tulle.mesh.policy.backend_tls import as_it_came, secured
from tulle.mesh.policy.backend_traffic import with_sessions
from tulle.mesh.policy.credential import at_gateway
from tulle.mesh.policy.gateway_tls import presenting
from tulle.mesh.route.attachment import GATEWAY, GRPC_ROUTE, ISTIO_GATEWAY, GatewayResource
from tulle.mesh.route.common import Destination, age, named_clusters
from tulle.mesh.route.default_retry import with_default_retry
from tulle.mesh.route.gateway_api.binding import BindingCells
from tulle.mesh.route.gateway_api.listener import standard_servers
from tulle.mesh.route.host import HostCells
from tulle.mesh.route.ingress import ingress_servers
from tulle.mesh.route.istio.server import IstioGateway, istio_servers
from tulle.mesh.route.istio.tls import auto_passthrough, passes_by_destination
from tulle.mesh.route.server import Server
from tulle.mesh.scope import Scope, ScopeCells
from tulle.mesh.view import (
    Cluster,
    DatagramListener,
    Gateway,
    GatewayChain,
    GatewayListener,
    HttpChain,
    Protocol,
    RouteTable,
    TcpChain,
    VirtualHost,
)
from tulle.mesh.workload.workload import Workload, WorkloadId, matches
from tulle.mesh.world import World

_ANY = "0.0.0.0"  # noqa: S104  a gateway is there to be reached


class GatewayCells:
    """The derived values of gateways."""

    def __init__(
        self,
        world: World,
        hosts: HostCells,
        clusters: ClusterCells,
        scopes: ScopeCells,
        bindings: BindingCells,
    ) -> None:
        self._world = world
        self._scopes = scopes
        self._bindings = bindings
        self._hosts = hosts
        self._clusters = clusters
        self.gateway: Derived[WorkloadId, Gateway | None] = Derived(world.graph, self._make, "gateway")

    def _make(self, at: WorkloadId) -> Gateway | None:
        workload = self._world.workload(at)
        if workload is None or not workload.gateway:
            return None
        servers = self._servers(workload)
        listeners: list[GatewayListener] = []
        tables: list[RouteTable] = []
        scope = self._scopes.scope(at)
        connected = [server for server in servers if not server.datagrams]
        for port in sorted({server.port for server in connected}):
            listener, found = _listener(port, [server for server in connected if server.port == port])
            found = [self._with_sessions(table) for table in found]
            chains = tuple(self._governed(chain, scope, found) for chain in listener.chains)
            listeners.append(replace(listener, chains=chains))
            tables += found
        datagrams = tuple(self._clusters.governed_datagrams(each, scope) for each in _datagrams(servers))
        return Gateway(
            namespace=workload.namespace,
            workload=workload.name,
            address=workload.address,
            identity=workload.identity,
            trust_domain=self._world.trust_domain(),
            listeners=tuple(listeners),
            route_tables=tuple(
                with_default_retry(self._world, table) for table in sorted(tables, key=lambda each: each.name)
            ),
            clusters=self._clusters_of(workload, scope, self._own(workload), listeners, tables, datagrams),
            datagrams=datagrams,
        )

    def _with_sessions(self, table: RouteTable) -> RouteTable:
        """A table with the sessions of services, and of several backends."""
        hosts = [
            (host, with_sessions(self._world, self._hosts.attachments, host.routes))
            for host in table.virtual_hosts
        ]
        return replace(table, virtual_hosts=tuple(replace(host, routes=found) for host, found in hosts))

    def _governed(self, chain: GatewayChain, scope: Scope, tables: Iterable[RouteTable]) -> GatewayChain:
        """A chain with what it goes to asks for: DestinationRules and BackendTLSPolicies of its
        connections, hosts of its lookup."""
        then = chain.then
        if isinstance(then, HttpChain):
            named = named_clusters(table for table in tables if table.name == then.route_table)
            return replace(chain, then=replace(then, looks_up=self._clusters.looks_up(named)))
        if isinstance(then, TcpChain):
            then = self._clusters.governed_chain(then, scope)
            if chain.tls is None:
                then = as_it_came(self._world, self._hosts.attachments, then)
            return replace(chain, then=then)
        return chain

    def _servers(self, workload: Workload) -> list[Server]:
        """Everything that Gateways ask of this proxy, the Gateway that made it first."""
        own = self._own(workload)
        found = [*standard_servers(self._world, self._hosts, self._bindings, own)] if own is not None else []
        gateways = gateways_of(self._world, workload)
        scope = self._scopes.scope(workload.id)
        found += istio_servers(self._world, self._hosts, gateways, scope, workload.address)
        found += ingress_servers(self._world, workload.labels)
        return [*found, *self._by_destination(gateways, scope)]

    def _own(self, workload: Workload) -> GatewayResource | None:
        """The Gateway of the Gateway API whose proxy it is."""
        is_own = (workload.key.group, workload.key.kind) == GATEWAY
        return self._world.resource(workload.key) if is_own else None

    def _by_destination(self, gateways: Iterable[IstioGateway], scope: Scope) -> Iterator[Server]:
        """What servers of mode AUTO_PASSTHROUGH pass on: services and their subsets, as SNI names them."""
        asking = [
            (gateway, index)
            for gateway in gateways
            for index, server in enumerate(gateway.spec.servers)
            if passes_by_destination(server)
        ]
        destinations = self._destinations(scope) if asking else ()
        for gateway, index in asking:
            made = auto_passthrough(gateway, index, destinations)
            if made is not None:
                yield made

    def _destinations(self, scope: Scope) -> tuple[Destination, ...]:
        found: list[Destination] = []
        for service in self._world.services():
            host = service.host
            vantage = self._hosts.vantage(host, scope)
            subsets = ["", *(name for name, _ in self._clusters.policy((host, vantage)).subsets)]
            found += [Destination(host, port.number, subset) for port in service.ports for subset in subsets]
        return tuple(found)

    def _clusters_of(
        self,
        workload: Workload,
        scope: Scope,
        own: GatewayResource | None,
        listeners: Iterable[GatewayListener],
        tables: Iterable[RouteTable],
        datagrams: Iterable[DatagramListener],
    ) -> tuple[Cluster, ...]:
        connected = {
            each.cluster
            for listener in listeners
            for chain in listener.chains
            if isinstance(chain.then, TcpChain)
            for each in chain.then.clusters
        }
        connected |= {each.cluster for listener in datagrams for each in listener.clusters}
        routed = named_clusters(tables) | envoy_filter.named_clusters(self._world, workload)
        of_grpc = named_clusters(tables, GRPC_ROUTE[1])
        made: list[Cluster] = []
        for name in sorted(connected | routed):
            destination = Destination.of(name)
            if destination is None:
                continue
            vantage = self._hosts.vantage(destination.host, scope)
            found = self._clusters.cluster((destination, vantage))
            if found is None:
                continue
            found = at_gateway(found, scope.namespace)
            if name == destination.sni:
                made.append(passed_through(found, name))
            elif name == destination.raw:
                made.append(raw(found, name))
            else:
                if name in connected:
                    found = opaque(found)
                elif name not in of_grpc:
                    found = _undeclared(found)
                found = secured(self._world, self._hosts.attachments, found)
                made.append(presenting(self._world, own, found) if own is not None else found)
        return tuple(made)


def _undeclared(found: Cluster) -> Cluster:
    """A cluster of a port of which nobody says what it speaks: HTTP/1.1.

    As the caller does would be wrong: whoever comes with TLS is offered HTTP/2, which says nothing of the
    server (Istio, `cluster_builder.go`: use_downstream_protocol is "disabled for gateway").
    """
    return replace(found, protocol=Protocol.HTTP) if found.protocol is Protocol.DETECT else found


def gateways_of(world: World, workload: Workload) -> tuple[IstioGateway, ...]:
    """The Istio Gateways whose selector means this proxy, the oldest first."""
    selecting: list[IstioGateway] = []
    for gateway in world.of_kind(*ISTIO_GATEWAY):
        selector = tuple(gateway.spec.selector.items())
        if selector and matches(selector, workload.labels):
            selecting.append(gateway)
    return tuple(sorted(selecting, key=age))


def _listener(port: int, servers: list[Server]) -> tuple[GatewayListener, list[RouteTable]]:
    """One port. Its first server decides whether it is plain HTTP or told apart by SNI."""
    first = servers[0]
    name = f"{_ANY}_{port}"
    if first.is_plain_http:
        hosts = [host for server in servers if server.is_plain_http for host in server.virtual_hosts]
        table = RouteTable(f"http.{port}", _distinct_hosts(hosts), first.origin)
        chain = GatewayChain("http", HttpChain(table.name, f"outbound_{name}"), first.origin)
        return GatewayListener(name, port, first.protocol, (chain,), first.origin), [table]
    by_name = [server for server in servers if not server.is_plain_http]
    chains = _distinct_chains(chain for server in by_name for chain in server.chains)
    used = {chain.then.route_table for chain in chains if isinstance(chain.then, HttpChain)}
    tables = [
        RouteTable(server.route_table, _distinct_hosts(server.virtual_hosts), server.origin)
        for server in by_name
        if server.route_table in used
    ]
    return GatewayListener(name, port, first.protocol, chains, first.origin), tables


def _datagrams(servers: Iterable[Server]) -> Iterator[DatagramListener]:
    """The UDP ports, each once."""
    first: dict[int, Server] = {}
    for server in servers:
        if server.datagrams:
            first.setdefault(server.port, server)
    for port, server in sorted(first.items()):
        yield DatagramListener(f"{_ANY}_{port}_udp", port, server.datagrams, server.origin)


def _distinct_chains(chains: Iterable[GatewayChain]) -> tuple[GatewayChain, ...]:
    """Each server name once (Envoy refuses a listener in which two chains match the same)."""
    seen: set[str] = set()
    made: list[GatewayChain] = []
    for chain in chains:
        names = tuple(name for name in dict.fromkeys(chain.server_names or ("*",)) if name not in seen)
        seen.update(names)
        if names:
            made.append(replace(chain, server_names=() if names == ("*",) else names))
    return tuple(made)


def _distinct_hosts(hosts: Iterable[VirtualHost]) -> tuple[VirtualHost, ...]:
    first: dict[tuple[str, ...], VirtualHost] = {}
    for host in hosts:
        first.setdefault(host.domains, host)
    return tuple(first[domains] for domains in sorted(first))
