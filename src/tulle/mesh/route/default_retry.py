"""MeshConfig's `defaultHttpRetryPolicy`: for HTTP routes that say nothing of retries, in either language.

Read by `outbound/outbound.py` and `gateway/gateway.py`, which make route tables.
"""

from __future__ import annotations

from dataclasses import replace

from tulle.mesh.route.common import PASSTHROUGH
from tulle.mesh.route.istio.action import retry
from tulle.mesh.view import Forward, Route, RouteTable, VirtualHost
from tulle.mesh.world import World
from tulle.model.istio import HTTPRetry
from tulle.model.schema import seconds


def with_default_retry(world: World, table: RouteTable) -> RouteTable:
    """The table itself where MeshConfig says nothing. What leaves the mesh as it came is not tried again
    (Istio, `BuildSidecarOutboundVirtualHosts`)."""
    written = world.mesh_config().default_http_retry_policy
    if written is None:
        return table
    return replace(table, virtual_hosts=tuple(_of_host(each, written) for each in table.virtual_hosts))


def _of_host(host: VirtualHost, written: HTTPRetry) -> VirtualHost:
    return replace(
        host,
        routes=tuple(_of_route(each, written) for each in host.routes),
        by_destination=tuple(
            replace(each, routes=tuple(_of_route(route, written) for route in each.routes))
            for each in host.by_destination
        ),
    )


def _of_route(route: Route, written: HTTPRetry) -> Route:
    action = route.action
    if not isinstance(action, Forward) or action.retry is not None:
        return route
    if [each.cluster for each in action.clusters] == [PASSTHROUGH]:
        return route
    limit = seconds(written.per_try_timeout) if written.per_try_timeout else None
    changed = replace(
        action,
        retry=retry(written),
        attempt_seconds=limit if action.attempt_seconds is None else action.attempt_seconds,
    )
    return replace(route, action=changed)
