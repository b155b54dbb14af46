"""The status of Gateways and ListenerSets, with those of their listeners. Read by `status.py`."""

from __future__ import annotations

from tulle.mesh.declaration import LISTENER_SET
from tulle.mesh.gateway.deployment import (
    ADDRESS,
    missed_addresses,
    unknown_parameters,
    unsupported_addresses,
    workload_name,
)
from tulle.mesh.gateway.listener_set import ListenerSet
from tulle.mesh.policy.gateway_tls import client_certificate_fault, is_insecure
from tulle.mesh.route.attachment import GatewayResource
from tulle.mesh.route.gateway_api.binding import BindingCells
from tulle.mesh.route.gateway_api.listener_state import ListenerState, gateway_of, of_parent
from tulle.mesh.status.condition import Json, condition
from tulle.mesh.world import World

_States = tuple[ListenerState, ...]
_Said = tuple[bool, str, str]
"""Whether a condition holds, its reason and its message."""


def gateway_status(world: World, cells: BindingCells, gateway: GatewayResource) -> Json | None:
    """None for a Gateway of another controller."""
    if not world.handles_class(gateway.spec.gateway_class_name):
        return None
    generation = gateway.metadata.generation
    states = cells.states(gateway)
    own = of_parent(states, gateway.key)
    infrastructure = gateway.spec.infrastructure
    unknown = unknown_parameters(infrastructure.parameters_ref) if infrastructure is not None else ""
    accepted = (False, "InvalidParameters", unknown) if unknown else _accepted(own)
    foreign = [gateway.spec.addresses[index].type for index in unsupported_addresses(gateway.spec)]
    if foreign:
        accepted = (False, "UnsupportedAddress", f"a gateway has no address of type {', '.join(foreign)}")
    proxy = world.workload((gateway.namespace, workload_name(gateway.name)))
    addresses = proxy.addresses if proxy is not None else ()
    missed = [gateway.spec.addresses[index].value for index in missed_addresses(gateway.spec, addresses)]
    if not accepted[0]:
        programmed = (False, "Invalid", accepted[2])
    elif not addresses:
        programmed = (False, "AddressNotAssigned", "no address is left")
    elif missed:
        programmed = (False, "AddressNotUsable", f"it does not have {', '.join(map(str, missed))}")
    else:
        programmed = (True, "Programmed", accepted[2])
    conditions = [
        condition("Accepted", *accepted, generation),
        condition("Programmed", *programmed, generation),
        condition("ResolvedRefs", *_resolved(world, gateway, own), generation),
    ]
    if is_insecure(gateway.spec):
        message = "clients are let in whatever their certificate (AllowInsecureFallback)"
        conditions.append(
            condition("InsecureFrontendValidationMode", True, "ConfigurationChanged", message, generation)
        )
    status: Json = {
        "addresses": [{"type": ADDRESS, "value": address} for address in addresses],
        "conditions": conditions,
        "listeners": _listeners(cells, gateway, own, states, generation),
    }
    if gateway.spec.allowed_listeners is not None:
        sets = {state.owner for state in states if state.owner.kind == LISTENER_SET[1] and state.serves}
        status["attachedListenerSets"] = len(sets) if accepted[0] else 0
    return status


def listener_set_status(world: World, cells: BindingCells, listeners: ListenerSet) -> Json | None:
    """None where nobody knows whose it is: its Gateway does not exist, or is another controller's."""
    gateway = gateway_of(world, listeners)
    if gateway is None or not world.handles_class(gateway.spec.gateway_class_name):
        return None
    generation = listeners.metadata.generation
    states = cells.states(gateway)
    own = of_parent(states, listeners.key)
    if not own:
        refused = (False, "NotAllowed", "allowedListeners of the Gateway do not let this ListenerSet in")
        accepted = programmed = refused
    elif not _accepted(of_parent(states, gateway.key))[0]:
        message = "the Gateway is not accepted"
        accepted, programmed = (False, "ParentNotAccepted", message), (False, "ParentNotProgrammed", message)
    else:
        accepted = _accepted(own)
        programmed = (True, "Programmed", accepted[2]) if accepted[0] else accepted
    status: Json = {
        "conditions": [
            condition("Accepted", *accepted, generation),
            condition("Programmed", *programmed, generation),
        ]
    }
    if own:
        status["listeners"] = _listeners(cells, gateway, own, states, generation)
    return status


def _accepted(own: _States) -> _Said:
    """Whether a parent with these listeners is accepted: one that can be served is enough."""
    wrong = [state.listener.name for state in own if not state.serves]
    message = f"not served: {', '.join(wrong)}" if wrong else ""
    return len(wrong) < len(own), "ListenersNotValid" if wrong else "Accepted", message


def _resolved(world: World, gateway: GatewayResource, own: _States) -> _Said:
    """Whether everything is there that the Gateway refers to, its listeners included
    (`GatewayConditionResolvedRefs`)."""
    fault = client_certificate_fault(world, gateway)
    if fault is not None:
        return False, fault.reason, fault.message
    wrong = [state.listener.name for state in own if not _listener_resolved(state)[0]]
    if wrong:
        return False, "ListenersNotResolved", f"something is missing for {', '.join(wrong)}"
    return True, "ResolvedRefs", ""


def _listener_resolved(state: ListenerState) -> _Said:
    if state.secret_reason:
        return False, state.secret_reason, state.secret_message
    fault = state.frontend.fault
    if fault is not None:
        return False, fault.reason, f"{fault.field}: {fault.message}"
    if state.unknown_kinds:
        return False, "InvalidRouteKinds", state.kinds_message
    return True, "ResolvedRefs", ""


def _listeners(
    cells: BindingCells, gateway: GatewayResource, own: _States, states: _States, generation: int
) -> list[Json]:
    bound = cells.bindings(gateway, own[0].owner) if own else {}
    return [
        {
            "name": state.listener.name,
            "supportedKinds": [{"group": group, "kind": kind} for group, kind in state.kinds],
            "attachedRoutes": len(bound.get(state.index, {})),
            "conditions": _listener_conditions(state, states, generation),
        }
        for state in own
    ]


def _listener_conditions(state: ListenerState, states: _States, generation: int) -> list[Json]:
    accepted: _Said = (True, "Accepted", "")
    if not state.supported:
        accepted = (False, "UnsupportedProtocol", f"{state.listener.protocol} is not served")
    elif state.conflict:
        accepted = (False, state.conflict, state.conflict_message)
    elif state.trusts_nobody:
        accepted = (False, "NoValidCACertificate", "no authority can be used to verify clients' certificates")
    resolved = _listener_resolved(state)
    programmed: _Said = (True, "Programmed", "")
    if not state.serves:
        # In a ListenerSet the conflict itself is the reason (`ListenerEntryConditionProgrammed`).
        in_set = state.owner.kind == LISTENER_SET[1]
        reason = state.conflict if in_set and state.conflict else "Invalid"
        programmed = (False, reason, accepted[2] or resolved[2])
    conflicted = (bool(state.conflict), state.conflict or "NoConflicts", state.conflict_message)
    conditions = [
        condition("Accepted", *accepted, generation),
        condition("Programmed", *programmed, generation),
        condition("ResolvedRefs", *resolved, generation),
        condition("Conflicted", *conflicted, generation),
    ]
    if any(state.overlaps(other) for other in states):
        message = "another listener on this port has a certificate for some of these host names"
        conditions.append(
            condition("OverlappingTLSConfig", True, "OverlappingHostnames", message, generation)
        )
    return conditions
