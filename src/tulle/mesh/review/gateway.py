"""What is wrong with Gateways, ListenerSets and BackendTLSPolicies. Read by `review.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tulle.mesh.gateway.deployment import (
    ADDRESS,
    CONTROLLER,
    missed_addresses,
    unknown_parameters,
    unsupported_addresses,
    workload_name,
)
from tulle.mesh.gateway.listener_set import ListenerSet
from tulle.mesh.name import service_host
from tulle.mesh.policy.backend_tls import BackendTLSPolicy, ref_faults
from tulle.mesh.policy.backend_traffic import BackendTrafficPolicy, target_fault
from tulle.mesh.policy.gateway_tls import client_certificate_fault, frontend_faults
from tulle.mesh.problem import Problem, warning
from tulle.mesh.route.attachment import GATEWAY, Attachments, GatewayResource
from tulle.mesh.route.gateway_api.binding import BindingCells
from tulle.mesh.route.gateway_api.listener_state import ListenerState, gateway_of, of_parent
from tulle.mesh.status.policy import conflicted
from tulle.mesh.world import World
from tulle.model.gateway_api import GatewayClassSpec, LocalObjectReference, ParametersReference
from tulle.model.resource import Key, Resource

_NOT_FOUND = "reference-not-found"
CODES = {
    "BackendNotFound": _NOT_FOUND,
    "RefNotPermitted": "reference-not-permitted",
    "InvalidKind": "invalid-reference-kind",
    "InvalidCertificateRef": "invalid-certificate",
    "InvalidCACertificateRef": "invalid-certificate",
    "InvalidCACertificateKind": "invalid-reference-kind",
    "InvalidClientCertificateRef": "invalid-certificate",
}
"""The codes of findings for the specification's reasons of the condition ResolvedRefs."""


def review_gateway(world: World, cells: BindingCells, gateway: GatewayResource) -> Iterator[Problem]:
    """The problems of a Gateway and of its own listeners."""
    name = gateway.spec.gateway_class_name
    if not world.handles_class(name):
        if world.resource(Key(GATEWAY[0], "GatewayClass", "", name)) is None:
            yield warning(
                gateway,
                "spec.gatewayClassName",
                _NOT_FOUND,
                f"there is no GatewayClass {name}, so nobody serves this Gateway",
                "Write gatewayClassName: tulle, or a GatewayClass of this name.",
            )
        return
    infrastructure = gateway.spec.infrastructure
    if infrastructure is not None:
        yield from _parameters(gateway, "spec.infrastructure.parametersRef", infrastructure.parameters_ref)
    for state in of_parent(cells.states(gateway), gateway.key):
        yield from _listener(gateway, state)
    for index in unsupported_addresses(gateway.spec):
        message = f"a gateway has no address of type {gateway.spec.addresses[index].type}; it is not served"
        remedy = f"Write type: {ADDRESS}, or remove it."
        yield warning(gateway, f"spec.addresses[{index}].type", "unsupported-address", message, remedy)
    proxy = world.workload((gateway.namespace, workload_name(gateway.name)))
    addresses = proxy.addresses if proxy is not None else ()
    for index in missed_addresses(gateway.spec, addresses):
        message = (
            f"{gateway.spec.addresses[index].value} is one too many, or no free address of "
            f"{world.settings.workload_cidr}; the gateway has {', '.join(addresses) or 'none'}"
        )
        remedy = "Write one free address of this network."
        yield warning(gateway, f"spec.addresses[{index}].value", "address-not-honoured", message, remedy)
    for fault in frontend_faults(world, gateway):
        remedy = "Refer to a ConfigMap with the authorities' certificates as ca.crt."
        yield warning(gateway, fault.field, CODES[fault.reason], fault.message, remedy)
    own = client_certificate_fault(world, gateway)
    if own is not None:
        message = f"{own.message}; backends are shown no certificate"
        remedy = "Apply a Secret of type kubernetes.io/tls, with permission to refer to it."
        yield warning(gateway, own.field, CODES[own.reason], message, remedy)


def review_class(written: Resource[GatewayClassSpec]) -> Iterator[Problem]:
    """The problems of a GatewayClass of ours."""
    if written.spec.controller_name == CONTROLLER:
        yield from _parameters(written, "spec.parametersRef", written.spec.parameters_ref)


def _parameters(
    owner: Resource[Any], field: str, ref: LocalObjectReference | ParametersReference | None
) -> Iterator[Problem]:
    if unknown := unknown_parameters(ref):
        message = f"{unknown}; nobody serves it"
        yield warning(owner, field, "invalid-reference-kind", message, "Remove parametersRef.")


def review_listener_set(world: World, cells: BindingCells, listeners: ListenerSet) -> Iterator[Problem]:
    """The problems of a ListenerSet and of its listeners."""
    ref = listeners.spec.parent_ref
    gateway = gateway_of(world, listeners)
    if gateway is None:
        message = f"there is no Gateway {ref.namespace or listeners.namespace}/{ref.name}"
        if (ref.group, ref.kind) != GATEWAY:
            message = f"{ref.kind} ({ref.group or 'core'}) cannot take in listeners"
        remedy = "Apply the Gateway, or correct the parentRef."
        yield warning(listeners, "spec.parentRef", _NOT_FOUND, message, remedy)
        return
    if not world.handles_class(gateway.spec.gateway_class_name):
        return
    states = of_parent(cells.states(gateway), listeners.key)
    if not states:
        message = f"Gateway {gateway.namespace}/{gateway.name} does not let this ListenerSet in"
        remedy = "Write allowedListeners in the Gateway."
        yield warning(listeners, "spec.parentRef", "not-attached", message, remedy)
    for state in states:
        yield from _listener(listeners, state)


def review_policy(world: World, attachments: Attachments, policy: BackendTLSPolicy) -> Iterator[Problem]:
    """The problems of a BackendTLSPolicy."""
    for index, ref in enumerate(policy.spec.target_refs):
        field = f"spec.targetRefs[{index}]"
        if (ref.group, ref.kind) != ("", "Service"):
            message = f"{ref.kind} ({ref.group or 'core'}) is not a kind that a gateway sends to"
            yield warning(policy, field, "invalid-reference-kind", message, "Refer to a Service.")
            continue
        service = world.service(service_host(ref.name, policy.namespace, world.settings.cluster_domain))
        if service is None:
            message = f"there is no Service {policy.namespace}/{ref.name}"
            yield warning(policy, field, _NOT_FOUND, message, "Apply the Service, or correct the name.")
        elif ref.section_name and ref.section_name not in {port.name for port in service.ports}:
            message = f"Service {policy.namespace}/{ref.name} has no port called {ref.section_name}"
            yield warning(policy, f"{field}.sectionName", _NOT_FOUND, message, "Name one of its ports.")
    if conflicted(attachments, policy):
        message = "an older policy holds for what this one targets"
        yield warning(policy, "spec.targetRefs", "overruled", message, "Write one policy for each port.")
    for fault in ref_faults(world, policy):
        remedy = "Apply a ConfigMap with the authorities' certificates as ca.crt."
        code = CODES[fault.reason]
        yield warning(policy, fault.field, code, fault.message, remedy)
    known = policy.spec.validation.well_known_ca_certificates
    if known not in (None, "System"):
        message = f"{known} is not a set of authorities that is known; requests fail"
        field = "spec.validation.wellKnownCACertificates"
        yield warning(policy, field, _NOT_FOUND, message, "Write System.")


_TARGET_FAULTS = {
    "Invalid": ("invalid-reference-kind", "Refer to a Service."),
    "TargetNotFound": (_NOT_FOUND, "Apply the Service, or correct the name."),
    "Conflicted": ("overruled", "Write one policy for each Service."),
}


def review_traffic_policy(
    world: World, attachments: Attachments, policy: BackendTrafficPolicy
) -> Iterator[Problem]:
    """The problems of an XBackendTrafficPolicy."""
    for index, ref in enumerate(policy.spec.target_refs):
        fault = target_fault(world, attachments, policy, ref)
        if fault is not None:
            code, remedy = _TARGET_FAULTS[fault[0]]
            yield warning(policy, f"spec.targetRefs[{index}]", code, fault[1], remedy)


def _listener(owner: Resource[Any], state: ListenerState) -> Iterator[Problem]:
    field = f"spec.listeners[{state.index}]"
    if not state.supported:
        message = f"protocol {state.listener.protocol} is not served; nobody listens"
        remedy = "Write protocol: HTTP, HTTPS, TLS, TCP or UDP."
        yield warning(owner, f"{field}.protocol", "unsupported-protocol", message, remedy)
    if state.conflict:
        remedy = "Change the port, the protocol or the hostname of one of them."
        yield warning(owner, field, "listener-conflict", state.conflict_message, remedy)
    if state.secret_reason:
        code = CODES[state.secret_reason]
        remedy = "Apply a Secret of type kubernetes.io/tls, with permission to refer to it."
        yield warning(owner, f"{field}.tls.certificateRefs", code, state.secret_message, remedy)
    fault = state.frontend.fault
    if fault is not None and fault.field.startswith(field):  # else it is the Gateway's, which says so itself
        remedy = "Add the authorities' certificates to the Secret as ca.crt."
        yield warning(owner, fault.field, CODES[fault.reason], fault.message, remedy)
    if state.unknown_kinds:
        at = f"{field}.allowedRoutes.kinds"
        yield warning(owner, at, "invalid-reference-kind", state.kinds_message, "Remove the rest.")
