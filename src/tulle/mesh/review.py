"""What is wrong with routes, rules and gateways: each resource looked at once, whoever sees it.

Nothing here keeps a resource from being applied: what it refers to may still come. The same functions that
resolve a reference say here why it cannot be resolved. Read by `resolve.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tulle.kit.derived import Derived
from tulle.mesh.cluster import ClusterCells
from tulle.mesh.gateway import gateways_of
from tulle.mesh.policy.certificate import certificate_fault
from tulle.mesh.policy.destination import DestinationRule, rule_host
from tulle.mesh.problem import Problem
from tulle.mesh.route import istio
from tulle.mesh.route.attachment import (
    DESTINATION_RULE,
    GATEWAY,
    HTTP_ROUTE,
    ISTIO_GATEWAY,
    VIRTUAL_SERVICE,
    bound_gateways,
)
from tulle.mesh.route.binding import GatewayResource, HttpRoute, listener_states
from tulle.mesh.route.common import MESH, Destination
from tulle.mesh.route.host import HostCells
from tulle.mesh.route.istio import DestinationFault, VirtualService
from tulle.mesh.route.istio_server import (
    IstioGateway,
    common_hosts,
    is_plain_http,
    is_terminated,
    secret_name,
)
from tulle.mesh.route.parent import backend_faults, verdict
from tulle.mesh.scope import Scope
from tulle.mesh.workload import Workload
from tulle.mesh.world import World
from tulle.model.findings import Severity
from tulle.model.istio import Destination as WrittenDestination
from tulle.model.istio import Server
from tulle.model.resource import Key, Resource

_NOT_FOUND = "reference-not-found"
_CODES = {
    "BackendNotFound": _NOT_FOUND,
    "RefNotPermitted": "reference-not-permitted",
    "InvalidKind": "invalid-reference-kind",
    "InvalidCertificateRef": "invalid-certificate",
}
_KINDS = (HTTP_ROUTE, GATEWAY, VIRTUAL_SERVICE, DESTINATION_RULE, ISTIO_GATEWAY)


class ReviewCells:
    """The derived values of problems."""

    def __init__(self, world: World, hosts: HostCells, clusters: ClusterCells) -> None:
        self._world = world
        self._hosts = hosts
        self._clusters = clusters
        self._of: Derived[Key, tuple[Problem, ...]] = Derived(world.graph, self._look, "review")

    def problems(self) -> tuple[Problem, ...]:
        """The problems of all resources of the kinds that route."""
        keys = (resource.key for kind in _KINDS for resource in self._world.of_kind(*kind))
        return tuple(problem for key in keys for problem in self._of(key))

    def _look(self, key: Key) -> tuple[Problem, ...]:
        resource = self._world.resource(key)
        if resource is None:
            return ()
        match (key.group, key.kind):
            case kind if kind == HTTP_ROUTE:
                return tuple(self._http_route(resource))
            case kind if kind == GATEWAY:
                return tuple(self._gateway(resource))
            case kind if kind == VIRTUAL_SERVICE:
                return tuple(self._virtual_service(resource))
            case kind if kind == DESTINATION_RULE:
                return tuple(self._destination_rule(resource))
            case _:
                return tuple(self._istio_gateway(resource))

    # -- Gateway API -----------------------------------------------------------------------------

    def _http_route(self, route: HttpRoute) -> Iterator[Problem]:
        at_gateway = False
        for index, ref in enumerate(route.spec.parent_refs):
            field = f"spec.parentRefs[{index}]"
            said = verdict(self._world, route, ref)
            at_gateway |= (ref.group, ref.kind) == GATEWAY
            if said is not None and not said.accepted:
                code = _NOT_FOUND if said.missing else "not-attached"
                yield _warning(route, field, code, said.message, "Correct the parentRef, or the parent.")
            if (ref.group, ref.kind) == ("", "Service") and route.spec.hostnames:
                message = "hostnames mean nothing at a Service: its own names are what callers use"
                yield _info(route, "spec.hostnames", "no-effect", message, "Remove hostnames.")
        for field, fault in backend_faults(self._world, route, at_gateway):
            yield _warning(route, field, _CODES[fault.reason], fault.message, fault.remedy)
        for index, rule in enumerate(route.spec.rules):
            if not sum(ref.weight for ref in rule.backend_refs) and not rule.filters:
                message = "nothing is left to send to; its requests are answered with 500"
                remedy = "Write backendRefs with a weight above 0."
                yield _warning(route, f"spec.rules[{index}]", "no-backend", message, remedy)

    def _gateway(self, gateway: GatewayResource) -> Iterator[Problem]:
        name = gateway.spec.gateway_class_name
        if not self._world.handles_class(name):
            if self._world.resource(Key(GATEWAY[0], "GatewayClass", "", name)) is None:
                yield _warning(
                    gateway,
                    "spec.gatewayClassName",
                    _NOT_FOUND,
                    f"there is no GatewayClass {name}, so nobody serves this Gateway",
                    "Write gatewayClassName: tulle, or a GatewayClass of this name.",
                )
            return
        for state in listener_states(self._world, gateway):
            field = f"spec.listeners[{state.index}]"
            if not state.supported:
                message = f"protocol {state.listener.protocol} is not served; nobody listens"
                remedy = "Write protocol: HTTP or HTTPS."
                yield _warning(gateway, f"{field}.protocol", "unsupported-protocol", message, remedy)
            if state.conflict:
                remedy = "Change the port, the protocol or the hostname of one of them."
                yield _warning(gateway, field, "listener-conflict", state.conflict_message, remedy)
            if state.secret_reason:
                code = _CODES[state.secret_reason]
                remedy = "Apply a Secret of type kubernetes.io/tls, with permission to refer to it."
                yield _warning(gateway, f"{field}.tls.certificateRefs", code, state.secret_message, remedy)
            if state.unknown_kinds:
                message = "HTTPRoute is the only kind of route that is served"
                yield _warning(
                    gateway,
                    f"{field}.allowedRoutes.kinds",
                    "invalid-reference-kind",
                    message,
                    "Remove the rest.",
                )

    # -- Istio -----------------------------------------------------------------------------------

    def _virtual_service(self, resource: VirtualService) -> Iterator[Problem]:
        spec = resource.spec
        routes = (
            *((f"spec.http[{index}]", route.route) for index, route in enumerate(spec.http)),
            *((f"spec.tls[{index}]", route.route) for index, route in enumerate(spec.tls)),
            *((f"spec.tcp[{index}]", route.route) for index, route in enumerate(spec.tcp)),
        )
        for field, route in routes:
            for index, each in enumerate(route):
                at = f"{field}.route[{index}].destination"
                yield from self._destination(resource, at, each.destination)
        for index, gateway in enumerate(bound_gateways(spec, resource.namespace)):
            if gateway == MESH:
                yield from self._without_effect(resource)
                continue
            namespace, _, name = gateway.rpartition("/")
            found: IstioGateway | None = self._world.resource(Key(*ISTIO_GATEWAY, namespace, name))
            field = f"spec.gateways[{index}]"
            if found is None:
                message = f"there is no Gateway {gateway}"
                yield _warning(
                    resource, field, _NOT_FOUND, message, "Apply the Gateway, or correct its name."
                )
            elif not any(common_hosts(self._world, found, server, resource) for server in found.spec.servers):
                message = f"no host is in both this resource and a server of Gateway {gateway}"
                yield _warning(resource, field, "not-attached", message, "Compare the hosts of the two.")

    def _destination(
        self, resource: VirtualService, field: str, written: WrittenDestination
    ) -> Iterator[Problem]:
        found = istio.destination(self._world, resource, written, None)
        if isinstance(found, DestinationFault):
            yield _warning(resource, f"{field}.{found.field}", _NOT_FOUND, found.message, found.remedy)
        elif found.subset and not self._has_subset(found, resource.namespace):
            message = f"no DestinationRule gives {found.host} a subset {found.subset}; its requests are "
            yield _warning(
                resource,
                f"{field}.subset",
                _NOT_FOUND,
                f"{message}answered with 500",
                "Apply a DestinationRule with this subset, or correct the name.",
            )

    def _has_subset(self, destination: Destination, namespace: str) -> bool:
        policy = self._clusters.policy((destination.host, Scope(namespace)))
        return destination.subset in dict(policy.subsets)

    def _without_effect(self, resource: VirtualService) -> Iterator[Problem]:
        """Its hosts in the mesh that are no service, or for which another resource holds."""
        for index, host in enumerate(istio.written_hosts(self._world, resource)):
            service = self._world.service(host) if "*" not in host else None
            if service is None:
                if host.endswith(f".svc.{self._world.settings.cluster_domain}") and "*" not in host:
                    message = f"there is no service {host}"
                    remedy = "Apply the service, or correct the host."
                    yield _warning(resource, f"spec.hosts[{index}]", _NOT_FOUND, message, remedy)
                continue
            attached = [
                self._hosts.attached((host, port.number, Scope(resource.namespace))) for port in service.ports
            ]
            routes = [key for each in attached for key in each.http_routes]
            others = [
                each.virtual_service
                for each in attached
                if each.virtual_service is not None and each.virtual_service != resource.key
            ]
            if routes or others:
                first = (routes or others)[0]
                message = f"{first} holds for {host}; this resource has no effect on it in the mesh"
                remedy = "Write all routes of one host in one resource, in one language."
                yield _warning(resource, f"spec.hosts[{index}]", "overruled", message, remedy)

    def _destination_rule(self, rule: DestinationRule) -> Iterator[Problem]:
        host = rule_host(self._world, rule)
        if "*" in host:
            return
        service = self._world.service(host)
        if service is None:
            message = f"there is no service {host}"
            remedy = "Apply the service, or correct the host."
            yield _warning(rule, "spec.host", _NOT_FOUND, message, remedy)
            return
        for index, subset in enumerate(rule.spec.subsets):
            labels = tuple(sorted({*(service.selector or ()), *subset.labels.items()}))
            if service.selector is not None and not self._world.selected(service.namespace, labels):
                message = f"no workload behind {host} has the labels of subset {subset.name}"
                remedy = "Compare them with the labels of the pod templates."
                yield _warning(rule, f"spec.subsets[{index}].labels", "selects-nothing", message, remedy)

    def _istio_gateway(self, gateway: IstioGateway) -> Iterator[Problem]:
        proxies = [
            proxy
            for proxy in self._world.gateways()
            if any(each.key == gateway.key for each in gateways_of(self._world, proxy))
        ]
        if not proxies:
            message = "no gateway's proxy has these labels, so nobody serves this Gateway"
            remedy = "Write selector: {istio: ingressgateway}."
            yield _warning(gateway, "spec.selector", "selects-nothing", message, remedy)
        for index, server in enumerate(gateway.spec.servers):
            field = f"spec.servers[{index}]"
            for proxy in proxies if is_terminated(server) else ():
                wrong = certificate_fault(self._world, proxy.namespace, secret_name(server))
                if wrong:
                    remedy = f"Apply a Secret of type kubernetes.io/tls in namespace {proxy.namespace}."
                    yield _warning(
                        gateway, f"{field}.tls.credentialName", "invalid-certificate", wrong, remedy
                    )
            number = server.port.number
            for proxy in proxies:
                first = self._first_at(proxy, number)
                if first is not None and is_plain_http(first[1]) != is_plain_http(server):
                    message = (
                        f"port {number} is {first[1].port.protocol} in Gateway {first[0].namespace}/"
                        f"{first[0].name}, which is older; this server is not served"
                    )
                    remedy = "Give plain HTTP and everything else ports of their own."
                    yield _warning(gateway, f"{field}.port", "listener-conflict", message, remedy)

    def _first_at(self, proxy: Workload, port: int) -> tuple[IstioGateway, Server] | None:
        """The server that decides what a port of a gateway's proxy is."""
        for gateway in gateways_of(self._world, proxy):
            for server in gateway.spec.servers:
                if server.port.number == port:
                    return gateway, server
        return None


def _warning(resource: Resource[Any], field: str, code: str, message: str, remedy: str) -> Problem:
    return Problem(resource.key, field, code, Severity.WARNING, message, remedy)


def _info(resource: Resource[Any], field: str, code: str, message: str, remedy: str) -> Problem:
    return Problem(resource.key, field, code, Severity.INFO, message, remedy)
