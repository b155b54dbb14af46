"""What a service is: its names, its ports and how what stands behind it is found.

Made by `listing.py`, one by one from what people wrote; `service.py` adds virtual addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tulle.mesh.view import Origin, Protocol
from tulle.mesh.workload.draft import Labels
from tulle.model import istio
from tulle.model.resource import Key

SERVICE_ENTRY = (istio.GROUP, "ServiceEntry")


class Resolution(StrEnum):
    """Who finds the addresses behind a service (ServiceEntry's words)."""

    STATIC = "STATIC"  # they are written or reported
    NONE = "NONE"  # its caller has: connections go where they were going
    DNS = "DNS"  # the proxy asks, and uses every address that the names have
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"  # the proxy asks, and uses one address at a time
    DYNAMIC_DNS = "DYNAMIC_DNS"  # the proxy asks for the name in each call


@dataclass(frozen=True, slots=True)
class ServicePort:
    number: int
    protocol: Protocol
    name: str = ""
    target: int | str = 0
    """The workload's port: a number, or the name of a container's port."""
    field: str = ""
    """Where it was written: `spec.ports[0]`."""
    adds: Service | None = None
    """The ServiceEntry that adds it to a host that is another resource's."""


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
    ranges: tuple[str, ...] = ()
    """Ranges of addresses (CIDR) that are the service too."""
    selector: Labels | None = None
    """Labels of the workloads behind it, in its namespace; None: endpoints are written (EndpointSlice)."""
    headless: bool = False
    external_name: str = ""
    """The canonical name of an ExternalName service, else ""."""
    publish_not_ready: bool = False
    gateway: bool = False
    """The workloads behind it are a gateway's own proxies."""
    resolution: Resolution = Resolution.STATIC
    external: bool = False
    """It is not of the mesh: no mTLS is spoken to it."""
    export_to: tuple[str, ...] = ()
    """Namespaces whose callers know of it; `.` is its own. Empty or `*`: all."""
    server_names: tuple[str, ...] = ()
    """What a server's certificate must have one of as a subject alternative name."""

    @property
    def origin(self) -> Origin:
        return Origin(self.key.kind, self.key.namespace, self.key.name, self.field)

    @property
    def parent(self) -> tuple[str, str, str, str]:
        """Group, kind, namespace and name by which routes of the Gateway API attach to it."""
        if (self.key.group, self.key.kind) == SERVICE_ENTRY:
            return (*SERVICE_ENTRY, self.namespace, self.key.name)
        return ("", "Service", self.namespace, self.name)

    def behind(self, port: ServicePort) -> Service:
        """Whose port it is: this service's own, or a ServiceEntry's that adds it."""
        return port.adds or self

    def is_known_in(self, namespace: str) -> bool:
        """Whether callers of a namespace know of it. "" is one that is not named."""
        export = self.export_to
        return (
            not export
            or "*" in export
            or namespace in export
            or ("." in export and namespace == self.namespace)
        )

    def port(self, number: int, udp: bool = False) -> ServicePort | None:
        """The port with this number. TCP and UDP may share a number: `udp` says which one comes first."""
        found = [port for port in self.ports if port.number == number]
        found.sort(key=lambda port: (port.protocol is Protocol.UDP) is not udp)
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Entry:
    """A service as declared, without its virtual address."""

    service: Service
    wanted_address: str = ""
    wanted_field: str = ""
    selector_field: str = ""
    """Where a person wrote the selector; "" if nobody did."""
    external: bool = False
    """It comes and goes with processes that somebody else starts (`tulle run`): another one of its name stays
    what it is, and they join it."""
    virtual: bool = True
    """Whether it gets an address of the mesh."""
