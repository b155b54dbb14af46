"""Who may see what: `exportTo` of resources, and what MeshConfig has for those that say nothing of it."""

from __future__ import annotations

from typing import Any

from tulle.mesh.world import World
from tulle.model.istio import DestinationRuleSpec
from tulle.model.resource import Resource


def exported_to(world: World, resource: Resource[Any]) -> tuple[str, ...]:
    """The `exportTo` that holds for a VirtualService or a DestinationRule. Empty: every namespace."""
    return resource.spec.export_to or default_export(world, resource)


def default_export(world: World, resource: Resource[Any]) -> tuple[str, ...]:
    """What holds where a resource of this kind says nothing (mesh config, `default...ExportTo`)."""
    config = world.mesh_config()
    if isinstance(resource.spec, DestinationRuleSpec):
        return config.default_destination_rule_export_to
    return config.default_virtual_service_export_to


def is_exported(world: World, resource: Resource[Any], namespace: str) -> bool:
    """Whether callers of a namespace see it. "" is one that nobody names."""
    export = exported_to(world, resource)
    return (
        not export
        or "*" in export
        or namespace in export
        or ("." in export and resource.namespace == namespace)
    )
