"""EnvoyFilters' patches on a part of a proxy's configuration, with Envoy's own protobufs as the judge.

A patch whose value is none of Envoy's, or whose result breaks a constraint, is not applied and is told of;
the others are. What no patch means stays the very object that it was. Pure; read by the composition root.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from tulle.mesh.view import Origin
from tulle.mesh.view.patch import Patch
from tulle.xds import message
from tulle.xds.bundle import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, Translated, in_order
from tulle.xds.patch.attempt import Attempt, PatchError, Ready
from tulle.xds.patch.cluster import adopt, change_cluster
from tulle.xds.patch.constraint import violations
from tulle.xds.patch.listener import change_listener
from tulle.xds.patch.match import Where, listener_port
from tulle.xds.patch.table import change_table
from tulle.xds.patch.value import Path, read

_TYPES: dict[str, Any] = {
    "LISTENER": message.Listener,
    "FILTER_CHAIN": message.FilterChain,
    "NETWORK_FILTER": message.NetworkFilter,
    "LISTENER_FILTER": message.ListenerFilter,
    "HTTP_FILTER": message.HttpFilter,
    "ROUTE_CONFIGURATION": message.RouteConfiguration,
    "VIRTUAL_HOST": message.VirtualHost,
    "HTTP_ROUTE": message.Route,
    "CLUSTER": message.Cluster,
    "EXTENSION_CONFIG": message.TypedExtensionConfig,
}
_OF_TABLES = ("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE")
_CONCERNS = {
    LISTENER: ("LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "LISTENER_FILTER", "HTTP_FILTER", *_OF_TABLES),
    ROUTE: _OF_TABLES,
    CLUSTER: ("CLUSTER",),
}
_MESSAGES = {LISTENER: message.Listener, ROUTE: message.RouteConfiguration, CLUSTER: message.Cluster}
_ADDS = ("ADD", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST")
_ADDED = {"LISTENER": LISTENER, "CLUSTER": CLUSTER, "EXTENSION_CONFIG": EXTENSION}


@dataclass(frozen=True, slots=True, order=True)
class Complaint:
    """Why a patch, or a patch to one thing, is not applied."""

    origin: Origin
    path: Path
    """Of the culprit within the value."""
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Patched:
    """A part with its patches."""

    resources: tuple[Translated, ...]
    applied: frozenset[Origin] = frozenset()
    """The patches that found something to change."""
    complaints: tuple[Complaint, ...] = ()


@dataclass(frozen=True, slots=True)
class _Changed:
    resource: Translated | None
    """None: it is gone."""
    applied: tuple[Origin, ...] = ()
    complaints: tuple[Complaint, ...] = ()


def apply_patches(context: str, resources: Iterable[Translated], patches: tuple[Patch, ...]) -> Patched:
    """A part's resources with the patches that hold for it. `context`: Istio's PatchContext of the part."""
    ready, faults = _prepare(patches)
    before = tuple(resources)
    where = _where(context, before)
    complaints = list(faults)
    applied: set[Origin] = set()
    made: dict[tuple[str, str], Translated] = {}
    for one in before:
        changed = _change(one, ready, where) if _concerns(one, ready) else _Changed(one)
        applied.update(changed.applied)
        complaints += changed.complaints
        if changed.resource is not None:
            made[one.type_url, one.name] = changed.resource
    for each in ready:
        if _adds(each.patch):
            complaints += _add(made, each)
            applied.add(each.patch.origin)
    return Patched(in_order(made.values()), frozenset(applied), _first_of_each(complaints))


def _adds(patch: Patch) -> bool:
    """Whether it makes a resource of its own. To insert is to add where there is no order."""
    if patch.target == "EXTENSION_CONFIG":
        return patch.operation in (*_ADDS, "REPLACE")
    return patch.target in _ADDED and patch.operation in _ADDS


def _first_of_each(complaints: Iterable[Complaint]) -> tuple[Complaint, ...]:
    """A patch that fits none of a hundred clusters has one fault."""
    found: dict[tuple[Origin, Path, str], Complaint] = {}
    for each in complaints:
        found.setdefault((each.origin, each.path, each.code), each)
    return tuple(sorted(found.values(), key=lambda each: (each.origin, str(each.path), each.text)))


# -- values -------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _prepare(patches: tuple[Patch, ...]) -> tuple[tuple[Ready, ...], tuple[Complaint, ...]]:
    """The patches whose values are Envoy's, and what is wrong with the others."""
    ready: list[Ready] = []
    complaints: list[Complaint] = []
    for patch in patches:
        if not patch.value:
            ready.append(Ready(patch, None))
            continue
        value, faults = read(_TYPES[patch.target], json.loads(patch.value))
        complaints += (Complaint(patch.origin, each.path, each.code, each.text) for each in faults)
        if not faults:
            ready.append(Ready(patch, value))
    return tuple(ready), tuple(complaints)


# -- one resource -------------------------------------------------------------------------------------


def _where(context: str, resources: Iterable[Translated]) -> Where:
    if context != "GATEWAY":
        return Where(context)
    listeners = (message.Listener.FromString(one.body) for one in resources if one.type_url == LISTENER)
    return Where(context, frozenset(map(listener_port, listeners)))


def _concerns(one: Translated, ready: tuple[Ready, ...]) -> bool:
    wanted = _CONCERNS.get(one.type_url, ())
    return any(each.patch.target in wanted for each in ready)


@lru_cache(maxsize=4096)
def _change(one: Translated, ready: tuple[Ready, ...], where: Where) -> _Changed:
    """One resource by the patches that can be applied to it, as many as the protobufs allow."""
    whole = _attempt(one, ready, where)
    if not whole.complaints:
        return whole
    good: list[Ready] = []
    complaints: list[Complaint] = []
    for each in ready:  # which of them it is
        found = _attempt(one, (*good, each), where)
        if found.complaints:
            complaints += found.complaints
        else:
            good.append(each)
    return replace(_attempt(one, tuple(good), where), complaints=tuple(complaints))


def _attempt(one: Translated, ready: tuple[Ready, ...], where: Where) -> _Changed:
    attempt = Attempt(ready, where)
    changed = _MESSAGES[one.type_url].FromString(one.body)
    try:
        kept = _apply(attempt, one, changed)
    except PatchError as error:
        return _Changed(one, complaints=(Complaint(error.origin, (), "not-applied", f"{one.name}: {error}"),))
    applied = tuple(attempt.applied)
    if not kept:
        return _Changed(None, applied)
    body = message.serialise(changed)
    if not applied or body == one.body:
        return _Changed(one, applied)
    wrong = next(violations(changed), None)
    if wrong is not None:
        return _Changed(
            one, complaints=(Complaint(applied[-1], (), "invalid-value", f"{one.name}: {wrong}"),)
        )
    needs = one.needs if one.type_url != CLUSTER or _is_eds(one.type_url, changed) else ()
    return _Changed(replace(one, body=body, needs=needs, changed_by=applied), applied)


def _apply(attempt: Attempt, one: Translated, changed: Any) -> bool:
    if one.type_url == LISTENER:
        return change_listener(attempt, changed)
    if one.type_url == CLUSTER:
        return change_cluster(attempt, changed, one.origin)
    change_table(attempt, changed)
    return True


def _add(made: dict[tuple[str, str], Translated], ready: Ready) -> list[Complaint]:
    """Put a resource of its own into the part. A name is there once: what is there keeps it."""
    type_url = _ADDED[ready.patch.target]
    origin, name = ready.patch.origin, ready.value.name
    key = (type_url, name)
    if not name:
        return [Complaint(origin, (), "missing-field", "it has no name")]
    if key in made and ready.patch.operation != "REPLACE":
        return [Complaint(origin, ("name",), "duplicate-name", f"there is one called “{name}” already")]
    value: Any = type(ready.value).FromString(message.serialise(ready.value))
    if type_url == CLUSTER:
        adopt(value, lambda wanted: _cluster(made, wanted))
    wrong = next(violations(value), None)
    if wrong is not None:
        return [Complaint(origin, (), "invalid-value", wrong)]
    needs = ((ENDPOINT, value.eds_cluster_config.service_name or name),) if _is_eds(type_url, value) else ()
    made[key] = Translated(type_url, name, message.serialise(value), needs, origin, (origin,))
    return []


def _is_eds(type_url: str, value: Any) -> bool:
    return type_url == CLUSTER and value.type == value.EDS


def _cluster(made: dict[tuple[str, str], Translated], name: str) -> Any:
    """A cluster of the part, or None."""
    found = made.get((CLUSTER, name))
    return message.Cluster.FromString(found.body) if found is not None else None
