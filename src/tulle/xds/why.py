"""Why each Envoy object exists: the index beside the bundle (decision 16).

What is written down is walked as it is, so nothing can be in it that is not told of; what caused it is looked
up in the View by the path of names. A part that the View says nothing of is there for what it is a part of.
Read by `tulle render --why`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tulle.mesh.view import Gateway, Inbound, Origin, Outbound, Proxyless, RouteTable, WorkloadView
from tulle.xds.bundle import CLUSTER, ENDPOINT, EXTENSION, LISTENER, MESH, ROUTE, SECRET, Translated
from tulle.xds.cluster import BLACK_HOLE, INBOUND_PASSTHROUGH, PASSTHROUGH
from tulle.xds.render import to_tree

Path = tuple[str, ...]
"""The names of an object and of what it is in: `("listener", "0.0.0.0_9080", "mesh")`."""

_KINDS = {
    LISTENER: "listener",
    EXTENSION: "extension",
    ROUTE: "route table",
    CLUSTER: "cluster",
    ENDPOINT: "endpoints",
    SECRET: "secret",
}
"""In the order in which a request meets them."""

_INBOUND = ("listener", "virtualInbound")
_OF_EVERY_PROXY = {
    "virtualOutbound": "takes every connection that the workload opens",
    "virtualInbound": "takes every connection that reaches the workload",
    "own-port": "a connection to the proxy itself would go round for ever",
    "link-local": "what the host's cloud tells it is not for workloads",
    "no-such-port": "a virtual address has no ports but its service's",
    "virtualOutbound-catchall-tcp": "destinations outside of the mesh",
    "virtualOutbound-blackhole": "destinations outside of the mesh",
    "undeclared": "ports of the workload that nobody declared",
    PASSTHROUGH: "destinations outside of the mesh",
    BLACK_HOLE: "what refused connections are sent to",
    INBOUND_PASSTHROUGH: "ports of the workload that nobody declared",
}
"""What no resource asked for, by the last of its names."""
_MISSING = "a route names it, and it does not exist"  # see `proxyless.py`


@dataclass(frozen=True, slots=True)
class Reason:
    """What one object exists for."""

    path: Path
    origin: Origin
    note: str = ""
    """In words, where no resource asked for it."""
    changed_by: tuple[Origin, ...] = ()
    """The patches that changed it, of what is a resource of its own."""


def why(views: Iterable[WorkloadView], content: Iterable[Translated]) -> tuple[Reason, ...]:
    """The reason of every listener, filter chain, route table, virtual host, route, cluster, endpoint set and
    secret, parts after what they are in."""
    known = dict(entry for view in views for entry in _entries(view))
    order = list(_KINDS)
    found: list[Reason] = []
    for one in sorted(content, key=lambda one: (order.index(one.type_url), one.name)):
        origins: dict[Path, Origin] = {}
        for path in _paths((_KINDS[one.type_url], one.name), to_tree(one)):
            origin = known.get(_as_in_view(path)) or origins.get(path[:-1]) or one.origin
            origins[path] = origin
            note = _OF_EVERY_PROXY.get(path[-1], _MISSING) if origin is MESH else ""
            found.append(Reason(path, origin, note, one.changed_by if len(path) == 2 else ()))
    return tuple(found)


def _as_in_view(path: Path) -> Path:
    """The path of what an object stands for there: one port has several chains, and a gateway's listener a
    twin for the relay."""
    if path[:2] == _INBOUND and len(path) == 3:
        return (*_INBOUND, path[2].partition("-")[0])
    return (path[0], path[1].removesuffix("_local"), *path[2:])


def _paths(path: Path, tree: dict[str, Any]) -> Iterator[Path]:
    """The object and its parts; those that people wrote into it themselves may have no name."""
    yield path
    chains = [*tree.get("filter_chains", ()), *filter(None, [tree.get("default_filter_chain")])]
    for chain in chains:
        yield (*path, chain.get("name", ""))
    for host in tree.get("virtual_hosts", ()):
        yield (*path, host["name"])
        yield from dict.fromkeys((*path, host["name"], name) for name in _route_names(host))


def _route_names(tree: Any) -> Iterator[str]:
    """Of the routes of a virtual host; where they are looked up by the dialled address, the addresses."""
    if isinstance(tree, list):
        for value in tree:
            yield from _route_names(value)
    elif isinstance(tree, dict):
        yield from (route.get("name", "") for route in tree.get("routes", ()))
        for name, value in tree.items():
            yield from value["map"] if name == "exact_match_map" else _route_names(value)


# -- what the View says -------------------------------------------------------------------------------


def _entries(view: WorkloadView) -> Iterator[tuple[Path, Origin]]:
    if view.outbound is not None:
        yield from _outbound(view.outbound)
    if view.inbound is not None:
        yield from _inbound(view.inbound)
    if view.gateway is not None:
        yield from _gateway(view.gateway)
    if view.proxyless is not None:
        yield from _proxyless(view.proxyless)


def _outbound(outbound: Outbound) -> Iterator[tuple[Path, Origin]]:
    for listener in outbound.listeners:
        for chain in (*listener.chains, listener.otherwise):
            yield ("listener", listener.name, chain.name), chain.origin
    for table in outbound.route_tables:
        yield from _table(table)


def _inbound(inbound: Inbound) -> Iterator[tuple[Path, Origin]]:
    for port in inbound.ports:
        yield (*_INBOUND, str(port.port)), port.origin


def _gateway(gateway: Gateway) -> Iterator[tuple[Path, Origin]]:
    for listener in gateway.listeners:
        for chain in listener.chains:
            yield ("listener", listener.name, chain.name), chain.origin
    for table in gateway.route_tables:
        yield from _table(table)


def _proxyless(client: Proxyless) -> Iterator[tuple[Path, Origin]]:
    for target in client.targets:
        yield from _table(target.table)


def _table(table: RouteTable) -> Iterator[tuple[Path, Origin]]:
    for host in table.virtual_hosts:
        at = ("route table", table.name, host.name)
        yield at, host.origin
        for there in host.by_destination:
            yield (*at, there.destination), there.routes[0].origin
        for route in (*(each for there in host.by_destination for each in there.routes), *host.routes):
            yield (*at, route.name), route.origin
