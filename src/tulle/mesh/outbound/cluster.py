"""Clusters: what a caller's proxy knows of a service's port, or of a subset of it.

Read by `listener.py`, `outbound.py` and `gateway/gateway.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tulle.kit.derived import Derived
from tulle.mesh.inbound.inbound import InboundCells
from tulle.mesh.outbound.depth import as_it_can
from tulle.mesh.outbound.tls import OPAQUE, SANITISED, for_datagrams
from tulle.mesh.policy.backend_traffic import retry_budget
from tulle.mesh.policy.balancing import is_passthrough
from tulle.mesh.policy.client_tls import mesh_tls
from tulle.mesh.policy.destination import NOTHING, DestinationPolicy, Settings, destination_policy
from tulle.mesh.policy.locality import order
from tulle.mesh.policy.settings import governed, governed_chain, governed_datagrams, tunnelled
from tulle.mesh.policy.upgrade import UpgradeCells
from tulle.mesh.route.common import Destination
from tulle.mesh.route.host import HostCells, port_origin
from tulle.mesh.scope import Scope
from tulle.mesh.service import headless
from tulle.mesh.service.endpoint import EndpointQuery
from tulle.mesh.service.place import Order
from tulle.mesh.service.resolution import resolved
from tulle.mesh.service.service import Resolution, Service, ServicePort
from tulle.mesh.view import Cluster, DatagramListener, Discovery, Origin, Protocol, TcpChain, WeightedCluster
from tulle.mesh.world import World


class ClusterCells:
    """The derived values of clusters. A scope is a caller's, or a vantage (see `route/host.py`)."""

    def __init__(self, world: World, hosts: HostCells, inbound: InboundCells, upgrades: UpgradeCells) -> None:
        graph = world.graph
        self._world = world
        self._hosts = hosts
        self._inbound = inbound
        self._upgrades = upgrades
        self.policy: Derived[tuple[str, Scope], DestinationPolicy] = Derived(
            graph, self._find_policy, "policy"
        )
        self.cluster: Derived[tuple[Destination, Scope], Cluster | None] = Derived(
            graph, self._make, "cluster"
        )
        self.of_service: Derived[tuple[str, Scope], tuple[Cluster, ...]] = Derived(
            graph, self._make_all, "service_clusters"
        )

    def _find_policy(self, at: tuple[str, Scope]) -> DestinationPolicy:
        host, scope = at
        attachments = self._hosts.attachments
        found = destination_policy(self._world, attachments, host, scope)
        budget = retry_budget(self._world, attachments, host)
        return found if budget is None else replace(found, retry_budget=budget)

    def _make(self, at: tuple[Destination, Scope]) -> Cluster | None:
        """One cluster as callers of a scope see it; None if there is no such port or subset."""
        destination, scope = at
        found = self._hosts.port(destination.host, destination.port, destination.udp)
        policy = self.policy((destination.host, scope))
        if found is None or (destination.subset and destination.subset not in dict(policy.subsets)):
            return None
        settings = policy.at(destination.port, destination.subset)
        made = cluster(self._world, *found, destination.subset, policy, self._alpn(*found), scope)
        return as_it_can(self._upgrades.by_default(made, settings))

    def _alpn(self, service: Service, port: ServicePort) -> str:
        """What a cluster of a port offers that only HTTP connection managers feed."""
        passed_on = port.protocol.is_http and self._inbound.passed_on((service.host, port.number))
        return SANITISED if passed_on else OPAQUE

    def _make_all(self, at: tuple[str, Scope]) -> tuple[Cluster, ...]:
        """All clusters of a service, as the callers of a vantage see them."""
        host, vantage = at
        service = self._world.service(host)
        if service is None or service.external_name:
            return ()
        policy = self.policy((host, vantage))
        made: list[Cluster | None] = []
        for port in self._hosts.ports(service):
            declared = self._hosts.instances((host, port.number)) if service.headless else ()
            if service.headless and not self._hosts.is_http(host, port, vantage):
                made.append(headless.chosen_cluster(self._world, service, port, policy, declared))
            else:
                made.append(self.cluster((Destination(host, port.number), vantage)))
            made += (
                self.cluster((Destination(host, port.number, name), vantage)) for name, _ in policy.subsets
            )
            made += headless.instance_clusters(service, port, policy, declared, self._alpn(service, port))
        return tuple(each for each in made if each is not None)

    def order(self, destination: Destination, vantage: Scope) -> Order | None:
        """How callers of a vantage want the endpoints of a cluster."""
        policy = self.policy((destination.host, vantage))
        return order(policy.at(destination.port, destination.subset), vantage.locality, vantage.labels)

    def governed_chain(self, then: TcpChain, scope: Scope) -> TcpChain:
        """The chain with what rules say of connections as a whole."""
        made = governed_chain(then, self._settings(then.clusters, scope))
        policy, destination = self._first(then.clusters, scope)
        subset = destination.subset if destination is not None and len(then.clusters) == 1 else ""
        made = tunnelled(made, policy.tunnel(subset))
        port = self._lookup_port(destination)
        return made if port is None else replace(made, lookup_port=port)

    def _lookup_port(self, destination: Destination | None) -> int | None:
        found = self._hosts.port(destination.host, destination.port) if destination is not None else None
        if found is None or found[0].behind(found[1]).resolution is not Resolution.DYNAMIC_DNS:
            return None
        return found[1].target if isinstance(found[1].target, int) else found[1].number

    def looks_up(self, clusters: Iterable[str]) -> bool:
        """Whether any of these asks DNS for the name that a call says."""
        return any(self._lookup_port(Destination.of(name)) is not None for name in clusters)

    def governed_datagrams(self, listener: DatagramListener, scope: Scope) -> DatagramListener:
        """The same for datagrams."""
        return governed_datagrams(listener, self._settings(listener.clusters, scope))

    def _settings(self, clusters: tuple[WeightedCluster, ...], scope: Scope) -> Settings:
        """What is no property of a cluster, for what goes to several: the first decides
        (destination_rule.proto, `idleTimeout`)."""
        policy, destination = self._first(clusters, scope)
        return policy.at(destination.port, destination.subset) if destination is not None else NOTHING

    def _first(
        self, clusters: tuple[WeightedCluster, ...], scope: Scope
    ) -> tuple[DestinationPolicy, Destination | None]:
        known = (Destination.of(each.cluster) for each in clusters)
        destination = next((each for each in known if each is not None), None)
        if destination is None:
            return DestinationPolicy(), None
        return self.policy((destination.host, self._hosts.vantage(destination.host, scope))), destination


def cluster(
    world: World,
    service: Service,
    port: ServicePort,
    subset: str,
    policy: DestinationPolicy,
    alpn: str,
    scope: Scope,
) -> Cluster:
    """The cluster of a port; with a subset, of that part of it."""
    udp = port.protocol is Protocol.UDP
    destination = Destination(service.host, port.number, subset, udp)
    settings = policy.at(port.number, subset)
    wanted = order(settings, scope.locality, scope.labels)
    made = governed(
        Cluster(
            name=destination.cluster,
            discovery=Discovery.EDS,
            origin=_origin(service, port, subset, policy),
            protocol=port.protocol,
            mtls=mesh_tls(world, settings.tls, destination, alpn),
            endpoint_set=_endpoint_set(destination, policy, wanted),
        ),
        settings,
        scope.namespace if policy.selected else "",
    )
    if udp:
        made = for_datagrams(made)
    if wanted is not None and made.outlier is not None and made.outlier.ejection_percent is None:
        # With Envoy's own 10 % nothing would fail over where there are fewer than ten endpoints.
        made = replace(made, outlier=replace(made.outlier, always_one=True))
    if is_passthrough(settings.load_balancer):
        made = replace(made, discovery=Discovery.ORIGINAL_DESTINATION, endpoint_set="")
    labels = dict(policy.subsets)[subset].labels if subset else ()
    query = EndpointQuery(service.host, port.number, subset, labels, wanted, udp)
    return resolved(world, made, service.behind(port), port, query)


def _endpoint_set(destination: Destination, policy: DestinationPolicy, wanted: Order | None) -> str:
    """The name of a cluster's endpoints: its own, but for a subset that somebody defines for some callers,
    and for an order in which some callers want them."""
    whose: list[str] = [policy.owner] if policy.owner and (destination.subset or wanted) else []
    if wanted is not None:
        whose.append("/".join(wanted.locality))
        whose += (f"{name}={value}" for name, value in wanted.labels)
    if not whose:
        return ""
    return replace(destination, subset=f"{destination.subset}@{';'.join(whose)}").cluster


def _origin(service: Service, port: ServicePort, subset: str, policy: DestinationPolicy) -> Origin:
    if subset:
        return dict(policy.subsets)[subset].origin
    return port_origin(service, port)
