"""The status of the Gateway API's kinds and of Ingress; of gateways see `gateway.py`.

Values as the specification writes them, without `lastTransitionTime`: there is no clock here, the
composition root adds it when a condition changes. Read by the composition root.
"""

from __future__ import annotations

from tulle.kit.derived import Derived
from tulle.mesh.declaration import LISTENER_SET
from tulle.mesh.gateway.deployment import CONTROLLER, IMPLIED_CLASSES, unknown_parameters
from tulle.mesh.gateway.ingress_class import INGRESS, Ingress, is_ours
from tulle.mesh.route.attachment import (
    ALL_ROUTES,
    BACKEND_TLS_POLICY,
    BACKEND_TRAFFIC_POLICY,
    GATEWAY,
    GATEWAY_CLASS,
    AnyRoute,
    Attachments,
)
from tulle.mesh.route.gateway_api.binding import BindingCells
from tulle.mesh.route.gateway_api.parent import Verdict, verdict
from tulle.mesh.route.gateway_api.rule import faults
from tulle.mesh.route.ingress import HTTP_PORT, HTTPS_PORT, serves_ingress
from tulle.mesh.status.condition import Json, condition
from tulle.mesh.status.feature import SUPPORTED_FEATURES
from tulle.mesh.status.gateway import gateway_status, listener_set_status
from tulle.mesh.status.policy import policy_status, traffic_policy_status
from tulle.mesh.world import World
from tulle.model.gateway_api import GatewayClassSpec, ParentReference
from tulle.model.resource import Key, Resource


class StatusCells:
    """The derived values of status."""

    def __init__(self, world: World, attachments: Attachments, cells: BindingCells) -> None:
        self._world = world
        self._attachments = attachments
        self._cells = cells
        self.status: Derived[Key, Json | None] = Derived(world.graph, self._make, "status")

    def _make(self, key: Key) -> Json | None:
        """The status of a resource; None for what has none, or is another controller's."""
        resource = self._world.resource(key)
        if resource is None:
            implied = IMPLIED_CLASSES.get(key)
            return _of_class(implied) if implied is not None else None
        match (key.group, key.kind):
            case kind if kind in ALL_ROUTES:
                return _of_route(self._world, self._attachments, self._cells, resource)
            case kind if kind == GATEWAY:
                return gateway_status(self._world, self._cells, resource)
            case kind if kind == LISTENER_SET:
                return listener_set_status(self._world, self._cells, resource)
            case kind if kind == BACKEND_TLS_POLICY:
                return policy_status(self._world, self._attachments, resource)
            case kind if kind == BACKEND_TRAFFIC_POLICY:
                return traffic_policy_status(self._world, self._attachments, resource)
            case kind if kind == INGRESS:
                return _of_ingress(self._world, resource)
            case kind if kind == GATEWAY_CLASS:
                return _of_class(resource)
            case _:
                return None


# -- GatewayClass -----------------------------------------------------------------------------------


def _of_class(resource: Resource[GatewayClassSpec]) -> Json | None:
    if resource.spec.controller_name != CONTROLLER:
        return None
    unknown = unknown_parameters(resource.spec.parameters_ref)
    said = (False, "InvalidParameters", unknown) if unknown else (True, "Accepted", "served by this mesh")
    return {
        "conditions": [condition("Accepted", *said, resource.metadata.generation)],
        "supportedFeatures": [{"name": name} for name in SUPPORTED_FEATURES],
    }


# -- Ingress ----------------------------------------------------------------------------------------


def _of_ingress(world: World, ingress: Ingress) -> Json | None:
    """Where it is served (`IngressStatus.loadBalancer`)."""
    if not is_ours(world.declaration, ingress):
        return None
    ports: list[Json] = [{"port": HTTP_PORT, "protocol": "TCP"}]
    if any(tls.secret_name for tls in ingress.spec.tls):
        ports.append({"port": HTTPS_PORT, "protocol": "TCP"})
    served: list[Json] = [
        {"ip": address, "ports": ports}
        for proxy in world.gateways()
        if serves_ingress(proxy.labels)
        for address in proxy.addresses
    ]
    return {"loadBalancer": {"ingress": served}}


# -- routes -----------------------------------------------------------------------------------------


def _of_route(world: World, attachments: Attachments, cells: BindingCells, route: AnyRoute) -> Json:
    parents: list[Json] = []
    for ref in route.spec.parent_refs:
        said = verdict(world, attachments, cells, route, ref)
        if said is not None:
            parents.append(
                {
                    "parentRef": _reference(ref),
                    "controllerName": CONTROLLER,
                    "conditions": _route_conditions(world, route, ref, said),
                }
            )
    return {"parents": parents}


def _reference(ref: ParentReference) -> Json:
    """A parentRef as an API server gives it back: with its defaults, without what is not written."""
    return ref.model_dump(by_alias=True, exclude_none=True)


def _route_conditions(world: World, route: AnyRoute, ref: ParentReference, said: Verdict) -> list[Json]:
    generation = route.metadata.generation
    found = [fault for _, fault in faults(world, route, (ref.group, ref.kind) in (GATEWAY, LISTENER_SET))]
    message = "; ".join(dict.fromkeys(fault.message for fault in found))
    reason = found[0].reason if found else "ResolvedRefs"
    return [
        condition("Accepted", said.accepted, said.reason, said.message, generation),
        condition("ResolvedRefs", not found, reason, message, generation),
    ]
