"""What becomes of a route at each of its parents.

Read by `status/status.py` for conditions and by `review/review.py` for findings.
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.declaration import LISTENER_SET
from tulle.mesh.gateway.listener_set import ListenerSet
from tulle.mesh.route.attachment import (
    GATEWAY,
    GRPC_ROUTE,
    HTTP_ROUTE,
    ROUTES,
    TCP_ROUTE,
    TLS_ROUTE,
    AnyRoute,
    Attachments,
    GatewayResource,
)
from tulle.mesh.route.gateway_api.binding import BindingCells
from tulle.mesh.route.gateway_api.listener_state import gateway_of, of_parent
from tulle.mesh.route.gateway_api.ranking import names_port, parent_hosts
from tulle.mesh.service.declared import SERVICE_ENTRY, ServicePort
from tulle.mesh.view import Protocol
from tulle.mesh.world import World
from tulle.model.gateway_api import ParentReference
from tulle.model.resource import Key

_BY_STRENGTH = (GRPC_ROUTE, HTTP_ROUTE, TLS_ROUTE, TCP_ROUTE)
"""Of several kinds of routes for one port of a Service the first holds (GEP-1294)."""

_REFUSALS = {
    "NoMatchingParent": "no listener of the Gateway has this sectionName or port",
    "NotAllowedByListeners": "allowedRoutes of the Gateway's listeners do not let this route in",
    "Conflicted": "an older route of another kind has a host name of this one, and the two are not merged",
    "NoMatchingListenerHostname": "no host name is in both the route's hostnames and a listener's hostname",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a parent takes a route. `reason` is the specification's for the Accepted condition."""

    reason: str
    message: str = ""
    missing: bool = False
    """The parent does not exist."""

    @property
    def accepted(self) -> bool:
        return self.reason == "Accepted"


def verdict(
    world: World, attachments: Attachments, cells: BindingCells, route: AnyRoute, ref: ParentReference
) -> Verdict | None:
    """What the parent of a parentRef says; None if it is somebody else's."""
    namespace = ref.namespace or route.namespace
    if (ref.group, ref.kind) == GATEWAY:
        return _of_gateway(world, cells, route, ref, namespace)
    if (ref.group, ref.kind) == LISTENER_SET:
        return _of_listener_set(world, cells, route, ref, namespace)
    if (ref.group, ref.kind) in (("", "Service"), SERVICE_ENTRY):
        return _of_service(world, attachments, route, ref, namespace)
    return Verdict("NoMatchingParent", f"{ref.kind} ({ref.group or 'core'}) cannot be the parent of a route")


def _of_gateway(
    world: World, cells: BindingCells, route: AnyRoute, ref: ParentReference, namespace: str
) -> Verdict | None:
    gateway: GatewayResource | None = world.resource(Key(*GATEWAY, namespace, ref.name))
    if gateway is None:
        return Verdict("NoMatchingParent", f"there is no Gateway {namespace}/{ref.name}", missing=True)
    if not world.handles_class(gateway.spec.gateway_class_name):
        return None
    bound = cells.bind(gateway, gateway.key, route, ref)
    return Verdict(bound.reason, _REFUSALS.get(bound.reason, ""))


def _of_listener_set(
    world: World, cells: BindingCells, route: AnyRoute, ref: ParentReference, namespace: str
) -> Verdict | None:
    listeners: ListenerSet | None = world.resource(Key(*LISTENER_SET, namespace, ref.name))
    if listeners is None:
        return Verdict("NoMatchingParent", f"there is no ListenerSet {namespace}/{ref.name}", missing=True)
    gateway = gateway_of(world, listeners)
    if gateway is None or not world.handles_class(gateway.spec.gateway_class_name):
        return None
    if not of_parent(cells.states(gateway), listeners.key):
        return Verdict("NoMatchingParent", f"the Gateway does not take in ListenerSet {namespace}/{ref.name}")
    bound = cells.bind(gateway, listeners.key, route, ref)
    return Verdict(bound.reason, _REFUSALS.get(bound.reason, ""))


def _of_service(
    world: World, attachments: Attachments, route: AnyRoute, ref: ParentReference, namespace: str
) -> Verdict:
    named_parent = f"{ref.kind} {namespace}/{ref.name}"
    found = [world.service(host) for host in parent_hosts(world, ref, route.namespace)]
    services = [each for each in found if each is not None]
    if not services:
        return Verdict("NoMatchingParent", f"there is no {named_parent}", missing=True)
    named = [
        (service, port)
        for service in services
        for port in service.ports
        if names_port(ref, route.namespace, service, port)
    ]
    if not named:
        return Verdict("NoMatchingParent", f"{named_parent} has no such port")
    kind = (route.key.group, route.key.kind)
    fitting = [(service, port) for service, port in named if _may_hold(kind, port)]
    if not fitting:
        spoken = (
            "does not speak HTTP there" if kind in ROUTES else "speaks HTTP there, which HTTPRoutes are for"
        )
        return Verdict("NoMatchingParent", f"{named_parent} {spoken}")
    for stronger in _BY_STRENGTH[: _BY_STRENGTH.index(kind)]:
        parent = (ref.group, ref.kind, namespace, ref.name)
        others = [
            each for each in attachments.routes(stronger[1], parent) if each.namespace == route.namespace
        ]
        if all(
            _may_hold(stronger, port)
            and any(
                names_port(other, each.namespace, service, port)
                for each in others
                for other in each.spec.parent_refs
            )
            for service, port in fitting
        ):
            message = f"a {stronger[1]} for {named_parent} stands before this one (GEP-1294)"
            return Verdict("Conflicted", message)
    return Verdict("Accepted")


def _may_hold(kind: tuple[str, str], port: ServicePort) -> bool:
    """Whether routes of a kind have a meaning at a port. What nobody declared may turn out to be anything."""
    return port.protocol is Protocol.DETECT or port.protocol.is_http == (kind in ROUTES)
