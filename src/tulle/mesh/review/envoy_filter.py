"""What can be said of an EnvoyFilter without any proxy's configuration: the warnings of Istio's validation
(`ValidateEnvoyFilter`) and analysis, and whom it selects. Read by `review.py`."""

from __future__ import annotations

from collections.abc import Iterator

from tulle.mesh.policy.envoy_filter import EnvoyFilter, selects
from tulle.mesh.problem import Problem, warning
from tulle.mesh.world import World
from tulle.model.istio import EnvoyConfigObjectPatch
from tulle.model.istio.envoy_filter import VERSION_LENGTH

_INSERTS = ("ADD", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST")
_MERGES = ("MERGE", "MERGE_AND_REPLACE_LIST")
_OF_FILTERS = (*_MERGES, *_INSERTS, "REMOVE", "REPLACE")
_EFFECT = {
    "LISTENER": (*_MERGES, *_INSERTS, "REMOVE"),
    "FILTER_CHAIN": (*_MERGES, *_INSERTS, "REMOVE"),
    "NETWORK_FILTER": _OF_FILTERS,
    "HTTP_FILTER": _OF_FILTERS,
    "LISTENER_FILTER": _OF_FILTERS,
    "ROUTE_CONFIGURATION": _MERGES,
    "VIRTUAL_HOST": _OF_FILTERS,
    "HTTP_ROUTE": (*_MERGES, *_INSERTS, "REMOVE"),
    "CLUSTER": (*_MERGES, *_INSERTS, "REMOVE"),
    "EXTENSION_CONFIG": (*_INSERTS, "REPLACE"),
}
"""What does something to what."""

_RENAMED = {
    "envoy.buffer": "envoy.filters.http.buffer",
    "envoy.cors": "envoy.filters.http.cors",
    "envoy.csrf": "envoy.filters.http.csrf",
    "envoy.ext_authz": "envoy.filters.http.ext_authz",
    "envoy.fault": "envoy.filters.http.fault",
    "envoy.grpc_http1_bridge": "envoy.filters.http.grpc_http1_bridge",
    "envoy.grpc_json_transcoder": "envoy.filters.http.grpc_json_transcoder",
    "envoy.grpc_web": "envoy.filters.http.grpc_web",
    "envoy.gzip": "envoy.filters.http.gzip",
    "envoy.health_check": "envoy.filters.http.health_check",
    "envoy.http_connection_manager": "envoy.filters.network.http_connection_manager",
    "envoy.http_dynamo_filter": "envoy.filters.http.dynamo",
    "envoy.ip_tagging": "envoy.filters.http.ip_tagging",
    "envoy.lua": "envoy.filters.http.lua",
    "envoy.mongo_proxy": "envoy.filters.network.mongo_proxy",
    "envoy.rate_limit": "envoy.filters.http.ratelimit",
    "envoy.ratelimit": "envoy.filters.network.ratelimit",
    "envoy.redis_proxy": "envoy.filters.network.redis_proxy",
    "envoy.router": "envoy.filters.http.router",
    "envoy.squash": "envoy.filters.http.squash",
    "envoy.tcp_proxy": "envoy.filters.network.tcp_proxy",
}
"""Names that Envoy gave up (Istio, `DeprecatedFilterNames`)."""


def review_envoy_filter(world: World, written: EnvoyFilter) -> Iterator[Problem]:
    """Everything that a person should see to."""
    spec = written.spec
    if spec.workload_selector is not None and not spec.workload_selector.labels:
        message = "a workloadSelector without labels selects every workload of the namespace"
        yield warning(written, "spec.workloadSelector", "selects-all", message, "Write labels, or remove it.")
    if not any(selects(world, written, workload) for workload in world.workloads()):
        field = "spec.targetRefs" if spec.target_refs else "spec.workloadSelector"
        message = "no proxy is selected, so nothing is changed"
        remedy = "Compare the namespace and the labels with those of the workloads."
        yield warning(written, field, "selects-nothing", message, remedy)
    for index, each in enumerate(spec.config_patches):
        yield from _patch(written, each, f"spec.configPatches[{index}]")


def _patch(written: EnvoyFilter, each: EnvoyConfigObjectPatch, field: str) -> Iterator[Problem]:
    operation = each.patch.operation if each.patch is not None else ""
    if operation not in _EFFECT.get(each.apply_to, (operation,)):
        message = f"{operation} does nothing to {each.apply_to}"
        remedy = f"Write {' or '.join(_EFFECT[each.apply_to])}."
        yield warning(written, f"{field}.patch.operation", "no-effect", message, remedy)
    if each.match is None:
        return
    proxy = each.match.proxy
    if proxy is not None and len(proxy.proxy_version) > VERSION_LENGTH:
        message = f"proxyVersion is longer than {VERSION_LENGTH} characters, so it matches no proxy"
        at = f"{field}.match.proxy.proxyVersion"
        yield warning(written, at, "matches-nothing", message, "Write a shorter one.")
    chain = each.match.listener.filter_chain if each.match.listener is not None else None
    if chain is None or chain.filter is None:
        return
    at = f"{field}.match.listener.filterChain.filter"
    if each.apply_to in ("LISTENER", "FILTER_CHAIN"):
        message = f"a filter's name does nothing where applyTo is {each.apply_to}"
        yield warning(written, at, "no-effect", message, "Remove filter, or write applyTo: NETWORK_FILTER.")
    inner = chain.filter.sub_filter
    for name, where in (
        (chain.filter.name, at),
        (inner.name if inner is not None else "", f"{at}.subFilter"),
    ):
        if name in _RENAMED:
            message = f"Envoy's “{name}” is called {_RENAMED[name]} since 1.14, and matches nothing"
            yield warning(written, f"{where}.name", "deprecated-name", message, f"Write {_RENAMED[name]}.")
