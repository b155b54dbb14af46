"""Sidecar (Istio), of what reaches a workload: `ingress` and `inboundConnectionPool`.

A listener decides about the port that it names: what is spoken there, where it leads, and how much of it is
taken. Ports that services declare and no listener names are served as if there were none: Istio passes them
through as undeclared ones, which for their callers is the same (`EnableSidecarServiceInboundListenerMerge`
says it outright). Read by `inbound.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.outbound.sidecar import SIDECAR
from tulle.mesh.policy.pool import connection_pool, idle_seconds
from tulle.mesh.policy.settings import Settings
from tulle.mesh.protocol import named
from tulle.mesh.view import ConnectionPool, Origin, Protocol
from tulle.model.istio import SidecarSpec
from tulle.model.resource import Resource

_LOOPBACK = "127.0.0.1"
_NO_LIMITS = ConnectionPool()


@dataclass(frozen=True, slots=True)
class Served:
    """What a Sidecar says of one port."""

    origin: Origin
    protocol: Protocol | None = None
    """None: what services say."""
    loopback: bool = False
    """Whether the application is dialled at its loopback address."""
    port: int = 0
    """Where it is dialled; 0: at the port itself."""
    pool: ConnectionPool = _NO_LIMITS
    idle_seconds: float | None = None

    def address(self, own: str, number: int) -> tuple[str, int]:
        """Where the application is dialled."""
        return (_LOOPBACK if self.loopback else own, self.port or number)


def numbers(sidecar: Resource[SidecarSpec] | None) -> frozenset[int]:
    """The ports that have listeners."""
    listeners = sidecar.spec.ingress if sidecar is not None else ()
    return frozenset(each.port.number for each in listeners)


def served(sidecar: Resource[SidecarSpec] | None, number: int) -> Served | None:
    """What a Sidecar says of a port; None if it says nothing."""
    if sidecar is None:
        return None
    for index, listener in enumerate(sidecar.spec.ingress):
        if listener.port.number == number:
            loopback, port = listener.endpoint or (False, 0)
            own = listener.connection_pool
            said = Settings(connection_pool=own or sidecar.spec.inbound_connection_pool)
            return Served(
                _origin(sidecar, f"spec.ingress[{index}]"),
                named(number, listener.port.protocol),
                loopback,
                port,
                connection_pool(said),
                idle_seconds(said),
            )
    if sidecar.spec.inbound_connection_pool is None:
        return None
    said = Settings(connection_pool=sidecar.spec.inbound_connection_pool)
    origin = _origin(sidecar, "spec.inboundConnectionPool")
    return Served(origin, pool=connection_pool(said), idle_seconds=idle_seconds(said))


def _origin(sidecar: Resource[SidecarSpec], field: str) -> Origin:
    return Origin(SIDECAR[1], sidecar.namespace, sidecar.name, field)
