"""The status of BackendTLSPolicies, for each Gateway that sends to what they target, and of
XBackendTrafficPolicies, for each Service that they target. Read by `status.py`."""

from __future__ import annotations

from collections.abc import Iterator

from tulle.mesh.declaration import LISTENER_SET
from tulle.mesh.gateway.deployment import CONTROLLER
from tulle.mesh.policy.backend_tls import BackendTLSPolicy, holding, ref_faults, usable
from tulle.mesh.policy.backend_traffic import BackendTrafficPolicy, target_fault
from tulle.mesh.route.attachment import GATEWAY, UDP_ROUTE, Attachments
from tulle.mesh.route.gateway_api.listener_state import gateway_of
from tulle.mesh.status.condition import Json, condition
from tulle.mesh.world import World
from tulle.model.resource import Key

_MAXIMUM = 16
"""Of ancestors (`PolicyStatus.ancestors`)."""


def policy_status(world: World, attachments: Attachments, policy: BackendTLSPolicy) -> Json:
    """One entry for each Gateway of this mesh with a route to a Service that the policy targets."""
    conditions = _conditions(world, attachments, policy)
    ancestors = sorted(set(_gateways(world, attachments, policy)))[:_MAXIMUM]
    return {
        "ancestors": [
            {
                "ancestorRef": {
                    "group": key.group,
                    "kind": key.kind,
                    "namespace": key.namespace,
                    "name": key.name,
                },
                "controllerName": CONTROLLER,
                "conditions": conditions,
            }
            for key in ancestors
        ]
    }


def traffic_policy_status(world: World, attachments: Attachments, policy: BackendTrafficPolicy) -> Json:
    """One entry for each Service: it holds for whoever sends there, gateways and workloads."""
    generation = policy.metadata.generation
    ancestors: list[Json] = []
    for ref in policy.spec.target_refs:
        fault = target_fault(world, attachments, policy, ref)
        said = (True, "Accepted", "") if fault is None else (False, *fault)
        ancestors.append(
            {
                "ancestorRef": {"group": ref.group, "kind": ref.kind, "name": ref.name},
                "controllerName": CONTROLLER,
                "conditions": [condition("Accepted", *said, generation)],
            }
        )
    return {"ancestors": ancestors}


def conflicted(attachments: Attachments, policy: BackendTLSPolicy) -> bool:
    """Whether other policies hold for everything that this one targets."""
    return not any(
        found is not None and found.key == policy.key
        for ref in policy.spec.target_refs
        for found in [holding(attachments, policy.namespace, ref.name, ref.section_name)]
    )


def _conditions(world: World, attachments: Attachments, policy: BackendTLSPolicy) -> list[Json]:
    generation = policy.metadata.generation
    faults = tuple(ref_faults(world, policy))
    message = "; ".join(fault.message for fault in faults)
    accepted = (True, "Accepted", "")
    if conflicted(attachments, policy):
        accepted = (False, "Conflicted", "an older policy holds for what this one targets")
    elif not usable(world, policy):
        known = policy.spec.validation.well_known_ca_certificates
        accepted = (False, "NoValidCACertificate", message)
        if known is not None:
            accepted = (False, "Invalid", f"{known} is not a set of authorities that is known")
    reason = faults[0].reason if faults else "ResolvedRefs"
    return [
        condition("Accepted", *accepted, generation),
        condition("ResolvedRefs", not faults, reason, message, generation),
    ]


def _gateways(world: World, attachments: Attachments, policy: BackendTLSPolicy) -> Iterator[Key]:
    for target in policy.spec.target_refs:
        for route in attachments.routes_to(policy.namespace, target.name):
            if (route.key.group, route.key.kind) == UDP_ROUTE:
                continue
            for ref in route.spec.parent_refs:
                key = Key(ref.group, ref.kind, ref.namespace or route.namespace, ref.name)
                gateway = world.resource(key)
                if (key.group, key.kind) == LISTENER_SET and gateway is not None:
                    gateway = gateway_of(world, gateway)
                elif (key.group, key.kind) != GATEWAY:
                    continue
                if gateway is not None and world.handles_class(gateway.spec.gateway_class_name):
                    yield gateway.key
