"""credentialName of a DestinationRule: certificates of callers from Secrets.

A Secret is looked for in the namespace of the proxy. Gateways' proxies take part in any rule; sidecars only
in rules that select workloads (destination_rule.proto, `credentialName`). Read by `outbound/outbound.py`,
`gateway/gateway.py`, `resolve.py` and `review/review.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tulle.mesh.policy.certificate import authorities_fault, certificate, certificate_fault, trusted
from tulle.mesh.view import SYSTEM_AUTHORITIES, Authorities, Certificate, Cluster
from tulle.mesh.world import World
from tulle.model.istio import ClientTLSSettings, DestinationRuleSpec
from tulle.model.resource import Resource

Credentials = tuple[tuple[str, ...], tuple[str, ...]]
"""Secrets by namespace/name, sorted: of certificates with their keys, of authorities."""


def at_gateway(made: Cluster, namespace: str) -> Cluster:
    """The cluster with Secrets of the namespace of a gateway's proxy."""
    tls = made.tls
    if tls is None or not (tls.certificate_secret or tls.authorities_secret):
        return made
    return replace(
        made,
        tls=replace(
            tls,
            certificate_secret=_within(namespace, tls.certificate_secret),
            authorities_secret=_within(namespace, tls.authorities_secret),
        ),
    )


def at_sidecar(made: Cluster) -> Cluster:
    """The cluster without Secrets that are for gateways alone."""
    tls = made.tls
    if tls is None or all("/" in each for each in (tls.certificate_secret, tls.authorities_secret) if each):
        return made
    known = SYSTEM_AUTHORITIES if tls.verify else ""
    left = replace(tls, certificate_secret="", authorities_secret="", authorities_file=known)
    return replace(made, tls=left)


def credentials(clusters: Iterable[Cluster]) -> Credentials:
    """The Secrets that clusters name."""
    settings = [each.tls for each in clusters if each.tls is not None]
    own = {tls.certificate_secret for tls in settings if tls.certificate_secret}
    trusted = {tls.authorities_secret for tls in settings if tls.authorities_secret}
    return tuple(sorted(own)), tuple(sorted(trusted))


def given(world: World, named: Credentials) -> tuple[Certificate | Authorities, ...]:
    """What stands in Secrets, of those that can be used."""
    own, others = named
    found = [certificate(world, *name.split("/", 1)) for name in own]
    known = [trusted(world, name) for name in others]
    return tuple(each for each in (*found, *known) if each is not None)


def credential_fault(world: World, rule: Resource[DestinationRuleSpec], tls: ClientTLSSettings) -> str:
    """Why no proxy can use the Secret that a rule names; "" if some proxy can."""
    if tls.mode == "ISTIO_MUTUAL" or not tls.credential_name:
        return ""
    namespaces = {proxy.namespace for proxy in world.gateways()}
    if rule.spec.workload_selector is not None:
        namespaces.add(rule.namespace)
    found = [_secret_fault(world, namespace, tls) for namespace in sorted(namespaces)]
    if not found:
        return "there is no gateway's proxy to use it, and sidecars need a workloadSelector"
    return found[0] if all(found) else ""


def _secret_fault(world: World, namespace: str, tls: ClientTLSSettings) -> str:
    name = tls.credential_name
    wrong = certificate_fault(world, namespace, name) if tls.mode == "MUTUAL" else ""
    verified = not tls.insecure_skip_verify
    return wrong or (authorities_fault(world, namespace, f"{name}-cacert") if verified else "")


def _within(namespace: str, secret: str) -> str:
    return f"{namespace}/{secret}" if secret and "/" not in secret else secret
