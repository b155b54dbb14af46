"""The HTTP routes of a VirtualService, with those of its delegates in their places (virtual_service.proto,
Delegate; the rules of merging are those of `MergeHTTPRoutes`).

Read by `virtual_service.py`, and by `review/review.py`, which says what cannot be merged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tulle.mesh.export import exported_to
from tulle.mesh.route.attachment import delegate_key, qualified_gateways
from tulle.mesh.route.common import full_host
from tulle.mesh.view import Origin
from tulle.mesh.world import World
from tulle.model.istio import Destination, HTTPMatchRequest, HTTPRoute, UriMatch, VirtualServiceSpec
from tulle.model.resource import Resource

VirtualService = Resource[VirtualServiceSpec]


@dataclass(frozen=True, slots=True)
class PlacedRoute:
    """One HTTP route, and where it is written."""

    route: HTTPRoute
    """Its `match` says nothing here."""
    matches: tuple[tuple[HTTPMatchRequest, Origin], ...]
    """With the full names of gateways. Empty: every request."""
    origin: Origin
    namespace: str
    """In which its short names are meant."""
    index: int


@dataclass(frozen=True, slots=True)
class DelegateFault:
    """Why nothing comes of a delegate, or of one of its routes."""

    index: int
    """Of the root's route."""
    message: str
    remedy: str
    missing: bool = False


def placed_routes(world: World, root: VirtualService) -> tuple[PlacedRoute, ...]:
    """All HTTP routes in their order. What cannot be merged is left out."""
    return tuple(each for each in _all(world, root) if isinstance(each, PlacedRoute))


def delegate_faults(world: World, root: VirtualService) -> tuple[DelegateFault, ...]:
    """What is left out, and why."""
    return tuple(each for each in _all(world, root) if isinstance(each, DelegateFault))


def _all(world: World, root: VirtualService) -> Iterator[PlacedRoute | DelegateFault]:
    for index in range(len(root.spec.http)):
        own = _placed(root, index)
        if own.route.delegate is None:
            yield own
            continue
        key = delegate_key(own.route.delegate, root.namespace)
        found: VirtualService | None = world.resource(key)
        if found is None or found.spec.hosts:
            why = "has hosts, so it is no delegate" if found is not None else "does not exist"
            message = f"VirtualService {key.namespace}/{key.name} {why}; requests go on to the next route"
            yield DelegateFault(index, message, "Apply a VirtualService without hosts.", missing=True)
            continue
        export = exported_to(world, found)
        if export and not {"*", root.namespace}.intersection(
            key.namespace if each == "." else each for each in export
        ):
            message = f"VirtualService {key.namespace}/{key.name} is not exported to {root.namespace}"
            yield DelegateFault(index, message, "Write the namespace under its exportTo.")
            continue
        for number in range(len(found.spec.http)):
            merged = _merged(world, own, _placed(found, number))
            yield merged or DelegateFault(
                index,
                f"no match of http[{number}] of {key.namespace}/{key.name} is within one of this route",
                "The matches of a delegate are subsets of its root's.",
            )


def _placed(resource: VirtualService, index: int) -> PlacedRoute:
    route = resource.spec.http[index]
    origin = Origin("VirtualService", resource.namespace, resource.name, f"spec.http[{index}]")
    matches: list[tuple[HTTPMatchRequest, Origin]] = []
    for number, match in enumerate(route.match):
        gateways = qualified_gateways(match.gateways, resource.namespace)
        full = match.model_copy(update={"gateways": gateways}) if gateways != match.gateways else match
        matches.append((full, replace(origin, field=f"{origin.field}.match[{number}]")))
    return PlacedRoute(route, tuple(matches), origin, resource.namespace, index)


# -- merging ----------------------------------------------------------------------------------------

_INHERITED = (
    "rewrite",
    "direct_response",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirror_percent",
    "mirror_percent_snake",
    "mirror_percentage",
    "cors_policy",
    "mirrors",
    "headers",
)


def _merged(world: World, root: PlacedRoute, leaf: PlacedRoute) -> PlacedRoute | None:
    """A delegate's route as its root has it; None if none of its matches is within the root's."""
    matches = _merged_matches(root.matches, leaf.matches)
    if matches is None:
        return None
    above = _with_full_hosts(world, root)
    taken = {
        field: value
        for field in _INHERITED
        if getattr(leaf.route, field) in (None, ()) and (value := getattr(above, field)) not in (None, ())
    }
    taken["name"] = "-".join(name for name in (root.route.name, leaf.route.name) if name)
    return replace(leaf, route=leaf.route.model_copy(update=taken), matches=matches)


def _with_full_hosts(world: World, root: PlacedRoute) -> HTTPRoute:
    """The root's mirrors by their full names: below, its short ones mean something else."""

    def full(destination: Destination) -> Destination:
        return destination.model_copy(update={"host": full_host(world, destination.host, root.namespace)})

    route = root.route
    mirrors = tuple(each.model_copy(update={"destination": full(each.destination)}) for each in route.mirrors)
    mirror = full(route.mirror) if route.mirror is not None else None
    return route.model_copy(update={"mirrors": mirrors, "mirror": mirror})


_Matches = tuple[tuple[HTTPMatchRequest, Origin], ...]


def _merged_matches(root: _Matches, leaf: _Matches) -> _Matches | None:
    if not root or not leaf:
        return root or leaf
    made: list[tuple[HTTPMatchRequest, Origin]] = []
    for match, origin in leaf:
        within = [above for above, _ in root if not _conflict(above, match)]
        if not within:
            return None
        made += ((_merged_match(above, match), origin) for above in within)
    return tuple(made)


def _merged_match(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> HTTPMatchRequest:
    joined = {
        field: getattr(root, field) | getattr(leaf, field)
        for field in ("headers", "without_headers", "query_params", "source_labels")
    }
    single = {
        field: getattr(leaf, field) or getattr(root, field)
        for field in (
            "uri",
            "scheme",
            "method",
            "authority",
            "port",
            "source_namespace",
            "gateways",
            "stat_prefix",
        )
    }
    name = "-".join(name for name in (root.name, leaf.name) if name)
    return leaf.model_copy(update=joined | single | {"name": name})


def _conflict(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> bool:
    """Whether not all that the leaf takes is what the root takes (`hasConflict`)."""
    pairs = [
        (getattr(root, field), getattr(leaf, field)) for field in ("uri", "scheme", "method", "authority")
    ]
    for field in ("headers", "without_headers", "query_params"):
        above = getattr(root, field)
        pairs += ((above.get(name), match) for name, match in getattr(leaf, field).items())
    return (
        any(_values_conflict(above, below) for above, below in pairs)
        or root.ignore_uri_case != leaf.ignore_uri_case
        or bool(root.port and leaf.port and root.port != leaf.port)
        or (root.source_namespace or leaf.source_namespace) != leaf.source_namespace
        or any(root.source_labels.get(name, value) != value for name, value in leaf.source_labels.items())
        or bool(root.gateways and leaf.gateways and not {*leaf.gateways} <= {*root.gateways})
    )


def _values_conflict(root: UriMatch | None, leaf: UriMatch | None) -> bool:
    """`stringMatchConflict`: only an exact value or a longer prefix is within a prefix, and nothing within a
    regular expression."""
    if root is None or leaf is None:
        return False
    if root.exact:
        return leaf.exact != root.exact
    below = leaf.prefix or leaf.exact
    return not (root.prefix and below and below.startswith(root.prefix))
