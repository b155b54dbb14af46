"""Gateways of the Gateway API: which of their listeners can serve, and which routes are bound to them.

Read by `gateway.py`, which builds what is served, and by `status.py`, which says why the rest is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.policy.certificate import certificate_fault
from tulle.mesh.route.attachment import GRPC_ROUTE, HTTP_ROUTE, ROUTES, Attachments, RouteResource
from tulle.mesh.route.common import age, intersection
from tulle.mesh.route.grant import permitted
from tulle.mesh.world import World
from tulle.model.gateway_api import GatewaySpec, Listener, ParentReference
from tulle.model.resource import Key, Resource

GatewayResource = Resource[GatewaySpec]

_SERVED = ("HTTP", "HTTPS")
_NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that every namespace has by itself (Kubernetes, "Well-known labels")."""


@dataclass(frozen=True, slots=True)
class ListenerState:
    """One listener, with what keeps it from serving. Reasons are those of the specification."""

    index: int
    listener: Listener
    conflict: str = ""
    """`HostnameConflict` or `ProtocolConflict`"""
    supported: bool = True
    """Whether its protocol is served."""
    kinds: tuple[tuple[str, str], ...] = ()
    """(group, kind) of the routes that it takes."""
    unknown_kinds: bool = False
    """It also asks for kinds that nobody serves."""
    secrets: tuple[str, ...] = ()
    """`NAMESPACE/NAME` of the certificates that can be used."""
    secret_reason: str = ""
    """`InvalidCertificateRef` or `RefNotPermitted`: of the first certificate that cannot be used."""
    secret_message: str = ""

    @property
    def protocol(self) -> str:
        return self.listener.protocol.upper()

    @property
    def hostname(self) -> str:
        """`*` for any."""
        return self.listener.hostname or "*"

    @property
    def conflict_message(self) -> str:
        """What keeps it from sharing its port."""
        match self.conflict:
            case "ProtocolConflict":
                return f"another listener on port {self.listener.port} has another protocol"
            case "HostnameConflict":
                return f"another listener on port {self.listener.port} has the same hostname"
            case _:
                return ""

    @property
    def serves(self) -> bool:
        """Whether the gateway listens for it: HTTPS needs a certificate."""
        return self.supported and not self.conflict and bool(self.protocol == "HTTP" or self.secrets)


@dataclass(frozen=True, slots=True)
class Bound:
    """What became of one parentRef. `reason` is the specification's for the Accepted condition."""

    reason: str
    listeners: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """Index of each listener that takes the route, with the host names that it is served under there."""


# -- listeners --------------------------------------------------------------------------------------


def listener_states(world: World, gateway: GatewayResource) -> tuple[ListenerState, ...]:
    """The listeners in the order in which they are written."""
    return tuple(_state(world, gateway, index) for index in range(len(gateway.spec.listeners)))


def _state(world: World, gateway: GatewayResource, index: int) -> ListenerState:
    listener = gateway.spec.listeners[index]
    supported = listener.protocol.upper() in _SERVED
    asked = [(kind.group, kind.kind) for kind in listener.allowed_routes.kinds]
    kinds = tuple(kind for kind in dict.fromkeys(asked or ROUTES) if supported and kind in ROUTES)
    secrets: list[str] = []
    reason = message = ""
    if listener.protocol == "HTTPS" and listener.tls is None:
        reason, message = "InvalidCertificateRef", "protocol HTTPS needs tls with certificateRefs"
    if listener.tls is not None and listener.tls.mode == "Terminate":
        for ref in listener.tls.certificate_refs:
            namespace = ref.namespace or gateway.namespace
            fault = ("", "")
            if (ref.group, ref.kind) != ("", "Secret"):
                fault = ("InvalidCertificateRef", f"{ref.kind} ({ref.group or 'core'}) is not a Secret")
            elif not permitted(world, gateway.key, Key("", "Secret", namespace, ref.name)):
                fault = ("RefNotPermitted", f"no ReferenceGrant in namespace {namespace} permits it")
            elif wrong := certificate_fault(world, namespace, ref.name):
                fault = ("InvalidCertificateRef", wrong)
            if fault[0]:
                reason, message = (reason, message) if reason else fault
            else:
                secrets.append(f"{namespace}/{ref.name}")
    return ListenerState(
        index=index,
        listener=listener,
        conflict=_conflict(gateway.spec.listeners, index),
        supported=supported,
        kinds=kinds,
        unknown_kinds=any(kind not in ROUTES for kind in asked),
        secrets=tuple(secrets),
        secret_reason=reason,
        secret_message=message,
    )


def _conflict(listeners: tuple[Listener, ...], index: int) -> str:
    """Listeners on one port must have one protocol and distinct host names (`GatewaySpec.listeners`)."""
    mine = listeners[index]
    others = [each for each in listeners if each is not mine and each.port == mine.port]
    groups = {"HTTPS": "TLS"}  # both are told apart by SNI, and so may share a port
    protocol = mine.protocol.upper()
    group = groups.get(protocol, protocol)
    if any(groups.get(each.protocol.upper(), each.protocol.upper()) != group for each in others):
        return "ProtocolConflict"
    if any((each.hostname or "") == (mine.hostname or "") for each in others):
        return "HostnameConflict"
    return ""


# -- routes -----------------------------------------------------------------------------------------


def bind(
    world: World,
    attachments: Attachments,
    gateway: GatewayResource,
    route: RouteResource,
    ref: ParentReference,
) -> Bound:
    """To which listeners of this gateway a route is bound by one of its parentRefs."""
    found = _bind(world, gateway, route, ref)
    refused = _refused(world, attachments, gateway)
    left = tuple(each for each in found.listeners if (each[0], route.key) not in refused)
    if found.listeners and not left:
        return Bound("Conflicted")
    return Bound(found.reason, left)


def _bind(world: World, gateway: GatewayResource, route: RouteResource, ref: ParentReference) -> Bound:
    named = [
        state
        for state in listener_states(world, gateway)
        if ref.section_name in (None, state.listener.name) and ref.port in (None, state.listener.port)
    ]
    if not named:
        return Bound("NoMatchingParent")
    kind = (route.key.group, route.key.kind)
    allowing = [state for state in named if kind in state.kinds and _allows(world, gateway, state, route)]
    if not allowing:
        return Bound("NotAllowedByListeners")
    found = [(state.index, _hostnames(state, route)) for state in allowing]
    found = [(index, hostnames) for index, hostnames in found if hostnames]
    return Bound("Accepted", tuple(found)) if found else Bound("NoMatchingListenerHostname")


def _refused(world: World, attachments: Attachments, gateway: GatewayResource) -> frozenset[tuple[int, Key]]:
    """The routes that a listener does not take (index, key): of an HTTPRoute and a GRPCRoute with a host name
    in common only the older one holds (`GRPCRouteSpec.hostnames`)."""
    parent = (gateway.key.group, gateway.key.kind, gateway.namespace, gateway.name)
    routes = [attachments.routes(kind, parent) for _, kind in (HTTP_ROUTE, GRPC_ROUTE)]
    if not all(routes):
        return frozenset()
    taken: list[tuple[int, str, str]] = []
    refused: set[tuple[int, Key]] = set()
    for route in sorted((*routes[0], *routes[1]), key=age):
        kind = route.key.kind
        found = {
            each
            for ref in route.spec.parent_refs
            if is_parent(ref, route, gateway.key)
            for each in _bind(world, gateway, route, ref).listeners
        }
        for index, hostnames in found:
            if any(
                at == index and other != kind and intersection(name, hostname) is not None
                for at, other, name in taken
                for hostname in hostnames
            ):
                refused.add((index, route.key))
            else:
                taken += ((index, kind, hostname) for hostname in hostnames)
    return frozenset(refused)


def bindings(
    world: World, attachments: Attachments, gateway: GatewayResource
) -> dict[int, dict[Key, tuple[str, ...]]]:
    """For each listener by its index: the routes that are bound to it, with their host names there."""
    found: dict[int, dict[Key, tuple[str, ...]]] = {}
    key = gateway.key
    refused = _refused(world, attachments, gateway)
    parent = (key.group, key.kind, key.namespace, key.name)
    for route in (route for _, kind in ROUTES for route in attachments.routes(kind, parent)):
        for ref in route.spec.parent_refs:
            if not is_parent(ref, route, key):
                continue
            for index, hostnames in _bind(world, gateway, route, ref).listeners:
                if (index, route.key) in refused:
                    continue
                bound = found.setdefault(index, {})
                bound[route.key] = tuple(dict.fromkeys((*bound.get(route.key, ()), *hostnames)))
    return found


def is_parent(ref: ParentReference, route: RouteResource, gateway: Key) -> bool:
    """Whether a parentRef means this gateway."""
    meant = Key(ref.group, ref.kind, ref.namespace or route.namespace, ref.name)
    return meant == gateway


def _allows(world: World, gateway: GatewayResource, state: ListenerState, route: RouteResource) -> bool:
    """Whether a listener takes routes of this namespace (`AllowedRoutes.namespaces`)."""
    namespaces = state.listener.allowed_routes.namespaces
    match namespaces.from_:
        case "All":
            return True
        case "Same":
            return route.namespace == gateway.namespace
        case "Selector":
            written = world.resource(Key("", "Namespace", "", route.namespace))
            labels = {_NAMESPACE_NAME: route.namespace}
            labels |= written.metadata.labels if written is not None else {}
            return namespaces.selector is not None and namespaces.selector.selects(labels)


def _hostnames(state: ListenerState, route: RouteResource) -> tuple[str, ...]:
    """The host names that the listener and the route have in common (`HTTPRouteSpec.hostnames`)."""
    wanted = route.spec.hostnames or (state.hostname,)
    common = (intersection(state.hostname, hostname) for hostname in wanted)
    return tuple(dict.fromkeys(hostname for hostname in common if hostname is not None))
