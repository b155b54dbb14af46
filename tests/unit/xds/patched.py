"""Patches as tests write them, and small resources to apply them to."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tulle.mesh.view import Origin
from tulle.mesh.view.patch import ClusterMatch, ListenerMatch, Patch, TableMatch
from tulle.xds import message
from tulle.xds.bundle import Translated, translated
from tulle.xds.patch.apply import Patched, apply_patches
from tulle.xds.render import to_tree

HTTP = "envoy.filters.network.http_connection_manager"
TCP = "envoy.filters.network.tcp_proxy"
ROUTER = "envoy.filters.http.router"
LUA = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)


def patch(
    target: str,
    operation: str,
    value: str = "",
    match: ListenerMatch | TableMatch | ClusterMatch | None = None,
    filter_class: str = "UNSPECIFIED",
    name: str = "p",
) -> Patch:
    """`value`: YAML."""
    written = json.dumps(yaml.safe_load(value), sort_keys=True) if value else ""
    origin = Origin("EnvoyFilter", "shop", name, "spec.configPatches[0]")
    return Patch(origin, target, operation, match, written, filter_class)


def http_filter(name: str) -> dict[str, Any]:
    return message.extension(name, message.Router()) if name == ROUTER else {"name": name}


def manager(*filters: str, **more: Any) -> dict[str, Any]:
    """A connection manager with HTTP filters of these names."""
    fields = {"stat_prefix": "m", "http_filters": [http_filter(name) for name in filters], **more}
    if "route_config" not in fields:
        fields["rds"] = {"route_config_name": "9080", "config_source": {"ads": {}}}
    return message.extension(HTTP, message.HttpConnectionManager(**fields))


def tcp() -> dict[str, Any]:
    return message.extension(TCP, message.TcpProxy(stat_prefix="t", cluster="c"))


def listener(
    *chains: dict[str, Any], name: str = "0.0.0.0_9080", port: int = 9080, **more: Any
) -> Translated:
    address = message.socket_address("0.0.0.0", port)
    built = message.Listener(name=name, address=address, filter_chains=list(chains), **more)
    return translated(built, name)


def chain(*filters: dict[str, Any], name: str = "c", **more: Any) -> dict[str, Any]:
    return {"name": name, "filters": list(filters), **more}


def table(name: str, **hosts: list[dict[str, Any]]) -> Translated:
    """A route table with virtual hosts `HOST:PORT` and their routes."""
    port = name.rpartition(".")[2]
    built = [
        {"name": f"{host}:{port}", "domains": [host.replace("_", ".")], "routes": routes}
        for host, routes in hosts.items()
    ]
    return translated(message.RouteConfiguration(name=name, virtual_hosts=built), name)


def route(name: str, **more: Any) -> dict[str, Any]:
    action = more or {"route": {"cluster": "c"}}
    return {"name": name, "match": {"prefix": "/"}, **action}


def cluster(name: str, **more: Any) -> Translated:
    return translated(message.Cluster(name=name, **more), name)


def apply(resource: Translated, *patches: Patch, context: str = "SIDECAR_OUTBOUND") -> Patched:
    return apply_patches(context, (resource,), patches)


def changed(resource: Translated, *patches: Patch, context: str = "SIDECAR_OUTBOUND") -> dict[str, Any]:
    """The one resource as the patches leave it."""
    done = apply(resource, *patches, context=context)
    assert not done.complaints
    (one,) = done.resources
    return to_tree(one)


def http_filters(tree: dict[str, Any], at: int = 0) -> list[str]:
    filters = tree["filter_chains"][at]["filters"]
    found = next(each for each in filters if each["name"] == HTTP)
    return [each["name"] for each in found["typed_config"].get("http_filters", [])]


def network_filters(tree: dict[str, Any], at: int = 0) -> list[str]:
    return [each["name"] for each in tree["filter_chains"][at]["filters"]]
