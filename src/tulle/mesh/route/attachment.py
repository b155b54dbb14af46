"""Which written routes concern a host or a gateway: indexes over the resources.

A reader of one host's routes depends on the routes of that host alone, so that a change of one route
resolves nothing else again. Read by the languages' modules and by `gateway/gateway.py` and
`status/status.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tulle.kit.derived import Index
from tulle.mesh.name import qualify
from tulle.mesh.world import World
from tulle.model import gateway_api, istio
from tulle.model.gateway_api import (
    BackendTLSPolicySpec,
    BackendTrafficPolicySpec,
    GatewaySpec,
    GRPCRouteSpec,
    HTTPRouteSpec,
    TCPRouteSpec,
    TLSRouteSpec,
    UDPRouteSpec,
)
from tulle.model.istio import MESH, Delegate, DestinationRuleSpec, VirtualServiceSpec
from tulle.model.resource import Key, Resource

HTTP_ROUTE = (gateway_api.GROUP, "HTTPRoute")
GRPC_ROUTE = (gateway_api.GROUP, "GRPCRoute")
ROUTES = (HTTP_ROUTE, GRPC_ROUTE)
TLS_ROUTE = (gateway_api.GROUP, "TLSRoute")
TCP_ROUTE = (gateway_api.GROUP, "TCPRoute")
UDP_ROUTE = (gateway_api.GROUP, "UDPRoute")
ALL_ROUTES = (*ROUTES, TLS_ROUTE, TCP_ROUTE, UDP_ROUTE)
GATEWAY_CLASS = (gateway_api.GROUP, "GatewayClass")
GATEWAY = (gateway_api.GROUP, "Gateway")
BACKEND_TLS_POLICY = (gateway_api.GROUP, "BackendTLSPolicy")
BACKEND_TRAFFIC_POLICY = (gateway_api.EXPERIMENTAL_GROUP, "XBackendTrafficPolicy")
_POLICIES = (BACKEND_TLS_POLICY, BACKEND_TRAFFIC_POLICY)
VIRTUAL_SERVICE = (istio.GROUP, "VirtualService")
DESTINATION_RULE = (istio.GROUP, "DestinationRule")
ISTIO_GATEWAY = (istio.GROUP, "Gateway")

ForCallers = Resource[VirtualServiceSpec] | Resource[DestinationRuleSpec]
"""What may hold for some callers only."""
_FOR_CALLERS = (VIRTUAL_SERVICE, DESTINATION_RULE)

WILDCARD = "*"
"""The index key of all hosts with a wildcard: there are few, and each may concern any host."""

GatewayResource = Resource[GatewaySpec]
RouteResource = Resource[HTTPRouteSpec] | Resource[GRPCRouteSpec]
ConnectionRoute = Resource[TLSRouteSpec] | Resource[TCPRouteSpec]
DatagramRoute = Resource[UDPRouteSpec]
AnyRoute = RouteResource | ConnectionRoute | DatagramRoute
Parent = tuple[str, str, str, str]
"""group, kind, namespace and name of what a route attaches to"""


def bound_gateways(spec: VirtualServiceSpec, namespace: str) -> tuple[str, ...]:
    """`NAMESPACE/NAME` of the gateways that a VirtualService binds to; `mesh` for all sidecars."""
    return qualified_gateways(spec.gateways, namespace) or (MESH,)


def qualified_gateways(written: tuple[str, ...], namespace: str) -> tuple[str, ...]:
    """Gateways as a VirtualService of this namespace names them, as `NAMESPACE/NAME` or `mesh`."""
    return tuple(_qualified(each, namespace) for each in written)


def _qualified(gateway: str, namespace: str) -> str:
    if gateway == MESH or "/" in gateway:
        return gateway
    # NAME.NAMESPACE.svc... is how it was written before NAMESPACE/NAME (Istio, `resolveGatewayName`).
    name, *rest = gateway.split(".")
    return f"{rest[0] if rest else namespace}/{name}"


def delegate_key(delegate: Delegate, namespace: str) -> Key:
    """The VirtualService that a root of this namespace means."""
    return Key(*VIRTUAL_SERVICE, delegate.namespace or namespace, delegate.name)


class Attachments:
    """The indexes of one World."""

    def __init__(self, world: World) -> None:
        self._domain = world.settings.cluster_domain
        graph, resources = world.graph, world.resources
        self._by_parent: Index[tuple[str, Parent], Key, Resource[Any]] = Index(
            graph, resources, self._parents
        )
        self._by_backend: Index[tuple[str, str], Key, Resource[Any]] = Index(graph, resources, self._backends)
        self._policies: Index[tuple[str, str, str], Key, Resource[Any]] = Index(
            graph, resources, self._targets
        )
        self._by_host: Index[str, Key, Resource[Any]] = Index(graph, resources, self._virtual_service_hosts)
        self._by_gateway: Index[str, Key, Resource[Any]] = Index(graph, resources, self._gateways)
        self._by_delegate: Index[Key, Key, Resource[Any]] = Index(graph, resources, self._delegates)
        self._asking: Index[str, Key, Resource[Any]] = Index(graph, resources, self._asks)
        self._by_caller: Index[str, Key, Resource[Any]] = Index(graph, resources, self._callers)
        self._local: Index[str, Key, Resource[Any]] = Index(graph, resources, self._is_local)
        self._rules: Index[tuple[str, str], Key, Resource[Any]] = Index(graph, resources, self._rule_hosts)

    # -- reading ---------------------------------------------------------------------------------

    def routes(self, kind: str, parent: Parent) -> tuple[Resource[Any], ...]:
        """The routes of a kind (HTTPRoute, ...) that name this parent, accepted by it or not."""
        return self._by_parent.get((kind, parent))

    def routes_to(self, namespace: str, service: str) -> tuple[Resource[Any], ...]:
        """The routes of the Gateway API with a backendRef to this Service, permitted or not."""
        return self._by_backend.get((namespace, service))

    def backend_tls_policies(
        self, namespace: str, service: str
    ) -> tuple[Resource[BackendTLSPolicySpec], ...]:
        """The BackendTLSPolicies that target this Service."""
        return self._policies.get((BACKEND_TLS_POLICY[1], namespace, service))

    def backend_traffic_policies(
        self, namespace: str, service: str
    ) -> tuple[Resource[BackendTrafficPolicySpec], ...]:
        """The XBackendTrafficPolicies that target this Service."""
        return self._policies.get((BACKEND_TRAFFIC_POLICY[1], namespace, service))

    def virtual_services(self, host: str) -> tuple[Resource[VirtualServiceSpec], ...]:
        """The VirtualServices of the mesh that name this host; with `WILDCARD` those with any wildcard."""
        return self._by_host.get(host)

    def of_gateway(self, gateway: str) -> tuple[Resource[VirtualServiceSpec], ...]:
        """The VirtualServices that bind to the Istio Gateway `NAMESPACE/NAME`, or to the `mesh`."""
        return self._by_gateway.get(gateway)

    def of_caller(self, namespace: str) -> tuple[ForCallers, ...]:
        """What names this namespace of callers (`exportTo`, `sourceNamespace`)."""
        return self._by_caller.get(namespace)

    def roots(self, delegate: Key) -> tuple[Resource[VirtualServiceSpec], ...]:
        """The VirtualServices that delegate routes to this one."""
        return self._by_delegate.get(delegate)

    def asking(self) -> tuple[ForCallers, ...]:
        """What asks for labels of callers (`sourceLabels`, `workloadSelector`): few, if any."""
        return self._asking.get("")

    def local(self) -> tuple[Resource[DestinationRuleSpec], ...]:
        """The DestinationRules for which it matters where callers are."""
        return self._local.get("")

    def destination_rules(self, namespace: str, host: str) -> tuple[Resource[DestinationRuleSpec], ...]:
        """The DestinationRules of a namespace for this host; with `WILDCARD` those with any wildcard."""
        return self._rules.get((namespace, host))

    # -- the keys --------------------------------------------------------------------------------

    def _parents(self, key: Key, resource: Resource[Any]) -> Iterator[tuple[str, Parent]]:
        if (key.group, key.kind) in ALL_ROUTES:
            for parent in resource.spec.parent_refs:
                named = (parent.group, parent.kind, parent.namespace or key.namespace, parent.name)
                yield key.kind, named

    def _backends(self, key: Key, resource: Resource[Any]) -> Iterator[tuple[str, str]]:
        if (key.group, key.kind) in ALL_ROUTES:
            refs = (ref for rule in resource.spec.rules for ref in rule.backend_refs)
            yield from {
                (ref.namespace or key.namespace, ref.name)
                for ref in refs
                if (ref.group, ref.kind) == ("", "Service")
            }

    def _targets(self, key: Key, resource: Resource[Any]) -> Iterator[tuple[str, str, str]]:
        if (key.group, key.kind) in _POLICIES:
            spec: BackendTLSPolicySpec | BackendTrafficPolicySpec = resource.spec
            yield from {
                (key.kind, key.namespace, ref.name)
                for ref in spec.target_refs
                if (ref.group, ref.kind) == ("", "Service")
            }

    def _virtual_service_hosts(self, key: Key, resource: Resource[Any]) -> Iterator[str]:
        if (key.group, key.kind) == VIRTUAL_SERVICE:
            spec: VirtualServiceSpec = resource.spec
            if MESH in bound_gateways(spec, key.namespace):
                for host in spec.hosts:
                    yield from self._names(host, key.namespace)

    def _callers(self, key: Key, resource: Resource[Any]) -> Iterator[str]:
        if (key.group, key.kind) in _FOR_CALLERS:
            spec: VirtualServiceSpec | DestinationRuleSpec = resource.spec
            exported = {key.namespace if each == "." else each for each in spec.export_to} - {"*"}
            yield from exported
            if isinstance(spec, VirtualServiceSpec):
                yield from spec.source_namespaces - exported

    def _delegates(self, key: Key, resource: Resource[Any]) -> Iterator[Key]:
        if (key.group, key.kind) == VIRTUAL_SERVICE:
            spec: VirtualServiceSpec = resource.spec
            delegates = (route.delegate for route in spec.http if route.delegate is not None)
            yield from {delegate_key(each, key.namespace) for each in delegates}

    def _asks(self, key: Key, resource: Resource[Any]) -> Iterator[str]:
        if (key.group, key.kind) in _FOR_CALLERS and resource.spec.source_labels:
            yield ""

    def _is_local(self, key: Key, resource: Resource[Any]) -> Iterator[str]:
        if (key.group, key.kind) == DESTINATION_RULE and resource.spec.is_local:
            yield ""

    def _gateways(self, key: Key, resource: Resource[Any]) -> Iterator[str]:
        if (key.group, key.kind) == VIRTUAL_SERVICE:
            yield from bound_gateways(resource.spec, key.namespace)

    def _rule_hosts(self, key: Key, resource: Resource[Any]) -> Iterator[tuple[str, str]]:
        if (key.group, key.kind) == DESTINATION_RULE:
            spec: DestinationRuleSpec = resource.spec
            for name in self._names(spec.host, key.namespace):
                yield (key.namespace, name)

    def _names(self, host: str, namespace: str) -> Iterator[str]:
        """A name of two labels may be short for a service or a name of its own: both are kept."""
        if "*" in host:
            yield WILDCARD
            return
        written = host.lower().rstrip(".")
        yield written
        full = qualify(host, namespace, self._domain)
        if full != written:
            yield full
