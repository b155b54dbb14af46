"""`tls` of a Gateway (Gateway API): what it asks of clients' certificates, and its own towards backends.

Read by `route/listener_state.py`, `gateway/gateway.py`, `status/gateway.py` and `review/gateway.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tulle.mesh.policy.certificate import authorities_fault, bundle_fault, certificate_fault, of_config_maps
from tulle.mesh.route.gateway_api.grant import permitted
from tulle.mesh.view import ClientValidation, Cluster
from tulle.mesh.world import World
from tulle.model.gateway_api import FrontendTLSValidation, GatewaySpec, ObjectReference, SecretObjectReference
from tulle.model.resource import Key, Resource

_AT = "spec.tls.frontend"
_CLIENT_CERTIFICATE = "spec.tls.backend.clientCertificateRef"


@dataclass(frozen=True, slots=True)
class Fault:
    """A reference that cannot be used. `reason` is the specification's for ResolvedRefs."""

    reason: str
    message: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Frontend:
    """What a port asks of clients."""

    validation: ClientValidation | None = None
    """None: nothing; or what is asked cannot be: then there is a fault."""
    fault: Fault | None = None
    """Of the first reference that cannot be used."""


NOTHING_ASKED = Frontend()


def frontend(world: World, gateway: Resource[GatewaySpec], port: int) -> Frontend:
    """What a Gateway asks of the clients of its HTTPS listeners on a port: what is written for the port, else
    for all (`FrontendTLSConfig`)."""
    written = dict(_written(gateway.spec))
    at = next((index for index, each in _ports(gateway.spec) if each == port), None)
    field = f"{_AT}.default" if at is None else f"{_AT}.perPort[{at}].tls"
    validation = written.get(field)
    if validation is None:
        return NOTHING_ASKED
    faults = tuple(_faults(world, gateway.key, field, validation))
    wrong = {fault.field for fault in faults}
    usable = [
        f"{ref.namespace or gateway.namespace}/{ref.name}"
        for index, ref in enumerate(validation.ca_certificate_refs)
        if _field(field, index) not in wrong
    ]
    fault = faults[0] if faults else None
    if not usable:
        return Frontend(fault=fault)
    # Certificates that cannot be verified are let in too, and so are clients without one.
    strict = validation.mode == "AllowValidOnly"
    return Frontend(ClientValidation(of_config_maps(usable), required=strict, verify=strict), fault)


def frontend_of_option(world: World, mode: str, secrets: Sequence[str], field: str) -> Frontend:
    """What Istio's option `gateway.istio.io/tls-terminate-mode` asks of the clients of one listener: a
    certificate of the authorities that stand in the Secret of the server's own, or beside it (buildTLS)."""
    if not secrets:
        return NOTHING_ASKED
    authorities = f"{secrets[0]}-cacert"
    wrong = authorities_fault(world, *authorities.split("/", 1))
    if wrong:
        return Frontend(fault=Fault("InvalidCACertificateRef", wrong, field))
    return Frontend(ClientValidation(authorities, required=mode == "MUTUAL"))


def is_insecure(gateway: GatewaySpec) -> bool:
    """Whether some clients are let in whatever their certificate (`InsecureFrontendValidationMode`)."""
    return any(each.mode == "AllowInsecureFallback" for _, each in _written(gateway))


def frontend_faults(world: World, gateway: Resource[GatewaySpec]) -> Iterator[Fault]:
    """Every reference to authorities that cannot be used."""
    for field, validation in _written(gateway.spec):
        yield from _faults(world, gateway.key, field, validation)


def _ports(gateway: GatewaySpec) -> Iterator[tuple[int, int]]:
    said = gateway.tls.frontend if gateway.tls is not None else None
    yield from enumerate(each.port for each in said.per_port) if said is not None else ()


def _written(gateway: GatewaySpec) -> Iterator[tuple[str, FrontendTLSValidation]]:
    """Everything that is asked of clients, by where it stands."""
    said = gateway.tls.frontend if gateway.tls is not None else None
    if said is None:
        return
    found = [(f"{_AT}.default", said.default)]
    found += [(f"{_AT}.perPort[{index}].tls", each.tls) for index, each in enumerate(said.per_port)]
    for field, config in found:
        if config.validation is not None:
            yield field, config.validation


def _faults(world: World, gateway: Key, field: str, validation: FrontendTLSValidation) -> Iterator[Fault]:
    for index, ref in enumerate(validation.ca_certificate_refs):
        fault = _authorities_fault(world, gateway, ref)
        if fault is not None:
            yield replace(fault, field=_field(field, index))


def _field(field: str, index: int) -> str:
    return f"{field}.validation.caCertificateRefs[{index}]"


def _authorities_fault(world: World, gateway: Key, ref: ObjectReference) -> Fault | None:
    """Core support: a ConfigMap with `ca.crt` (`FrontendTLSValidation.caCertificateRefs`)."""
    namespace = ref.namespace or gateway.namespace
    if (ref.group, ref.kind) != ("", "ConfigMap"):
        return Fault("InvalidCACertificateKind", f"{ref.kind} ({ref.group or 'core'}) is not a ConfigMap")
    if not permitted(world, gateway, Key("", "ConfigMap", namespace, ref.name)):
        return Fault("RefNotPermitted", f"no ReferenceGrant in namespace {namespace} permits it")
    wrong = bundle_fault(world, namespace, ref.name)
    return Fault("InvalidCACertificateRef", wrong) if wrong else None


# -- certificates ------------------------------------------------------------------------------------


def certificate_ref_fault(world: World, referrer: Key, ref: SecretObjectReference) -> tuple[str, str] | None:
    """Why a reference to a certificate cannot be used: the specification's reason, and a message."""
    namespace = ref.namespace or referrer.namespace
    if (ref.group, ref.kind) != ("", "Secret"):
        return "InvalidCertificateRef", f"{ref.kind} ({ref.group or 'core'}) is not a Secret"
    if not permitted(world, referrer, Key("", "Secret", namespace, ref.name)):
        return "RefNotPermitted", f"no ReferenceGrant in namespace {namespace} permits it"
    wrong = certificate_fault(world, namespace, ref.name)
    return ("InvalidCertificateRef", wrong) if wrong else None


def client_certificate_fault(world: World, gateway: Resource[GatewaySpec]) -> Fault | None:
    """Why a Gateway's own certificate towards backends cannot be used."""
    ref = _client_certificate(gateway.spec)
    found = certificate_ref_fault(world, gateway.key, ref) if ref is not None else None
    if found is None:
        return None
    reason, message = found
    reason = "InvalidClientCertificateRef" if reason == "InvalidCertificateRef" else reason
    return Fault(reason, message, _CLIENT_CERTIFICATE)


def presenting(world: World, gateway: Resource[GatewaySpec], cluster: Cluster) -> Cluster:
    """A cluster with TLS, towards which the Gateway shows its own certificate if it has one
    (`GatewayBackendTLS.clientCertificateRef`)."""
    ref = _client_certificate(gateway.spec)
    if ref is None or cluster.tls is None or client_certificate_fault(world, gateway) is not None:
        return cluster
    secret = f"{ref.namespace or gateway.namespace}/{ref.name}"
    return replace(cluster, tls=replace(cluster.tls, certificate_secret=secret))


def _client_certificate(gateway: GatewaySpec) -> SecretObjectReference | None:
    backend = gateway.tls.backend if gateway.tls is not None else None
    return backend.client_certificate_ref if backend is not None else None
