"""What becomes of an HTTPRoute at each of its parents, and of what it refers to.

Read by `status.py` for conditions and by `review.py` for findings.
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.name import service_host
from tulle.mesh.route.attachment import GATEWAY
from tulle.mesh.route.binding import GatewayResource, HttpRoute, bind
from tulle.mesh.route.gateway_api import BackendFault, backend, names_port
from tulle.mesh.view import Protocol
from tulle.mesh.world import World
from tulle.model.gateway_api import ParentReference
from tulle.model.resource import Key

_REFUSALS = {
    "NoMatchingParent": "no listener of the Gateway has this sectionName or port",
    "NotAllowedByListeners": "allowedRoutes of the Gateway's listeners do not let this route in",
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


def verdict(world: World, route: HttpRoute, ref: ParentReference) -> Verdict | None:
    """What the parent of a parentRef says; None if it is somebody else's."""
    namespace = ref.namespace or route.namespace
    if (ref.group, ref.kind) == GATEWAY:
        return _of_gateway(world, route, ref, namespace)
    if (ref.group, ref.kind) == ("", "Service"):
        return _of_service(world, route, ref, namespace)
    return Verdict("NoMatchingParent", f"{ref.kind} ({ref.group or 'core'}) cannot be the parent of a route")


def _of_gateway(world: World, route: HttpRoute, ref: ParentReference, namespace: str) -> Verdict | None:
    gateway: GatewayResource | None = world.resource(Key(*GATEWAY, namespace, ref.name))
    if gateway is None:
        return Verdict("NoMatchingParent", f"there is no Gateway {namespace}/{ref.name}", missing=True)
    if not world.handles_class(gateway.spec.gateway_class_name):
        return None
    bound = bind(world, gateway, route, ref)
    return Verdict(bound.reason, _REFUSALS.get(bound.reason, ""))


def _of_service(world: World, route: HttpRoute, ref: ParentReference, namespace: str) -> Verdict:
    service = world.service(service_host(ref.name, namespace, world.settings.cluster_domain))
    if service is None:
        return Verdict("NoMatchingParent", f"there is no Service {namespace}/{ref.name}", missing=True)
    named = [port for port in service.ports if names_port(ref, route.namespace, service, port)]
    if not named:
        return Verdict("NoMatchingParent", f"Service {namespace}/{ref.name} has no such port")
    if not any(port.protocol.is_http or port.protocol is Protocol.DETECT for port in named):
        return Verdict("NoMatchingParent", f"Service {namespace}/{ref.name} does not speak HTTP there")
    return Verdict("Accepted")


def backend_faults(world: World, route: HttpRoute, at_gateway: bool) -> tuple[tuple[str, BackendFault], ...]:
    """Every backendRef that cannot be used, by its field. At a gateway a ReferenceGrant may be needed."""
    found: list[tuple[str, BackendFault]] = []
    for index, rule in enumerate(route.spec.rules):
        for number, ref in enumerate(rule.backend_refs):
            fault = backend(world, route.key, ref, at_gateway)
            if isinstance(fault, BackendFault):
                found.append((f"spec.rules[{index}].backendRefs[{number}].{fault.field}", fault))
    return tuple(found)
