"""connectionPool and retryBudget of a DestinationRule: the limits of each caller's proxy.

Fields that are 0 say nothing, as in Istio (`applyConnectionPool`). Read by `outbound/cluster.py`.
"""

from __future__ import annotations

from tulle.mesh.policy.destination import Settings
from tulle.mesh.view import ConnectionPool, Keepalive, RetryBudget, Upstream
from tulle.model import istio
from tulle.model.schema import seconds

_UPSTREAM = {"UPGRADE": Upstream.HTTP2, "DO_NOT_UPGRADE": Upstream.DECLARED, "DEFAULT": Upstream.DECLARED}
"""The mesh itself upgrades nothing (nor does Istio, until `MeshConfig.h2UpgradePolicy` says so)."""


def connection_pool(settings: Settings) -> ConnectionPool:
    """What holds for each cluster that the settings are for."""
    budget = _retry_budget(settings.retry_budget) if settings.retry_budget is not None else None
    written = settings.connection_pool
    if written is None:
        return ConnectionPool(retry_budget=budget)
    tcp, http = written.tcp or istio.TCPSettings(), written.http or istio.HTTPSettings()
    ping = http.http2_keep_alive
    return ConnectionPool(
        connections=tcp.max_connections or None,
        pending_requests=http.http1_max_pending_requests or None,
        requests=http.http2_max_requests or None,
        retries=http.max_retries or None,
        retry_budget=budget,
        requests_per_connection=http.max_requests_per_connection or None,
        streams_per_connection=http.max_concurrent_streams or None,
        connect_seconds=_seconds(tcp.connect_timeout),
        idle_seconds=_seconds(http.idle_timeout or tcp.idle_timeout),
        connection_seconds=_seconds(tcp.max_connection_duration),
        keepalive=_keepalive(tcp.tcp_keepalive) if tcp.tcp_keepalive is not None else None,
        ping=(seconds(ping.interval), seconds(ping.timeout)) if ping is not None else None,
        upstream=Upstream.AS_CALLER if http.use_client_protocol else _UPSTREAM[http.h2_upgrade_policy],
    )


def idle_seconds(settings: Settings) -> float | None:
    """How long a connection without HTTP may be silent."""
    pool = settings.connection_pool
    return _seconds(pool.tcp.idle_timeout) if pool is not None and pool.tcp is not None else None


def _seconds(written: str | None) -> float | None:
    return seconds(written) if written is not None else None


def _keepalive(written: istio.TcpKeepalive) -> Keepalive:
    """TCP's options count whole seconds; less than one is one (0 is refused by the kernel)."""

    def whole(duration: str | None) -> int | None:
        return max(1, int(seconds(duration))) if duration is not None else None

    return Keepalive(written.probes or None, whole(written.time), whole(written.interval))


def _retry_budget(written: istio.RetryBudget) -> RetryBudget:
    percent = 20.0 if written.percent is None else written.percent
    interval = seconds(written.budget_interval) if written.budget_interval is not None else 0.0
    return RetryBudget(percent, written.min_retry_concurrency or 3, interval)
