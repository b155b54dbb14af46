"""BackendTLSPolicy (Gateway API): TLS from gateways to the servers of a Service.

Which policy holds for a port, what it asks for, and what keeps it from holding. Read by `gateway/gateway.py`,
which makes clusters, and by `status/policy.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tulle.mesh.policy.certificate import bundle, bundle_fault
from tulle.mesh.route.attachment import Attachments
from tulle.mesh.route.common import Destination, age
from tulle.mesh.view import (
    SYSTEM_AUTHORITIES,
    Cluster,
    Discovery,
    Origin,
    OriginatedTls,
    TcpChain,
    WeightedCluster,
)
from tulle.mesh.world import World
from tulle.model.gateway_api import BackendTLSPolicySpec, LocalObjectReference
from tulle.model.resource import Resource

BackendTLSPolicy = Resource[BackendTLSPolicySpec]


@dataclass(frozen=True, slots=True)
class RefFault:
    """Why a reference to an authority has no effect. `reason` is the specification's for ResolvedRefs."""

    reason: str
    field: str
    message: str


def holding(
    attachments: Attachments, namespace: str, service: str, port_name: str | None
) -> BackendTLSPolicy | None:
    """The policy that holds for a port of a Service, by the port's name: one for this port before one for the
    whole Service, of several the oldest (GEP-713, "Conflict Resolution"). None: for whatever has no name."""
    for section in dict.fromkeys((port_name, None)):
        named = [
            policy
            for policy in attachments.backend_tls_policies(namespace, service)
            if any(
                (ref.group, ref.kind, ref.name, ref.section_name) == ("", "Service", service, section)
                for ref in policy.spec.target_refs
            )
        ]
        if named:
            return min(named, key=age)
    return None


def secured(world: World, attachments: Attachments, cluster: Cluster) -> Cluster:
    """A gateway's cluster with the TLS that a policy asks for. A policy that names no authority that can be
    used leaves it without a server: nothing may go there in plain text
    (`BackendTLSPolicyReasonNoValidCACertificate`: requests fail with a 5xx)."""
    policy = governing(world, attachments, Destination.of(cluster.name))
    if policy is None:
        return cluster
    origin = Origin(policy.key.kind, policy.namespace, policy.name)
    tls = _tls(world, policy)
    if tls is None:
        return replace(
            cluster, discovery=Discovery.STATIC, addresses=(), endpoint_set="", mtls=None, origin=origin
        )
    return replace(cluster, mtls=None, tls=tls, origin=origin)


def governing(
    world: World, attachments: Attachments, destination: Destination | None
) -> BackendTLSPolicy | None:
    """The policy that holds for what gateways send to a destination."""
    service = world.service(destination.host) if destination is not None and not destination.udp else None
    port = service.port(destination.port) if service is not None and destination is not None else None
    if service is None or port is None:
        return None
    return holding(attachments, service.namespace, service.name, port.name or None)


def as_it_came(world: World, attachments: Attachments, then: TcpChain) -> TcpChain:
    """A chain of which nobody knows whether its bytes are TLS already: what a policy would encrypt once more
    goes to a cluster of its own (support is for HTTP and for TLS that ends at the gateway)."""
    clusters: list[WeightedCluster] = []
    for each in then.clusters:
        destination = Destination.of(each.cluster)
        if (
            destination is not None
            and each.cluster == destination.cluster
            and governing(world, attachments, destination) is not None
        ):
            each = replace(each, cluster=destination.raw)
        clusters.append(each)
    return replace(then, clusters=tuple(clusters))


def _tls(world: World, policy: BackendTLSPolicy) -> OriginatedTls | None:
    validation = policy.spec.validation
    names = tuple(each.hostname or each.uri or "" for each in validation.subject_alt_names)
    asked = OriginatedTls(sni=validation.hostname, names=names or (validation.hostname,))
    if validation.well_known_ca_certificates is not None:
        known = validation.well_known_ca_certificates == "System"
        return replace(asked, authorities_file=SYSTEM_AUTHORITIES) if known else None
    found = (_authorities(world, policy.namespace, ref) for ref in validation.ca_certificate_refs)
    usable = [each for each in found if isinstance(each, str)]
    return replace(asked, authorities="".join(usable)) if usable else None


def usable(world: World, policy: BackendTLSPolicy) -> bool:
    """Whether it names an authority that can be used."""
    return _tls(world, policy) is not None


def ref_faults(world: World, policy: BackendTLSPolicy) -> Iterator[RefFault]:
    """Every reference of a policy that cannot be used."""
    for index, ref in enumerate(policy.spec.validation.ca_certificate_refs):
        found = _authorities(world, policy.namespace, ref)
        if isinstance(found, RefFault):
            yield replace(found, field=f"spec.validation.caCertificateRefs[{index}].{found.field}")


def _authorities(world: World, namespace: str, ref: LocalObjectReference) -> str | RefFault:
    """The certificates behind a reference, as PEM."""
    if (ref.group, ref.kind) != ("", "ConfigMap"):
        return RefFault("InvalidKind", "kind", f"{ref.kind} ({ref.group or 'core'}) is not a ConfigMap")
    wrong = bundle_fault(world, namespace, ref.name)
    if wrong:
        return RefFault("InvalidCACertificateRef", "name", wrong)
    return bundle(world, namespace, ref.name).decode()
