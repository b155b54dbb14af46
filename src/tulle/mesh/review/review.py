"""What is wrong with routes, rules and gateways: each resource looked at once, whoever sees it.

Nothing here keeps a resource from being applied: what it refers to may still come. The same functions that
resolve a reference say here why it cannot be resolved. Read by `resolve.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tulle.kit.derived import Derived
from tulle.mesh.declaration import LISTENER_SET
from tulle.mesh.gateway.gateway import GatewayCells, gateways_of
from tulle.mesh.gateway.ingress_class import INGRESS
from tulle.mesh.outbound.cluster import ClusterCells
from tulle.mesh.outbound.sidecar import SIDECAR
from tulle.mesh.policy.envoy_filter import ENVOY_FILTER
from tulle.mesh.policy.proxy_config import PROXY_CONFIG
from tulle.mesh.problem import Problem, info, warning
from tulle.mesh.review.destination import review_destination_rule
from tulle.mesh.review.envoy_filter import review_envoy_filter
from tulle.mesh.review.gateway import (
    CODES,
    review_class,
    review_gateway,
    review_listener_set,
    review_policy,
    review_traffic_policy,
)
from tulle.mesh.review.ingress import review_ingress
from tulle.mesh.review.proxy_config import review_proxy_config
from tulle.mesh.review.sidecar import review_service_entry, review_sidecar, review_workload_entry
from tulle.mesh.review.virtual_service import review_virtual_service
from tulle.mesh.route.attachment import (
    ALL_ROUTES,
    BACKEND_TLS_POLICY,
    BACKEND_TRAFFIC_POLICY,
    DESTINATION_RULE,
    GATEWAY,
    GATEWAY_CLASS,
    ISTIO_GATEWAY,
    ROUTES,
    VIRTUAL_SERVICE,
    AnyRoute,
)
from tulle.mesh.route.gateway_api.binding import BindingCells
from tulle.mesh.route.gateway_api.connection_route import hostnames
from tulle.mesh.route.gateway_api.parent import verdict
from tulle.mesh.route.gateway_api.rule import faults, loses_backend
from tulle.mesh.route.host import HostCells
from tulle.mesh.route.istio.server import IstioGateway, is_plain_http
from tulle.mesh.route.istio.tls import tls_faults
from tulle.mesh.service.declared import SERVICE_ENTRY
from tulle.mesh.service.service_entry import WORKLOAD_ENTRY
from tulle.mesh.workload.workload import Workload
from tulle.mesh.world import World
from tulle.model.admit import remarks
from tulle.model.document import join
from tulle.model.gateway_api import L4RouteRule
from tulle.model.istio import Server
from tulle.model.resource import Key, Resource

_NOT_FOUND = "reference-not-found"
_KINDS = (
    *ALL_ROUTES,
    GATEWAY_CLASS,
    GATEWAY,
    LISTENER_SET,
    BACKEND_TLS_POLICY,
    BACKEND_TRAFFIC_POLICY,
    VIRTUAL_SERVICE,
    DESTINATION_RULE,
    ISTIO_GATEWAY,
    SIDECAR,
    SERVICE_ENTRY,
    WORKLOAD_ENTRY,
    INGRESS,
    ENVOY_FILTER,
    PROXY_CONFIG,
)


class ReviewCells:
    """The derived values of problems."""

    def __init__(
        self,
        world: World,
        hosts: HostCells,
        clusters: ClusterCells,
        gateways: GatewayCells,
        bindings: BindingCells,
    ) -> None:
        self._world = world
        self._hosts = hosts
        self._clusters = clusters
        self._gateways = gateways
        self._bindings = bindings
        self._of: Derived[Key, tuple[Problem, ...]] = Derived(world.graph, self._look, "review")

    def problems(self) -> tuple[Problem, ...]:
        """The problems of all resources of the kinds that route."""
        keys = (resource.key for kind in _KINDS for resource in self._world.of_kind(*kind))
        return tuple(problem for key in keys for problem in self._of(key))

    def _look(self, key: Key) -> tuple[Problem, ...]:
        resource = self._world.resource(key)
        if resource is None:
            return ()
        alone = (
            warning(resource, join(path, each.field), each.code, each.message, each.remedy)
            for path, each in remarks(resource.spec, "spec")
        )
        return (*alone, *self._judge(key, resource))

    def _judge(self, key: Key, resource: Resource[Any]) -> tuple[Problem, ...]:
        """What is wrong with a resource among the others."""
        match (key.group, key.kind):
            case kind if kind in ALL_ROUTES:
                return tuple(self._route(resource))
            case kind if kind == GATEWAY:
                return tuple(review_gateway(self._world, self._bindings, resource))
            case kind if kind == GATEWAY_CLASS:
                return tuple(review_class(resource))
            case kind if kind == LISTENER_SET:
                return tuple(review_listener_set(self._world, self._bindings, resource))
            case kind if kind == BACKEND_TLS_POLICY:
                return tuple(review_policy(self._world, self._hosts.attachments, resource))
            case kind if kind == BACKEND_TRAFFIC_POLICY:
                return tuple(review_traffic_policy(self._world, self._hosts.attachments, resource))
            case kind if kind == VIRTUAL_SERVICE:
                return tuple(review_virtual_service(self._world, self._hosts, self._clusters, resource))
            case kind if kind == DESTINATION_RULE:
                return tuple(review_destination_rule(self._world, self._hosts.attachments, resource))
            case kind if kind == SIDECAR:
                return tuple(review_sidecar(self._world, resource))
            case kind if kind == SERVICE_ENTRY:
                return tuple(review_service_entry(self._world, resource))
            case kind if kind == WORKLOAD_ENTRY:
                return tuple(review_workload_entry(self._world, resource))
            case kind if kind == INGRESS:
                return tuple(review_ingress(self._world, self._gateways, resource))
            case kind if kind == PROXY_CONFIG:
                return tuple(review_proxy_config(self._world, resource))
            case kind if kind == ENVOY_FILTER:
                return tuple(review_envoy_filter(self._world, resource))
            case _:
                return tuple(self._istio_gateway(resource))

    # -- Gateway API -----------------------------------------------------------------------------

    def _route(self, route: AnyRoute) -> Iterator[Problem]:
        at_gateway = False
        for index, ref in enumerate(route.spec.parent_refs):
            field = f"spec.parentRefs[{index}]"
            said = verdict(self._world, self._hosts.attachments, self._bindings, route, ref)
            at_gateway |= (ref.group, ref.kind) in (GATEWAY, LISTENER_SET)
            if said is not None and not said.accepted:
                code = _NOT_FOUND if said.missing else "not-attached"
                yield warning(route, field, code, said.message, "Correct the parentRef, or the parent.")
            of_http = (route.key.group, route.key.kind) in ROUTES
            in_mesh = (ref.group, ref.kind) in (("", "Service"), SERVICE_ENTRY)
            if in_mesh and of_http and hostnames(route):
                message = f"hostnames mean nothing at a {ref.kind}: its own names are what callers use"
                yield info(route, "spec.hostnames", "no-effect", message, "Remove hostnames.")
        for field, fault in faults(self._world, route, at_gateway):
            yield warning(route, field, CODES[fault.reason], fault.message, fault.remedy)
        for index, rule in enumerate(route.spec.rules):
            if not isinstance(rule, L4RouteRule) and loses_backend(rule):
                field = f"spec.rules[{index}].sessionPersistence.type"
                message = "a session in a header keeps its endpoint, but not its backend among several"
                yield warning(route, field, "session-not-kept", message, "Write type: Cookie.")
            if not sum(ref.weight for ref in rule.backend_refs) and (
                isinstance(rule, L4RouteRule) or not rule.filters
            ):
                message = "nothing is left to send to; its requests fail"
                remedy = "Write backendRefs with a weight above 0."
                yield warning(route, f"spec.rules[{index}]", "no-backend", message, remedy)

    # -- Istio -----------------------------------------------------------------------------------

    def _istio_gateway(self, gateway: IstioGateway) -> Iterator[Problem]:
        proxies = [
            proxy
            for proxy in self._world.gateways()
            if any(each.key == gateway.key for each in gateways_of(self._world, proxy))
        ]
        if not proxies:
            message = "no gateway's proxy has these labels, so nobody serves this Gateway"
            remedy = "Write selector: {istio: ingressgateway}."
            yield warning(gateway, "spec.selector", "selects-nothing", message, remedy)
        for index, server in enumerate(gateway.spec.servers):
            field = f"spec.servers[{index}]"
            for proxy in proxies:
                for name, wrong in tls_faults(self._world, proxy.namespace, server):
                    remedy = f"Apply a Secret of type kubernetes.io/tls in namespace {proxy.namespace}."
                    if "no ca.crt" in wrong:
                        remedy = "Put ca.crt into the Secret, or cacert into one named NAME-cacert."
                    yield warning(gateway, f"{field}.tls.{name}", "invalid-certificate", wrong, remedy)
            number = server.port.number
            for proxy in proxies:
                yield from self._same_name(gateway, proxy, server, field)
                first = self._first_at(proxy, number)
                if first is not None and is_plain_http(first[1]) != is_plain_http(server):
                    message = (
                        f"port {number} is {first[1].port.protocol} in Gateway {first[0].namespace}/"
                        f"{first[0].name}, which is older; this server is not served"
                    )
                    remedy = "Give plain HTTP and everything else ports of their own."
                    yield warning(gateway, f"{field}.port", "listener-conflict", message, remedy)

    def _same_name(
        self, gateway: IstioGateway, proxy: Workload, server: Server, field: str
    ) -> Iterator[Problem]:
        """Of TLS servers of one port and one host the oldest Gateway's is asked."""
        if is_plain_http(server):
            return
        for older in gateways_of(self._world, proxy):
            if older.key == gateway.key:
                return
            for each in older.spec.servers:
                shared = [host for host in server.hosts if host in each.hosts]
                if each.port.number == server.port.number and shared and not is_plain_http(each):
                    message = f"{older.key}, which is older, serves {shared[0]} at port {each.port.number}"
                    at = f"{field}.hosts[{server.hosts.index(shared[0])}]"
                    remedy = "Write one server for the host, or give one of them another port."
                    yield warning(gateway, at, "listener-conflict", message, remedy)
                    return

    def _first_at(self, proxy: Workload, port: int) -> tuple[IstioGateway, Server] | None:
        """The server that decides what a port of a gateway's proxy is."""
        for gateway in gateways_of(self._world, proxy):
            for server in gateway.spec.servers:
                if server.port.number == port:
                    return gateway, server
        return None
