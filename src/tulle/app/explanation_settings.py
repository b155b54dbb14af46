"""What a DestinationRule says of a cluster, in words: who is chosen, what is limited, who is left out.

Only what somebody asked for is said: a cluster with the mesh's own settings says nothing. Read by
`explanation.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tulle.mesh.view import (
    Balancing,
    Cluster,
    ConnectionPool,
    Endpoint,
    LoadBalancing,
    OutlierDetection,
    Spread,
    Upstream,
)

_CHOICES = {
    Balancing.LEAST_REQUEST: "the endpoint with the fewest requests under way (of two that are drawn)",
    Balancing.ROUND_ROBIN: "the endpoints in turn",
    Balancing.RANDOM: "an endpoint at random",
    Balancing.RING_HASH: "an endpoint by hash (ring)",
    Balancing.MAGLEV: "an endpoint by hash (Maglev)",
}
_SPREADS = {
    Spread.ANY: "",
    Spread.WEIGHTED: "localities get the shares that are written",
    Spread.NEAR: "the caller's zone comes first",
    Spread.NEVER_NEAR: "the caller's zone does not come first",
}


def settings_said(cluster: Cluster, endpoints: tuple[Endpoint, ...]) -> Iterator[tuple[str, str]]:
    """(step, words). `endpoints`: those behind it, with the priorities that their localities gave them."""
    if cluster.balancing != LoadBalancing():
        yield "balancing", ", ".join(_balancing(cluster.balancing))
    ready = [each for each in endpoints if each.healthy]
    priorities = sorted({each.priority for each in endpoints})
    if len(priorities) > 1 and ready:
        now = min(each.priority for each in ready)
        nearest = {"/".join(filter(None, each.locality)) for each in ready if each.priority == now}
        near = " and ".join(sorted(filter(None, nearest))) or "without a name"
        words = f"{len(priorities)} groups of localities; {near} is the first with a ready endpoint"
        yield "locality", words
    limits = ", ".join(_limits(cluster.pool))
    if limits:
        yield "limits", f"of each proxy: {limits}"
    if cluster.outlier is not None:
        yield "outliers", ", ".join(_outliers(cluster.outlier))


def _balancing(balancing: LoadBalancing) -> Iterator[str]:
    keys = [f"{key.source.replace('_', ' ')} {key.name}".strip() for key in balancing.hash_keys]
    yield _CHOICES[balancing.algorithm] + (f" of {' or '.join(keys)}" if keys else "")
    if balancing.warmup is not None:
        yield f"a new one warms up for {_time(balancing.warmup.seconds)}"
    if _SPREADS[balancing.spread]:
        yield _SPREADS[balancing.spread]


def _limits(pool: ConnectionPool) -> Iterator[str]:
    for number, what in (
        (pool.connections, "connections"),
        (pool.pending_requests, "waiting requests"),
        (pool.requests, "requests at one time"),
        (pool.retries, "retries at one time"),
        (pool.requests_per_connection, "requests per connection"),
        (pool.streams_per_connection, "streams per connection"),
    ):
        if number is not None:
            yield f"at most {number} {what}"
    if pool.retry_budget is not None:
        budget = pool.retry_budget
        yield f"retries are at most {budget.percent:g}% of the requests, or {budget.minimum}"
    if pool.connect_seconds is not None:
        yield f"{_time(pool.connect_seconds)} to connect"
    if pool.idle_seconds is not None:
        yield f"idle for {_time(pool.idle_seconds)} at most" if pool.idle_seconds else "idle for ever"
    if pool.connection_seconds is not None:
        yield f"connections live for {_time(pool.connection_seconds)} at most"
    if pool.upstream is Upstream.HTTP2:
        yield "HTTP/2 is spoken"
    elif pool.upstream is Upstream.AS_CALLER:
        yield "the caller's HTTP is spoken"


def _outliers(found: OutlierDetection) -> Iterator[str]:
    statuses = " or ".join(map(str, found.error_statuses)) or "5xx"
    counted = [
        f"{number} {what} in a row"
        for number, what in (
            (found.server_errors, statuses),
            (found.gateway_errors, "502, 503 or 504"),
            (found.local_failures, "failures to connect"),
        )
        if number
    ]
    yield f"an endpoint is left out after {' or '.join(counted) or 'Envoy’s number of errors'}"
    if found.ejection_seconds is not None:
        yield f"for {_time(found.ejection_seconds)} at first"
    if found.ejection_percent is not None:
        yield f"{found.ejection_percent}% of them at most"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:g}ms" if seconds < 1 else f"{seconds:g}s"
