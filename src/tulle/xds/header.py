"""HeaderChanges -> the headers that a route or a weighted cluster adds and removes.

Envoy makes a cluster's changes before its route's, whatever `most_specific_header_mutations_wins` says, and a
View means it the other way round. So the changes of a route are put together with those of its clusters.
"""

from __future__ import annotations

from dataclasses import replace

from tulle.mesh.view import Forward, HeaderChanges, Route, WeightedCluster
from tulle.xds.message import Tree


def _written(changes: HeaderChanges) -> list[Tree]:
    found = [(each, "OVERWRITE_IF_EXISTS_OR_ADD") for each in changes.set]
    found += [(each, "APPEND_IF_EXISTS_OR_ADD") for each in changes.add]
    return [
        {"header": {"key": name, "value": value}, "append_action": action, "keep_empty_value": not value}
        for (name, value), action in found
    ]


def header_changes(request: HeaderChanges | None, response: HeaderChanges | None) -> Tree:
    """The four fields that a route and a weighted cluster have in common. Envoy removes first, then sets,
    then adds (HeaderParser::evaluateHeaders)."""
    built: Tree = {}
    for side, changes in (("request", request), ("response", response)):
        if changes is None:
            continue
        if changes.set or changes.add:
            built[f"{side}_headers_to_add"] = _written(changes)
        if changes.remove:
            built[f"{side}_headers_to_remove"] = list(changes.remove)
    return built


def _one_after_the_other(first: HeaderChanges | None, second: HeaderChanges | None) -> HeaderChanges | None:
    """Both as one change."""
    if first is None or second is None:
        return first or second
    replaced = {*second.remove, *(name for name, _ in second.set)}
    return HeaderChanges(
        set=(*(each for each in first.set if each[0] not in replaced), *second.set),
        add=(*(each for each in first.add if each[0] not in replaced), *second.add),
        remove=tuple(dict.fromkeys((*first.remove, *second.remove))),
    )


def settled(route: Route) -> Route:
    """The same route, whose header changes are its own or its clusters', but not both: its own if there is
    one cluster only."""
    action = route.action
    if not isinstance(action, Forward) or not any(one.request or one.response for one in action.clusters):
        return route
    if len(action.clusters) == 1:
        (only,) = action.clusters
        return replace(
            route,
            action=replace(action, clusters=(replace(only, request=None, response=None),)),
            request=_one_after_the_other(route.request, only.request),
            response=_one_after_the_other(route.response, only.response),
        )

    def of_both(one: WeightedCluster) -> WeightedCluster:
        return replace(
            one,
            request=_one_after_the_other(route.request, one.request),
            response=_one_after_the_other(route.response, one.response),
        )

    clusters = tuple(of_both(one) for one in action.clusters)
    return replace(route, action=replace(action, clusters=clusters), request=None, response=None)
