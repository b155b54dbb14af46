"""Patches to a route table, its virtual hosts and their routes (Istio, `rc_patch.go`).

ADD and REMOVE of routes do what they say: Istio's documentation calls them ignored, its code applies them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tulle.xds import message
from tulle.xds.patch.attempt import MERGES, Attempt, Ready
from tulle.xds.patch.match import matches_host, matches_route, matches_table, route_match
from tulle.xds.patch.merge import merge
from tulle.xds.patch.sequence import change
from tulle.xds.patch.types import ANY

_ROUTES = message.type_url(message.RouteList)


def change_table(attempt: Attempt, table: Any) -> None:
    """Change a route table in place. Raises PatchError."""

    def here(target: str) -> tuple[Ready, ...]:
        return tuple(
            each for each in attempt.of(target) if matches_table(each.patch.match, table, attempt.where)
        )

    for ready in here("ROUTE_CONFIGURATION"):
        if ready.patch.operation in MERGES:
            attempt.merge(ready, merge, table)
    _change_hosts(attempt, here("VIRTUAL_HOST"), here("HTTP_ROUTE"), table.virtual_hosts)


def _change_hosts(
    attempt: Attempt, of_hosts: tuple[Ready, ...], of_routes: tuple[Ready, ...], hosts: Any
) -> None:
    gone = [index for index, host in enumerate(hosts) if not _change_host(attempt, of_hosts, of_routes, host)]
    for ready in of_hosts:
        if ready.patch.operation in ("ADD", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST"):
            hosts.append(ready.value)
            attempt.did(ready)
    for index in reversed(gone):
        del hosts[index]


def _change_host(
    attempt: Attempt, of_hosts: tuple[Ready, ...], of_routes: tuple[Ready, ...], host: Any
) -> bool:
    """Change a virtual host in place. False: it is to be removed."""
    for ready in of_hosts:
        if not matches_host(ready.patch.match, host):
            continue
        if ready.patch.operation == "REMOVE":
            attempt.did(ready)
            return False
        if ready.patch.operation in MERGES:
            attempt.merge(ready, merge, host)
        elif ready.patch.operation == "REPLACE":
            host.CopyFrom(ready.value)
            attempt.did(ready)
    here = tuple(ready for ready in of_routes if matches_host(ready.patch.match, host))
    if here and host.HasField("matcher"):
        _each_list(host.matcher, lambda routes: _change_routes(attempt, here, routes))
    elif here:
        _change_routes(attempt, here, host.routes)
    return True


def _change_routes(attempt: Attempt, patches: tuple[Ready, ...], routes: Any) -> None:
    gone: list[int] = []
    for index, route in enumerate(routes):
        for ready in patches:
            if not matches_route(route_match(ready.patch.match), route):
                continue
            if ready.patch.operation == "REMOVE":
                gone.append(index)
                attempt.did(ready)
                break
            if ready.patch.operation in MERGES:
                attempt.merge(ready, merge, route)
    for index in reversed(gone):
        del routes[index]
    for ready in patches:
        _insert(attempt, ready, routes)


def _insert(attempt: Attempt, ready: Ready, routes: Any) -> None:
    wanted = route_match(ready.patch.match)
    is_wanted = (lambda route: matches_route(wanted, route)) if wanted is not None else None
    match ready.patch.operation:
        case "ADD" | "INSERT_BEFORE" | "INSERT_AFTER":
            if change(routes, ready.patch.operation, ready.value, is_wanted, len(routes)):
                attempt.did(ready)
        case "INSERT_FIRST" if is_wanted is None or any(map(is_wanted, routes)):
            routes.insert(0, ready.value)
            attempt.did(ready)
        case _:
            return


def _each_list(tree: Any, visit: Callable[[Any], None]) -> None:
    """Visit the lists of routes that a matcher leads to (`route.py` looks services up by address so)."""
    for field, value in tree.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            for key in value:
                _each_list(value[key], visit)
        elif field.is_repeated:
            for each in value:
                _each_list(each, visit)
        elif field.message_type.full_name == ANY:
            if value.type_url == _ROUTES:
                routes = message.RouteList.FromString(value.value)
                visit(routes.routes)
                value.CopyFrom(message.packed(routes))
        else:
            _each_list(value, visit)
