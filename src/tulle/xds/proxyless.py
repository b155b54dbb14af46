"""Proxyless -> what gRPC's own xDS clients understand: `xds:///reviews:9080`, no proxy in between.

A listener by each name that may be dialled, its routes, and EDS clusters; nothing else is in the part of xDS
that gRPC reads (gRFC A27, A28, A31). It looks at the first request only where routes differ for it: what gRPC
cannot say of a route is put in other words here, or the route is left out where it can match no call. Of what
a route does it knows clusters by weight, the time limit, retries by gRPC status (A44), hashes of headers
(A42) and faults (A33); header changes, rewrites, mirrors and sessions do not reach it, and a call that is to
be redirected or answered in place fails with UNAVAILABLE (A28).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product

from tulle.kit.memo import memoised
from tulle.mesh.view import (
    Balancing,
    Cluster,
    Discovery,
    EndpointSet,
    Forward,
    LoadBalancing,
    MatchKind,
    NamedMatch,
    Origin,
    Proxyless,
    Redirect,
    Respond,
    Route,
    RouteTable,
    Target,
    ValueMatch,
    VirtualHost,
    WeightedCluster,
)
from tulle.xds import message
from tulle.xds.bundle import MESH, ROUTE, Translated, in_order, translated
from tulle.xds.cluster import translate_cluster
from tulle.xds.endpoint import translate_endpoints
from tulle.xds.filter import fault
from tulle.xds.filter.router import router
from tulle.xds.message import Tree
from tulle.xds.route import virtual_host

_METHOD = ":method"
_POST = "POST"
"""The method of every gRPC call ("gRPC over HTTP2", Requests)."""
_ABSENT = ValueMatch(MatchKind.PRESENT, invert=True)


@lru_cache(maxsize=16384)
def _listener(name: str, table: str, origin: Origin, faults: bool) -> Translated:
    """`faults`: routes have some. A filter cannot be off here, and a changed listener closes nothing."""
    manager = message.HttpConnectionManager(
        rds={"route_config_name": table, "config_source": message.over_ads()},
        http_filters=[message.extension(fault.NAME, message.HttpFault()), router()] if faults else [router()],
    )
    built = message.Listener(name=name, api_listener={"api_listener": message.packed(manager)})
    return translated(built, name, origin, ((ROUTE, table),))


# -- routes -----------------------------------------------------------------------------------------


def _path(path: ValueMatch | None) -> ValueMatch | None:
    if path is None or path.kind is not MatchKind.PATH_PREFIX:
        return path
    prefix = path.value.rstrip("/")
    # gRPC knows no prefix of path elements, and refuses a route table that has one.
    return ValueMatch(MatchKind.REGEX, re.escape(prefix) + "(/.*)?", path.ignore_case) if prefix else None


def _is_post(match: ValueMatch) -> bool:
    """Whether a match of the method holds for a gRPC call."""
    match match.kind:
        case MatchKind.EXACT:
            holds = match.value == _POST
        case MatchKind.PREFIX | MatchKind.PATH_PREFIX:
            holds = _POST.startswith(match.value)
        case MatchKind.REGEX:
            holds = re.fullmatch(match.value, _POST) is not None
        case MatchKind.PRESENT:
            holds = True
    return holds is not match.invert


def _ways(named: NamedMatch) -> tuple[NamedMatch, ...]:
    """The ways in which a header's match may hold. An inverted one holds without the header too, but not for
    gRPC."""
    if named.match.invert and named.match.kind is not MatchKind.PRESENT:
        return (named, replace(named, match=_ABSENT))
    return (named,)


def _routes(host: VirtualHost) -> Iterator[Route]:
    for route in host.routes:
        match = route.match
        if match.query or not all(_is_post(one.match) for one in match.headers if one.name == _METHOD):
            continue  # a gRPC call has no query, and one method
        headers = [_ways(one) for one in match.headers if one.name != _METHOD]
        for chosen in product(*headers):
            known = replace(match, path=_path(match.path), headers=chosen)
            yield Route(route.name, known, _action(route.action), route.origin, fault=route.fault)


def _action(action: Forward | Redirect | Respond) -> Forward | Redirect | Respond:
    if not isinstance(action, Forward):
        return action
    clusters = tuple(WeightedCluster(one.cluster, one.weight) for one in action.clusters)
    return Forward(clusters, action.timeout_seconds, retry=action.retry)


def _tree(host: VirtualHost) -> Tree:
    routes = tuple(_routes(host))
    built = virtual_host(replace(host, routes=routes), by_request=False)
    for route, tree in zip(routes, built["routes"], strict=True):
        if isinstance(route.action, Forward) and route.action.timeout_seconds is not None:
            # gRPC reads this in place of `timeout` (gRFC A31).
            limit = message.seconds(route.action.timeout_seconds)
            tree["route"]["max_stream_duration"] = {"max_stream_duration": limit}
    return built


@memoised
def _route_table(table: RouteTable) -> Translated:
    hosts = [_tree(host) for host in table.virtual_hosts]
    built = message.RouteConfiguration(name=table.name, virtual_hosts=hosts)
    return translated(built, table.name, table.origin)


# -- the whole --------------------------------------------------------------------------------------


def _target(target: Target) -> Iterator[Translated]:
    yield _route_table(target.table)
    faults = any(route.fault for host in target.table.virtual_hosts for route in host.routes)
    for name in target.names:
        yield _listener(name, target.table.name, target.table.origin, faults)


def _missing(name: str) -> Iterator[Translated]:
    """A cluster without an endpoint. For one that it is not given gRPC waits 15 s before any call of the
    target goes anywhere (gRFC A74)."""
    yield translate_cluster(
        Cluster(name, Discovery.EDS, MESH, balancing=LoadBalancing(Balancing.ROUND_ROBIN))
    )
    yield from translate_endpoints(EndpointSet(name, (), MESH))


def translate_proxyless(client: Proxyless) -> tuple[Translated, ...]:
    """The part `proxyless/<namespace>`. Endpoints are shared with everybody else."""
    return in_order(
        [
            *(each for target in client.targets for each in _target(target)),
            *(translate_cluster(cluster) for cluster in client.clusters),
            *(each for name in client.missing for each in _missing(name)),
        ]
    )
