"""Outbound -> what gRPC's own xDS clients understand (`xds:///reviews:9080`, no proxy in between).

The same routes and endpoints as a sidecar of the namespace has, in the part of xDS that gRPC reads (gRFC
A27, A28, A31): a listener by the name that was dialled, round robin (grpcio refuses least request, decision
20), EDS clusters. The client brings its own credentials, so nothing is said of mTLS here: a server's proxy
takes it for a plaintext caller from outside, and a STRICT one refuses it.
"""

from __future__ import annotations

import re
from dataclasses import replace

from tulle.mesh.view import (
    Balancing,
    Cluster,
    Discovery,
    Forward,
    MatchKind,
    Outbound,
    Route,
    RouteTable,
    ValueMatch,
    VirtualHost,
)
from tulle.xds import message
from tulle.xds.bundle import ROUTE, Translated, in_order, translated
from tulle.xds.cluster import translate_cluster
from tulle.xds.filter.router import router
from tulle.xds.route import translate_route_table


def _listener(name: str, host: VirtualHost) -> Translated:
    manager = message.HttpConnectionManager(
        rds={"route_config_name": host.name, "config_source": message.over_ads()},
        http_filters=[router()],
    )
    built = message.Listener(name=name, api_listener={"api_listener": message.packed(manager)})
    return translated(built, name, host.origin, ((ROUTE, host.name),))


def _route(route: Route) -> Route:
    path = route.match.path
    if path is None or path.kind is not MatchKind.PATH_PREFIX:
        return route
    # gRPC knows no prefix of path elements, and refuses a route table that has one.
    pattern = re.escape(path.value.rstrip("/")) + "(/.*)?"
    as_regex = ValueMatch(MatchKind.REGEX, pattern, path.ignore_case)
    return replace(route, match=replace(route.match, path=as_regex))


def _table(host: VirtualHost) -> RouteTable:
    # The client has chosen the host by the listener's name, whichever of the host's names that was.
    anyhow = replace(host, domains=("*",), routes=tuple(_route(route) for route in host.routes))
    return RouteTable(host.name, (anyhow,), host.origin)


def _is_reachable(host: VirtualHost, clusters: dict[str, Cluster]) -> bool:
    """Whether all of its routes lead to clusters that gRPC can use, or to an answer."""
    return "*" not in host.domains and all(
        one.cluster in clusters
        for route in host.routes
        if isinstance(route.action, Forward)
        for one in route.action.clusters
    )


def translate_proxyless(outbound: Outbound) -> tuple[Translated, ...]:
    """What a gRPC client in the namespace of `outbound` may ask for by name. Endpoints are shared."""
    clusters = {
        one.name: replace(one, balancing=Balancing.ROUND_ROBIN, mtls=None)
        for one in outbound.clusters
        if one.discovery is Discovery.EDS
    }
    resources = [translate_cluster(one) for one in clusters.values()]
    for table in outbound.route_tables:
        for host in table.virtual_hosts:
            if _is_reachable(host, clusters):
                resources.append(translate_route_table(_table(host)))
                resources += (_listener(f"{domain}:{table.name}", host) for domain in host.domains)
    return in_order(resources)
