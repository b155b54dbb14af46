"""The status of the Gateway API's kinds: GatewayClass, Gateway, routes.

Values as the specification writes them, without `lastTransitionTime`: there is no clock here, the
composition root adds it when a condition changes. Read by the composition root.
"""

from __future__ import annotations

from tulle.kit.derived import Derived
from tulle.mesh.ingress import CONTROLLER, workload_name
from tulle.mesh.route.attachment import ALL_ROUTES, GATEWAY, AnyRoute, Attachments, GatewayResource
from tulle.mesh.route.binding import bindings
from tulle.mesh.route.listener_state import ListenerState, listener_states
from tulle.mesh.route.parent import Verdict, verdict
from tulle.mesh.route.route_rule import faults
from tulle.mesh.world import World
from tulle.model import gateway_api
from tulle.model.gateway_api import GatewayClassSpec, ParentReference
from tulle.model.resource import Key, Resource

GATEWAY_CLASS = (gateway_api.GROUP, "GatewayClass")

Json = dict[str, object]


class StatusCells:
    """The derived values of status."""

    def __init__(self, world: World, attachments: Attachments) -> None:
        self._world = world
        self._attachments = attachments
        self.status: Derived[Key, Json | None] = Derived(world.graph, self._make, "status")

    def _make(self, key: Key) -> Json | None:
        """The status of a resource; None for what has none, or is another controller's."""
        resource = self._world.resource(key)
        if resource is None:
            return None
        match (key.group, key.kind):
            case kind if kind in ALL_ROUTES:
                return _of_route(self._world, self._attachments, resource)
            case kind if kind == GATEWAY:
                return _of_gateway(self._world, self._attachments, resource)
            case kind if kind == GATEWAY_CLASS:
                return _of_class(resource)
            case _:
                return None


def _condition(kind: str, holds: bool, reason: str, message: str, generation: int) -> Json:
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
    }


# -- GatewayClass -----------------------------------------------------------------------------------


def _of_class(resource: Resource[GatewayClassSpec]) -> Json | None:
    if resource.spec.controller_name != CONTROLLER:
        return None
    generation = resource.metadata.generation
    return {"conditions": [_condition("Accepted", True, "Accepted", "served by this mesh", generation)]}


# -- routes -----------------------------------------------------------------------------------------


def _of_route(world: World, attachments: Attachments, route: AnyRoute) -> Json:
    parents: list[Json] = []
    for ref in route.spec.parent_refs:
        said = verdict(world, attachments, route, ref)
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
    found = [fault for _, fault in faults(world, route, (ref.group, ref.kind) == GATEWAY)]
    message = "; ".join(dict.fromkeys(fault.message for fault in found))
    reason = found[0].reason if found else "ResolvedRefs"
    return [
        _condition("Accepted", said.accepted, said.reason, said.message, generation),
        _condition("ResolvedRefs", not found, reason, message, generation),
    ]


# -- Gateway ----------------------------------------------------------------------------------------


def _of_gateway(world: World, attachments: Attachments, gateway: GatewayResource) -> Json | None:
    if not world.handles_class(gateway.spec.gateway_class_name):
        return None
    generation = gateway.metadata.generation
    states = listener_states(world, gateway)
    bound = bindings(world, attachments, gateway)
    proxy = world.workload((gateway.namespace, workload_name(gateway.name)))
    addresses = proxy.addresses if proxy is not None else ()
    wrong = [state.listener.name for state in states if not state.serves]
    message = f"not served: {', '.join(wrong)}" if wrong else ""
    accepted = len(wrong) < len(states)
    if not addresses:
        programmed = _condition("Programmed", False, "AddressNotAssigned", "no address is left", generation)
    elif not accepted:
        programmed = _condition("Programmed", False, "Invalid", message, generation)
    else:
        programmed = _condition("Programmed", True, "Programmed", message, generation)
    return {
        "addresses": [{"type": "IPAddress", "value": address} for address in addresses],
        "conditions": [
            _condition(
                "Accepted", accepted, "ListenersNotValid" if wrong else "Accepted", message, generation
            ),
            programmed,
        ],
        "listeners": [
            {
                "name": state.listener.name,
                "supportedKinds": [{"group": group, "kind": kind} for group, kind in state.kinds],
                "attachedRoutes": len(bound.get(state.index, {})),
                "conditions": _listener_conditions(state, states, generation),
            }
            for state in states
        ],
    }


def _listener_conditions(
    state: ListenerState, states: tuple[ListenerState, ...], generation: int
) -> list[Json]:
    if not state.supported:
        accepted = (False, "UnsupportedProtocol", f"{state.listener.protocol} is not served")
    elif state.conflict:
        accepted = (False, state.conflict, state.conflict_message)
    else:
        accepted = (True, "Accepted", "")
    resolved = (True, "ResolvedRefs", "")
    if state.secret_reason:
        resolved = (False, state.secret_reason, state.secret_message)
    elif state.unknown_kinds:
        resolved = (False, "InvalidRouteKinds", state.kinds_message)
    programmed = (True, "Programmed", "")
    if not state.serves:
        programmed = (False, "Invalid", accepted[2] or resolved[2])
    conflicted = (bool(state.conflict), state.conflict or "NoConflicts", state.conflict_message)
    conditions = [
        _condition("Accepted", *accepted, generation),
        _condition("Programmed", *programmed, generation),
        _condition("ResolvedRefs", *resolved, generation),
        _condition("Conflicted", *conflicted, generation),
    ]
    if any(state.overlaps(other) for other in states):
        message = "another listener on this port has a certificate for some of these host names"
        conditions.append(
            _condition("OverlappingTLSConfig", True, "OverlappingHostnames", message, generation)
        )
    return conditions
