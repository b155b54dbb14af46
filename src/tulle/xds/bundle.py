"""What translation makes: named bytes, and why each of them exists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tulle.mesh.view import Origin
from tulle.xds import message

CLUSTER = message.type_url(message.Cluster)
ENDPOINT = message.type_url(message.ClusterLoadAssignment)
EXTENSION = message.type_url(message.TypedExtensionConfig)
LISTENER = message.type_url(message.Listener)
ROUTE = message.type_url(message.RouteConfiguration)
SECRET = message.type_url(message.Secret)

MESH = Origin("Mesh", "", "")
"""The origin of what every proxy has, whoever wrote what."""


@dataclass(frozen=True, slots=True)
class Translated:
    """One xDS resource. The origin stands beside the bytes and not in them (decision 16), so that a moved
    line changes nothing that a proxy sees."""

    type_url: str
    name: str
    body: bytes = field(repr=False)
    needs: tuple[tuple[str, str], ...] = ()
    """(type url, name) of what this one is of no use without: a cluster's endpoints, a listener's routes."""
    origin: Origin = MESH
    changed_by: tuple[Origin, ...] = ()
    """The patches that have changed it, or made it."""


def translated(
    built: Any, name: str, origin: Origin = MESH, needs: tuple[tuple[str, str], ...] = ()
) -> Translated:
    """Serialise a message once and for all."""
    return Translated(message.type_url(type(built)), name, message.serialise(built), needs, origin)


def in_order(resources: Iterable[Translated]) -> tuple[Translated, ...]:
    """Sorted by type and name: the bundle of two equal views is equal."""
    return tuple(sorted(resources, key=lambda one: (one.type_url, one.name)))
