"""gRPC's own xDS clients: a program that is its own proxy."""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.view.cluster import Cluster
from tulle.mesh.view.route import RouteTable


@dataclass(frozen=True, slots=True)
class Target:
    """A service's port as something to dial, and where its calls go."""

    names: tuple[str, ...]
    """`HOST:PORT` in every form that a caller may write after `xds:///`."""
    table: RouteTable
    """Of one virtual host, which takes every authority: the name that was dialled has chosen it."""


@dataclass(frozen=True, slots=True)
class Proxyless:
    """What the callers of one namespace see whose gRPC library speaks xDS itself, with no Envoy before them.
    Shared by all of them."""

    scope: str
    """Name of the part, `proxyless/<namespace>`."""
    targets: tuple[Target, ...]
    clusters: tuple[Cluster, ...]
    missing: tuple[str, ...] = ()
    """Clusters that routes name and that do not exist, sorted: their calls are to fail at once."""
