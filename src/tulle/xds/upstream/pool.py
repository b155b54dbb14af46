"""ConnectionPool -> circuit breakers, connections and the HTTP that is spoken."""

from __future__ import annotations

from typing import Any

from tulle.mesh.view import ConnectionPool, Keepalive, RetryBudget
from tulle.xds import message
from tulle.xds.message import Tree

CONNECT_SECONDS = 10.0
"""Istio's default (mesh config, connectTimeout)."""

_UNLIMITED = 2**32 - 1
# Envoy's own thresholds (1024 connections, requests, pending; 3 retries) are a policy that nobody wrote.
# Istio lifts them in the same way until a DestinationRule says something.


def circuit_breakers(pool: ConnectionPool) -> Tree:
    """config.cluster.v3.CircuitBreakers: what is above a limit is refused at once (503, flag UO)."""
    limits = {
        "max_connections": pool.connections,
        "max_pending_requests": pool.pending_requests,
        "max_requests": pool.requests,
        "max_retries": pool.retries,
    }
    thresholds: Tree = {
        name: message.number(_UNLIMITED if limit is None else limit) for name, limit in limits.items()
    }
    if pool.retry_budget is not None:
        thresholds["retry_budget"] = _retry_budget(pool.retry_budget)
    return {"thresholds": [thresholds]}


def _retry_budget(budget: RetryBudget) -> Any:
    known: Tree = {
        "budget_percent": {"value": budget.percent},
        "min_retry_concurrency": message.number(budget.minimum),
    }
    return message.retry_budget(known, budget.interval_seconds) if budget.interval_seconds else known


def connection_options(pool: ConnectionPool) -> Tree:
    """Fields of the cluster itself."""
    connect = CONNECT_SECONDS if pool.connect_seconds is None else pool.connect_seconds
    built: Tree = {"connect_timeout": message.seconds(connect)}
    if pool.keepalive is not None:
        built["upstream_connection_options"] = {"tcp_keepalive": _keepalive(pool.keepalive)}
    return built


def _keepalive(keepalive: Keepalive) -> Tree:
    written = {
        "keepalive_probes": keepalive.probes,
        "keepalive_time": keepalive.idle_seconds,
        "keepalive_interval": keepalive.interval_seconds,
    }
    return {name: message.number(value) for name, value in written.items() if value is not None}


def common_http_options(pool: ConnectionPool) -> Tree:
    """core.v3.HttpProtocolOptions."""
    built: Tree = {}
    if pool.idle_seconds is not None:
        built["idle_timeout"] = message.seconds(pool.idle_seconds)
    if pool.requests_per_connection is not None:
        built["max_requests_per_connection"] = message.number(pool.requests_per_connection)
    if pool.connection_seconds is not None:
        built["max_connection_duration"] = message.seconds(pool.connection_seconds)
    return built


def http2_options(pool: ConnectionPool) -> Tree:
    """core.v3.Http2ProtocolOptions."""
    built: Tree = {}
    if pool.streams_per_connection is not None:
        built["max_concurrent_streams"] = message.number(pool.streams_per_connection)
    if pool.ping is not None:
        interval, timeout = pool.ping
        built["connection_keepalive"] = {
            "interval": message.seconds(interval),
            "timeout": message.seconds(timeout),
        }
    return built
