"""Who may see what: `exportTo` of resources, and what MeshConfig has for those that say nothing of it."""

from __future__ import annotations

from typing import Any

from tulle.mesh.world import World
from tulle.model import istio
from tulle.model.resource import Resource

_VIRTUAL_SERVICE = (istio.GROUP, "VirtualService")
_DESTINATION_RULE = (istio.GROUP, "DestinationRule")


def default_exports(world: World) -> tuple[tuple[tuple[str, str], tuple[str, ...]], ...]:
    """What holds where a resource of a kind says nothing (mesh config, `default...ExportTo`)."""
    config = world.mesh_config()
    return (
        (_VIRTUAL_SERVICE, config.default_virtual_service_export_to),
        (_DESTINATION_RULE, config.default_destination_rule_export_to),
    )


def exported_to(world: World, resource: Resource[Any]) -> tuple[str, ...]:
    """The `exportTo` that holds for a VirtualService or a DestinationRule. Empty: every namespace."""
    kind = (resource.key.group, resource.key.kind)
    return resource.spec.export_to or dict(default_exports(world))[kind]


def is_exported(world: World, resource: Resource[Any], namespace: str) -> bool:
    """Whether callers of a namespace see it. "" is one that nobody names."""
    export = exported_to(world, resource)
    return (
        not export
        or "*" in export
        or namespace in export
        or ("." in export and resource.namespace == namespace)
    )
