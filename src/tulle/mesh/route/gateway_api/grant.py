"""ReferenceGrant: whether a resource may refer into another namespace (Gateway API, GEP-709)."""

from __future__ import annotations

from tulle.mesh.world import World
from tulle.model import gateway_api
from tulle.model.gateway_api import ReferenceGrantSpec
from tulle.model.resource import Key, Resource


def permitted(world: World, referrer: Key, target: Key) -> bool:
    """Whether `referrer` may refer to `target`: always within a namespace, else where a grant says so.

    A grant stands in the target's namespace and names the kind and namespace of who refers, and the kind
    of what is referred to, with or without its name.
    """
    if referrer.namespace == target.namespace:
        return True
    grants: tuple[Resource[ReferenceGrantSpec], ...] = world.of_kind(
        gateway_api.GROUP, "ReferenceGrant", target.namespace
    )
    source = (referrer.group, referrer.kind, referrer.namespace)
    return any(
        any((each.group, each.kind, each.namespace) == source for each in grant.spec.from_)
        and any(
            (each.group, each.kind) == (target.group, target.kind) and each.name in (None, "", target.name)
            for each in grant.spec.to
        )
        for grant in grants
    )
