"""`exportTo` with namespaces that are not there. Read by the reviews of the kinds that have one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tulle.mesh.problem import Problem, warning
from tulle.mesh.world import World
from tulle.model.resource import Resource


def review_export(world: World, resource: Resource[Any]) -> Iterator[Problem]:
    """Of a resource whose spec has `export_to`."""
    for index, namespace in enumerate(resource.spec.export_to):
        if namespace not in (".", "*", "~") and namespace not in world.namespaces():
            message = f"nothing is declared in a namespace {namespace}"
            remedy = "Correct the name, write “.” for this namespace, or apply what shall stand there."
            yield warning(resource, f"spec.exportTo[{index}]", "reference-not-found", message, remedy)
