"""LoadBalancing -> how a cluster chooses among its endpoints."""

from __future__ import annotations

from tulle.mesh.view import Balancing, HashKey, HashSource, LoadBalancing, Spread, Warmup
from tulle.xds import message
from tulle.xds.message import Tree

_POLICIES = {
    Balancing.LEAST_REQUEST: "LEAST_REQUEST",
    Balancing.ROUND_ROBIN: "ROUND_ROBIN",
    Balancing.RANDOM: "RANDOM",
    Balancing.RING_HASH: "RING_HASH",
    Balancing.MAGLEV: "MAGLEV",
}
_TABLES = {
    Balancing.RING_HASH: ("ring_hash_lb_config", "minimum_ring_size"),
    Balancing.MAGLEV: ("maglev_lb_config", "table_size"),
}
_NEW_ONES = {
    Balancing.LEAST_REQUEST: "least_request_lb_config",
    Balancing.ROUND_ROBIN: "round_robin_lb_config",
}
_NO_RUNTIME_KEY = "tulle.none"
# RuntimeDouble must have a key; nobody sets this one, so its default holds.


def load_balancing(balancing: LoadBalancing) -> Tree:
    """Fields of the cluster."""
    built: Tree = {"lb_policy": _POLICIES[balancing.algorithm]}
    if balancing.table_size is not None:
        config, field = _TABLES[balancing.algorithm]
        built[config] = {field: message.number(balancing.table_size)}
    if balancing.warmup is not None:
        built[_NEW_ONES[balancing.algorithm]] = {"slow_start_config": _warmup(balancing.warmup)}
    return built


def common_options(balancing: LoadBalancing, panic_percent: int) -> Tree:
    """Cluster.CommonLbConfig. Without a threshold Envoy sends to unready endpoints as soon as more than half
    are unready."""
    built: Tree = {"healthy_panic_threshold": {"value": panic_percent}}
    if balancing.spread is Spread.WEIGHTED:
        built["locality_weighted_lb_config"] = {}
    elif balancing.spread is not Spread.ANY:
        near: Tree = {}
        if balancing.spread is Spread.NEVER_NEAR:
            near["routing_enabled"] = {"value": 0}
        if balancing.spread_minimum_hosts is not None:
            near["min_cluster_size"] = message.number(balancing.spread_minimum_hosts)
        built["zone_aware_lb_config"] = near
    return built


def _warmup(warmup: Warmup) -> Tree:
    built: Tree = {"slow_start_window": message.seconds(warmup.seconds)}
    if warmup.aggression is not None:
        built["aggression"] = {"default_value": warmup.aggression, "runtime_key": _NO_RUNTIME_KEY}
    if warmup.minimum_percent is not None:
        built["min_weight_percent"] = {"value": warmup.minimum_percent}
    return built


def hash_policy(key: HashKey) -> Tree:
    """config.route.v3.RouteAction.HashPolicy"""
    if key.source is HashSource.HEADER:
        return {"header": {"header_name": key.name}}
    if key.source is HashSource.QUERY:
        return {"query_parameter": {"name": key.name}}
    if key.source is HashSource.SOURCE_ADDRESS:
        return {"connection_properties": {"source_ip": True}}
    cookie: Tree = {"name": key.name, "path": key.cookie_path}
    if key.cookie_seconds is not None:
        cookie["ttl"] = message.seconds(key.cookie_seconds)
    if key.cookie_attributes:
        cookie["attributes"] = [{"name": name, "value": value} for name, value in key.cookie_attributes]
    return {"cookie": cookie}
