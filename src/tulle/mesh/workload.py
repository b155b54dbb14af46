"""Workloads: what shall run, one value for each process group with an address of its own.

Expanded from App, Deployment, StatefulSet, Job and Pod, and from gateways (their own proxies). A workload
here is what was *declared*; whether it runs and is ready is its `Instance`, which agents report.
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.view import Origin
from tulle.model.agentapi import RestartPolicy
from tulle.model.resource import Key

WorkloadId = tuple[str, str]
"""(namespace, name)"""

Labels = tuple[tuple[str, str], ...]
"""Sorted pairs: labels of a workload, or a selector."""


def matches(selector: Labels, labels: Labels) -> bool:
    """Whether all pairs of a selector are among the labels. An empty selector matches everything."""
    return set(selector) <= set(labels)


@dataclass(frozen=True, slots=True)
class WorkloadPort:
    """A port that a container declares."""

    number: int
    name: str = ""
    udp: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """One declared workload. What its containers run is in its `WorkloadAssignment`."""

    namespace: str
    name: str
    labels: Labels
    service_account: str
    identity: str
    """spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT"""
    addresses: tuple[str, ...]
    """Its own; empty only when the network has none left (a finding says so)."""
    key: Key
    """The resource that declares it."""
    field: str = ""
    """Where in that resource: `spec.services[1].versions[0]`."""
    locality: tuple[str, str, str] = ("", "", "")
    """region, zone, sub-zone"""
    ports: tuple[WorkloadPort, ...] = ()
    proxy: bool = True
    """Whether an Envoy stands before it; always for a gateway."""
    gateway: bool = False
    """The workload is itself a proxy with listeners that people configured."""
    hostname: str = ""
    subdomain: str = ""
    """With `hostname`, its own DNS name HOSTNAME.SUBDOMAIN.NAMESPACE.svc (headless services)."""
    restart: RestartPolicy = RestartPolicy.ALWAYS

    @property
    def id(self) -> WorkloadId:
        return (self.namespace, self.name)

    @property
    def address(self) -> str:
        """The first address, or "" if there is none."""
        return self.addresses[0] if self.addresses else ""

    @property
    def origin(self) -> Origin:
        return Origin(self.key.kind, self.key.namespace, self.key.name, self.field)
