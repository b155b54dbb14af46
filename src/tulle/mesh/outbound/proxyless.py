"""What a scope looks like to callers whose gRPC library is their xDS client (decision 20).

The routes and endpoints are those of a sidecar of the scope. A caller dials a service's port by name, so
each port is a target of its own. Read by `resolve.py`.
"""

from __future__ import annotations

from dataclasses import replace

from tulle.mesh.route.common import Destination
from tulle.mesh.scope import Scope
from tulle.mesh.view import (
    Balancing,
    Discovery,
    Forward,
    LoadBalancing,
    Outbound,
    Proxyless,
    RouteTable,
    Target,
    VirtualHost,
)


def proxyless(scope: Scope, outbound: Outbound) -> Proxyless:
    """The outbound side of a scope in what gRPC understands (gRFC A27): names to dial and EDS clusters.

    Round robin, since grpcio refuses least request. Nothing is said of mTLS: the caller brings credentials of
    its own, and to a server's proxy it is a plaintext caller from outside.
    """
    clusters = tuple(
        replace(
            each, balancing=LoadBalancing(Balancing.ROUND_ROBIN), mtls=None, tls=None, proxy_protocol=None
        )
        for each in outbound.clusters
        if each.discovery is Discovery.EDS
    )
    others = {each.name for each in outbound.clusters if each.discovery is not Discovery.EDS}
    hosts = [
        (int(table.name), host)
        for table in outbound.route_tables
        for host in table.virtual_hosts
        if "*" not in host.domains and not _clusters_of(host) & others
    ]
    named = {name for _, host in hosts for name in _clusters_of(host)}
    return Proxyless(
        f"proxyless/{scope}",
        tuple(_target(port, host) for port, host in hosts),
        clusters,
        tuple(sorted(named - {each.name for each in clusters})),
    )


def _target(port: int, host: VirtualHost) -> Target:
    # Istio's generator for gRPC gives routes the name of the port's cluster too.
    named = Destination(host.name.removesuffix(f":{port}"), port).cluster
    anyhow = replace(host, domains=("*",))
    names = tuple(f"{name}:{port}" for name in host.domains if not name.replace(".", "").isdigit())
    return Target(names, RouteTable(named, (anyhow,), host.origin))


def _clusters_of(host: VirtualHost) -> set[str]:
    return {
        each.cluster
        for route in host.routes
        if isinstance(route.action, Forward)
        for each in route.action.clusters
    }
