"""Patches to a listener, its listener filters, its filter chains and their network filters.

In the order of Istio's `patchListener`: the listener itself, its filters, then each chain with what is in it;
chains that are added come last. Within a list things are added and removed before what is there is merged.
"""

from __future__ import annotations

from typing import Any

from tulle.mesh.view.patch import ListenerMatch
from tulle.xds.patch.attempt import MERGES, Attempt, Ready
from tulle.xds.patch.http import CONNECTION_MANAGER, change_manager
from tulle.xds.patch.match import matches_chain, matches_listener
from tulle.xds.patch.merge import merge, merge_extension, merge_with_socket
from tulle.xds.patch.sequence import change

_ADDS = ("ADD", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST")


def change_listener(attempt: Attempt, listener: Any) -> bool:
    """Change a listener in place. False: it is to be removed. Raises PatchError."""
    for ready in attempt.of("LISTENER"):
        if not matches_listener(ready.patch.match, "LISTENER", listener, attempt.where):
            continue
        if ready.patch.operation == "REMOVE":
            attempt.did(ready)
            return False
        if ready.patch.operation in MERGES:
            attempt.merge(ready, merge, listener)
    _change_listener_filters(attempt, listener)
    _change_chains(attempt, listener)
    return True


def _here(attempt: Attempt, target: str, listener: Any) -> tuple[Ready, ...]:
    """The patches of a kind that mean this listener."""
    return tuple(
        ready
        for ready in attempt.of(target)
        if matches_listener(ready.patch.match, target, listener, attempt.where)
    )


def _named(name: str) -> Any:
    """Which filters are meant; None if no name is asked for."""
    return (lambda each: each.name == name) if name else None


def _change_listener_filters(attempt: Attempt, listener: Any) -> None:
    for ready in _here(attempt, "LISTENER_FILTER", listener):
        match = ready.patch.match
        wanted = _named(match.listener_filter if isinstance(match, ListenerMatch) else "")
        filters = listener.listener_filters
        if ready.patch.operation in MERGES:
            for each in filter(wanted, filters) if wanted is not None else ():
                attempt.merge(ready, merge_extension, each)
        elif change(filters, ready.patch.operation, ready.value, wanted, len(filters)):
            attempt.did(ready)


def _change_chains(attempt: Attempt, listener: Any) -> None:
    here = _here(attempt, "FILTER_CHAIN", listener)
    kept = [chain for chain in listener.filter_chains if _change_chain(attempt, here, listener, chain, False)]
    if len(kept) < len(listener.filter_chains):
        copies = [type(chain).FromString(chain.SerializeToString()) for chain in kept]
        listener.ClearField("filter_chains")
        listener.filter_chains.extend(copies)
    if listener.HasField("default_filter_chain") and not _change_chain(
        attempt, here, listener, listener.default_filter_chain, True
    ):
        listener.ClearField("default_filter_chain")
    for ready in here:
        if ready.patch.operation in _ADDS:
            listener.filter_chains.append(ready.value)
            attempt.did(ready)


def _change_chain(
    attempt: Attempt, here: tuple[Ready, ...], listener: Any, chain: Any, is_default: bool
) -> bool:
    """Change a chain in place. False: it is to be removed."""
    for ready in here:
        if ready.patch.operation in _ADDS or not matches_chain(
            ready.patch.match, listener, chain, is_default
        ):
            continue
        if ready.patch.operation == "REMOVE":
            attempt.did(ready)
            return False
        if ready.patch.operation in MERGES:
            attempt.merge(ready, merge_with_socket, chain)
    _change_network_filters(attempt, listener, chain, is_default)
    return True


def _change_network_filters(attempt: Attempt, listener: Any, chain: Any, is_default: bool) -> None:
    here = [
        ready
        for ready in _here(attempt, "NETWORK_FILTER", listener)
        if matches_chain(ready.patch.match, listener, chain, is_default)
    ]
    for ready in here:
        if ready.patch.operation not in MERGES:
            wanted = _named(_filter(ready))
            # The last filter ends the chain: nothing behind it would ever be asked.
            end = max(len(chain.filters) - 1, 0)
            if change(chain.filters, ready.patch.operation, ready.value, wanted, end):
                attempt.did(ready)
    for network_filter in chain.filters:
        for ready in here:
            if ready.patch.operation in MERGES and _filter(ready) in ("", network_filter.name):
                attempt.merge(ready, merge_extension, network_filter)
        if network_filter.name == CONNECTION_MANAGER:
            of_http = tuple(
                ready
                for ready in _here(attempt, "HTTP_FILTER", listener)
                if matches_chain(ready.patch.match, listener, chain, is_default)
                and _filter(ready) in ("", network_filter.name)
            )
            change_manager(attempt, of_http, network_filter)


def _filter(ready: Ready) -> str:
    match = ready.patch.match
    return match.filter if isinstance(match, ListenerMatch) else ""
