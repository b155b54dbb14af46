"""The line that caused something, as it stands now. Origins hold none (see `mesh/view/origin.py`)."""

from __future__ import annotations

from tulle.api.contract import Because
from tulle.mesh.view import Origin
from tulle.mesh.world import World


def because(world: World, origin: Origin) -> Because:
    """The resource and field of an origin, with file, line and column where it is written."""
    place = None
    for key in sorted(world.resources.keys()):
        if (key.kind, key.namespace, key.name) == (origin.kind, origin.namespace, origin.name):
            resource = world.resource(key)
            place = resource.place(origin.field) if resource is not None else None
    return Because(
        kind=origin.kind,
        namespace=origin.namespace,
        name=origin.name,
        field=origin.field,
        file=place.file if place else "",
        line=place.line if place else 0,
        column=place.column if place else 0,
    )
