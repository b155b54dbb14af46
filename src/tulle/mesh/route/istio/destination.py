"""What a destination of a VirtualService stands for. Read by the other modules of this language, and by
`review/review.py`, which says why one stands for nothing."""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.route.common import Destination, full_host
from tulle.mesh.view import MISSING_CLUSTER, Protocol
from tulle.mesh.world import World
from tulle.model import istio


@dataclass(frozen=True, slots=True)
class DestinationFault:
    """Why a destination has no cluster."""

    field: str
    """Of the destination, the one that is wrong."""
    message: str
    remedy: str


def destination(
    world: World, namespace: str, written: istio.Destination, listener_port: int | None
) -> Destination | DestinationFault:
    """What a destination that is written in a namespace stands for. Without a port: the service's only one,
    else the one that was called."""
    service = world.find_service(written.host, namespace)
    if service is None:
        host = full_host(world, written.host, namespace)
        return DestinationFault(
            "host",
            f"there is no service {host}",
            "Apply the service, or correct the host.",
        )
    ports = {port.number: port for port in service.ports if port.protocol is not Protocol.UDP}
    if written.port is not None:
        number = written.port.number
    elif len(ports) == 1:
        number = next(iter(ports))
    elif listener_port is None:
        number = min(ports, default=0)
    else:
        number = listener_port
    if number not in ports:
        names = ", ".join(map(str, sorted(ports)))
        return DestinationFault(
            "port" if written.port is not None else "host",
            f"service {service.host} has no port" + (f" {number}" if number else "s"),
            f"Write port: {{number: N}} with one of its ports: {names}." if names else "Give it a port.",
        )
    return Destination(service.host, number, written.subset or "")


def cluster_name(world: World, namespace: str, written: istio.Destination, port: int) -> str:
    """The cluster of a destination; `MISSING_CLUSTER` if it has none."""
    found = destination(world, namespace, written, port)
    return found.cluster if isinstance(found, Destination) else MISSING_CLUSTER
