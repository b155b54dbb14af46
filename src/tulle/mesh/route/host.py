"""What is attached to a service's host, and how its ports are seen from a namespace.

A service is seen in the same way by most callers; only its own namespace (short names), those that have
rules of their own, and callers whose labels some rule asks for see it differently. So the parts of a service
are derived once for each *vantage*: of the caller's scope what matters to the service. One changed route
computes the routes of its host again, and then
the one route table of each namespace; listeners, clusters and inbound sides read no route.
Read by `outbound/cluster.py`, `outbound/listener.py`, `outbound/outbound.py` and `gateway/gateway.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tulle.kit.derived import Derived
from tulle.mesh.export import default_exports, is_exported
from tulle.mesh.outbound.sidecar import NO_SIDECAR, Egress, SidecarCells
from tulle.mesh.policy.backend_traffic import with_sessions
from tulle.mesh.route.attachment import (
    ALL_ROUTES,
    DESTINATION_RULE,
    AnyRoute,
    Attachments,
    ForCallers,
)
from tulle.mesh.route.common import Destination, covers, full_host
from tulle.mesh.route.gateway_api import ranking
from tulle.mesh.route.gateway_api.filter import arrived_at
from tulle.mesh.route.gateway_api.ranking import RankedRoute
from tulle.mesh.route.instance import Instance, instances
from tulle.mesh.route.istio import virtual_service
from tulle.mesh.route.istio.match import Arrival
from tulle.mesh.scope import ANYWHERE, Scope
from tulle.mesh.service.place import NOWHERE
from tulle.mesh.service.service import Service, ServicePort
from tulle.mesh.view import Forward, Origin, Protocol, RequestMatch, Route, WeightedCluster
from tulle.mesh.world import World
from tulle.model.istio import MESH, DestinationRuleSpec, VirtualServiceSpec
from tulle.model.resource import Key, Resource

FOREIGN_PORT = 80
"""Where routes of hosts that no service has are looked for, as in Istio, and unknown hosts are refused."""

HostPort = tuple[str, int, Scope]
"""host, port, vantage"""


@dataclass(frozen=True, slots=True)
class Attached:
    """The resources that route a port: HTTPRoutes or GRPCRoutes, or else one VirtualService, or none."""

    routes: tuple[Key, ...] = ()
    virtual_service: Key | None = None
    http: bool = False
    """Whether they make a port HTTP for which nobody declared a protocol."""


class HostCells:
    """The derived values of hosts."""

    def __init__(self, world: World, attachments: Attachments, sidecars: SidecarCells) -> None:
        graph = world.graph
        self.attachments = attachments
        self._sidecars = sidecars
        self.world = world
        self.ranked: Derived[tuple[Key, bool], tuple[RankedRoute, ...]] = Derived(
            graph, self._rank, "ranked_routes"
        )
        self.attached: Derived[HostPort, Attached] = Derived(graph, self._find_attached, "attached")
        self.routes: Derived[HostPort, tuple[Route, ...]] = Derived(
            graph, lambda at: with_sessions(world, attachments, self._find_routes(at)), "host_routes"
        )
        self.special: Derived[Scope, Mapping[str, Scope]] = Derived(graph, self._find_special, "vantages")
        self._named_by: Derived[str, frozenset[str]] = Derived(graph, self._find_named, "special_hosts")
        self.instances: Derived[tuple[str, int], tuple[Instance, ...]] = Derived(
            graph, self._find_instances, "instances"
        )
        self.at_port: Derived[int, tuple[str, ...]] = Derived(graph, self._find_hosts, "hosts_of_port")
        self._by_port: Derived[str, dict[int, tuple[str, ...]]] = Derived(
            graph, self._sort_by_port, "hosts_by_port"
        )
        self._private: Derived[str, tuple[Service, ...]] = Derived(graph, self._list_private, "private")
        self.unknown: Derived[str, frozenset[str]] = Derived(graph, self._find_unknown, "unknown_hosts")
        self._numbers: Derived[str, tuple[int, ...]] = Derived(graph, self._list_numbers, "port_numbers")

    # -- services and ports ----------------------------------------------------------------------

    def numbers(self) -> tuple[int, ...]:
        """The port numbers of all services, sorted."""
        return self._numbers("")

    def numbers_of(self, scope: Scope) -> tuple[int, ...]:
        """The same with the port at which callers of a scope are told that a host is unknown, if they are."""
        numbers = self.numbers()
        if FOREIGN_PORT in numbers or self.allows_any(scope):
            return numbers
        return tuple(sorted((*numbers, FOREIGN_PORT)))

    def meant(self, service: Service) -> Service | None:
        """The service itself; for an ExternalName the one that it names, or none outside the mesh."""
        if not service.external_name:
            return service
        meant = self.world.service(service.external_name.lower().rstrip("."))
        return meant if meant is not None and not meant.external_name else None

    def ports(self, service: Service) -> tuple[ServicePort, ...]:
        """The ports that are proxied. An ExternalName service has those of the service that it means."""
        meant = self.meant(service)
        return tuple(port for port in meant.ports if port.protocol is not Protocol.UDP) if meant else ()

    def port(self, host: str, number: int, udp: bool = False) -> tuple[Service, ServicePort] | None:
        """A service and its port, if there is such a one."""
        service = self.world.service(host)
        port = service.port(number, udp) if service is not None else None
        return (service, port) if service is not None and port is not None else None

    def is_http(self, host: str, port: ServicePort, vantage: Scope) -> bool:
        """Whether a port is HTTP for certain, without looking at the first bytes.

        A gateway's own port is left to the gateway, which knows hosts of its own: what comes to its virtual
        address goes there whatever its Host header, unless a route is attached to its Service.
        """
        if port.protocol.is_http and not self._is_gateway(host):
            return True
        may_be = port.protocol.is_http or port.protocol is Protocol.DETECT
        return may_be and self.attached((host, port.number, vantage)).http

    def has_table(self, host: str, port: ServicePort, vantage: Scope) -> bool:
        """Whether callers may be routed by host name: the port is HTTP, or may turn out to be."""
        looked_at = port.protocol is Protocol.DETECT and not self._is_gateway(host)
        return looked_at or self.is_http(host, port, vantage)

    def _is_gateway(self, host: str) -> bool:
        service = self.world.service(host)
        return service is not None and service.gateway

    def _sort_by_port(self, _: str) -> dict[int, tuple[str, ...]]:
        found: dict[int, list[str]] = {}
        for service in self.world.services():
            for port in self.ports(service):
                found.setdefault(port.number, []).append(service.host)
        return {number: tuple(hosts) for number, hosts in found.items()}

    def _find_hosts(self, number: int) -> tuple[str, ...]:
        return self._by_port("").get(number, ())

    def _list_numbers(self, _: str) -> tuple[int, ...]:
        return tuple(sorted(self._by_port("")))

    def _find_instances(self, at: tuple[str, int]) -> tuple[Instance, ...]:
        found = self.port(*at)
        return instances(self.world, *found) if found is not None and found[0].headless else ()

    # -- from where it is seen -------------------------------------------------------------------

    def vantage(self, host: str, scope: Scope) -> Scope:
        """How callers of a scope see a host."""
        return self.special(scope).get(host, ANYWHERE)

    def _find_special(self, scope: Scope) -> Mapping[str, Scope]:
        """The hosts that callers of a scope see in their own way, and in which."""
        found = {host: Scope(scope.namespace) for host in self._named_by(scope.namespace)}
        for resource in self.attachments.asking():
            labels = resource.spec.source_labels.intersection(scope.labels)
            for host in self._hosts_of(resource) if labels else ():
                before = found.get(host, ANYWHERE)
                found[host] = before._replace(labels=tuple(sorted({*before.labels, *labels})))
        config = self.world.mesh_config()
        if scope.locality != NOWHERE and config.is_local:
            for host in self.world.service_hosts():
                found[host] = found.get(host, ANYWHERE)._replace(locality=scope.locality)
        for rule in self.attachments.local():
            names = rule.spec.compared_labels | config.compared_labels
            labels = tuple(pair for pair in scope.labels if pair[0] in names)
            for host in self._hosts_of(rule) if labels or scope.locality != NOWHERE else ():
                before = found.get(host, ANYWHERE)
                kept = tuple(sorted({*before.labels, *labels}))
                found[host] = before._replace(labels=kept, locality=scope.locality)
        if not scope.sidecar:
            return found
        # Which routes hold depends on the Sidecar, for few hosts if it is any good.
        return {
            host: found.get(host, ANYWHERE)._replace(namespace=scope.namespace, sidecar=scope.sidecar)
            for host in self.world.service_hosts()
        }

    def egress(self, scope: Scope) -> Egress:
        """What the Sidecars of a scope say of its calls."""
        return self._sidecars.egress((scope.sidecar, scope.namespace)) if scope.sidecar else NO_SIDECAR

    def policy(self, scope: Scope) -> Origin:
        """Where it is written what becomes of traffic to what nobody declared."""
        name = self.world.declaration.mesh_config_name()
        return self.egress(scope).policy or Origin("MeshConfig", "", name, "spec.outboundTrafficPolicy.mode")

    def allows_any(self, scope: Scope) -> bool:
        """Whether traffic to what nobody declared goes out."""
        said = self.egress(scope).allow_any
        return (
            said if said is not None else self.world.mesh_config().outbound_traffic_policy.mode == "ALLOW_ANY"
        )

    def exposed(self, scope: Scope, host: str, number: int) -> bool:
        """Whether callers of a scope know of a service at a port."""
        if host in self.unknown(scope.namespace):
            return False
        if not scope.sidecar:
            return True
        service = self.world.service(host)
        return service is not None and self.egress(scope).at(number).has(service.namespace, host)

    def _list_private(self, _: str) -> tuple[Service, ...]:
        """The services that some namespaces only know of: few, if any."""
        return tuple(each for each in self.world.services() if not each.is_known_in(""))

    def _find_unknown(self, namespace: str) -> frozenset[str]:
        """The hosts of services that callers of a namespace do not know of."""
        return frozenset(each.host for each in self._private("") if not each.is_known_in(namespace))

    def holds(self, resource: Resource[VirtualServiceSpec], number: int, scope: Scope) -> bool:
        """Whether a VirtualService is among what a Sidecar exposes at a port."""
        exposed = self.egress(scope).at(number)
        hosts = virtual_service.written_hosts(self.world, resource)
        return not scope.sidecar or any(exposed.touches(resource.namespace, host) for host in hosts)

    def _find_named(self, scope: str) -> frozenset[str]:
        """The hosts that callers of a namespace see in its own way."""
        world = self.world
        domain = world.settings.cluster_domain
        found = {host for host in world.service_hosts() if host.endswith(f".{scope}.svc.{domain}")}
        found |= {each.host for each in self._private("") if each.is_known_in(scope)}
        routes: list[AnyRoute] = [each for kind in ALL_ROUTES for each in world.of_kind(*kind, scope)]
        for route in routes:
            for ref in route.spec.parent_refs:
                found.update(ranking.parent_hosts(world, ref, scope))
        for each in (*self.attachments.of_caller(scope), *self._exported_by_default(scope)):
            found |= self._hosts_of(each)
        rules: tuple[Resource[DestinationRuleSpec], ...] = world.of_kind(*DESTINATION_RULE, scope)
        for rule in rules:
            found |= self._named(rule.spec.host, scope)
        return frozenset(found)

    def _exported_by_default(self, namespace: str) -> Iterator[ForCallers]:
        """What callers of a namespace see, and not everybody does, because MeshConfig says so."""
        for kind, default in default_exports(self.world):
            if default in ((), ("*",)):
                continue
            for each in self.world.of_kind(*kind):
                if not each.spec.export_to and is_exported(self.world, each, namespace):
                    yield each

    def _hosts_of(self, resource: ForCallers) -> set[str]:
        """The hosts of services that a DestinationRule or a VirtualService, as a delegate too, is for."""
        written = {
            (host, each.namespace)
            for each in (resource, *self.attachments.roots(resource.key))
            for host in _written_hosts(each)
        }
        return {each for host, namespace in written for each in self._named(host, namespace)}

    def _named(self, written: str, namespace: str) -> set[str]:
        """The hosts of services that a name or a pattern means where it is written."""
        if "*" in written:
            return {host for host in self.world.service_hosts() if covers(written, host)}
        return {full_host(self.world, written, namespace)}

    # -- routes ----------------------------------------------------------------------------------

    def _rank(self, at: tuple[Key, bool]) -> tuple[RankedRoute, ...]:
        key, at_gateway = at
        resource = self.world.resource(key)
        return ranking.ranked_routes(self.world, resource, at_gateway) if resource is not None else ()

    def _find_attached(self, at: HostPort) -> Attached:
        """Routes of the Gateway API stand before a VirtualService for the same host: the two languages are
        not mixed (Istio leaves undefined what a mixture does). The VirtualService has a finding for it.
        """
        host, number, vantage = at
        found = self.port(host, number)
        if found is None:
            return Attached()
        service, port = found
        routes = ranking.attached(self.attachments, service, port, vantage.namespace)
        if routes:
            return Attached(tuple(route.key for route in routes), None, http=True)
        resource = virtual_service.attached(
            self.world,
            self.attachments,
            host,
            lambda each: (
                is_exported(self.world, each, vantage.namespace) and self.holds(each, number, vantage)
            ),
        )
        if resource is None:
            return Attached()
        http = virtual_service.http_routes(self.world, resource, Arrival(MESH, number, vantage))
        return Attached((), resource.key, http=bool(http))

    def _find_routes(self, at: HostPort) -> tuple[Route, ...]:
        """The routes of one port of a service. Where routes are attached, what none of them matches is
        answered with 404 (GEP-1426, "Route presence"; Istio does the same).
        """
        found = self.port(at[0], at[1])
        if found is None:
            return ()
        attached = self.attached(at)
        if attached.routes:
            ranked = [each for key in attached.routes for each in self.ranked((key, False))]
            return tuple(arrived_at(route, at[1], "http") for route in ranking.in_order(ranked))
        if attached.virtual_service is not None:
            resource = self.world.resource(attached.virtual_service)
            if resource is not None and (
                routes := virtual_service.http_routes(self.world, resource, Arrival(MESH, at[1], at[2]))
            ):
                return routes
        return (default_route(*found),)


def _written_hosts(resource: ForCallers) -> tuple[str, ...]:
    spec = resource.spec
    return (spec.host,) if isinstance(spec, DestinationRuleSpec) else spec.hosts


def default_route(service: Service, port: ServicePort) -> Route:
    """What a port does to which no route is attached (under Istio's name)."""
    clusters = (WeightedCluster(Destination(service.host, port.number).cluster),)
    return Route("default", RequestMatch(), Forward(clusters), port_origin(service, port))


def port_origin(service: Service, port: ServicePort) -> Origin:
    """The port of a service as what caused an object."""
    return replace(service.behind(port).origin, field=port.field or service.field)
