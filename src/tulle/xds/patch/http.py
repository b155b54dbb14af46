"""Patches to what an HTTP connection manager holds: its filters, and its routes where they stand inside.

Where ADD puts an HTTP filter is for the control plane to say (EnvoyFilter, `filterClass`): those of AUTHN
come first, then those of AUTHZ, in front of every filter that Tulle has; all others right before the router.
"""

from __future__ import annotations

from typing import Any

from tulle.mesh.view.patch import ListenerMatch
from tulle.xds import message
from tulle.xds.patch.attempt import MERGES, Attempt, Ready
from tulle.xds.patch.merge import merge_extension
from tulle.xds.patch.sequence import change
from tulle.xds.patch.table import change_table

CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
_TYPE = message.type_url(message.HttpConnectionManager)
_FIRST = ("AUTHN", "AUTHZ")


def change_manager(attempt: Attempt, patches: tuple[Ready, ...], network_filter: Any) -> None:
    """Change the connection manager inside a network filter. `patches`: those to HTTP filters that mean it.

    Raises PatchError.
    """
    if network_filter.typed_config.type_url != _TYPE:
        return
    manager = message.HttpConnectionManager.FromString(network_filter.typed_config.value)
    _change_filters(attempt, patches, manager.http_filters)
    if manager.HasField("route_config"):
        change_table(attempt, manager.route_config)
    network_filter.typed_config.CopyFrom(message.packed(manager))


def _change_filters(attempt: Attempt, patches: tuple[Ready, ...], filters: Any) -> None:
    placed = dict.fromkeys(_FIRST, 0)
    for ready in patches:
        operation, kind = ready.patch.operation, ready.patch.filter_class
        if operation in MERGES:
            continue
        end = max(len(filters) - 1, 0)
        if operation == "ADD" and kind in _FIRST:
            end = placed["AUTHN"] + (placed["AUTHZ"] if kind == "AUTHZ" else 0)
            placed[kind] += 1
        name = _name(ready)
        wanted = (lambda each, name=name: each.name == name) if name else None
        if change(filters, operation, ready.value, wanted, end):
            attempt.did(ready)
    for each in filters:
        for ready in patches:
            if ready.patch.operation in MERGES and _name(ready) in ("", each.name):
                attempt.merge(ready, merge_extension, each)


def _name(ready: Ready) -> str:
    match = ready.patch.match
    return match.http_filter if isinstance(match, ListenerMatch) else ""
