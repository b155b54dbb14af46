"""Services: the names that workloads call, with their ports and virtual addresses.

Made from Kubernetes Services, the services of an App, and gateways (which can be called by name too).
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.view import Origin, Protocol
from tulle.mesh.workload import Labels
from tulle.model.resource import Key


@dataclass(frozen=True, slots=True)
class ServicePort:
    number: int
    protocol: Protocol
    name: str = ""
    target: int | str = 0
    """The workload's port: a number, or the name of a container's port."""
    field: str = ""
    """Where it was written: `spec.ports[0]`."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service. Its endpoints are cells of their own (`World.endpoints`)."""

    host: str
    """The full name: reviews.shop.svc.cluster.local"""
    namespace: str
    name: str
    ports: tuple[ServicePort, ...]
    key: Key
    field: str = ""
    addresses: tuple[str, ...] = ()
    """Virtual addresses; empty for a headless or an ExternalName service."""
    selector: Labels | None = None
    """Labels of the workloads behind it, in its namespace; None: endpoints are written (EndpointSlice)."""
    headless: bool = False
    external_name: str = ""
    """The canonical name of an ExternalName service, else ""."""
    publish_not_ready: bool = False

    @property
    def origin(self) -> Origin:
        return Origin(self.key.kind, self.key.namespace, self.key.name, self.field)

    def port(self, number: int) -> ServicePort | None:
        """The port with this number. TCP and UDP may share a number: the TCP one comes first."""
        found = [port for port in self.ports if port.number == number]
        found.sort(key=lambda port: port.protocol is Protocol.UDP)
        return found[0] if found else None
