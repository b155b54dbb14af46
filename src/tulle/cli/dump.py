"""Envoy's `config_dump` and `clusters` as rows that a person reads. Pure: JSON in, text out.

The shapes are those of envoy/admin/v3/config_dump_shared.proto and clusters.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]
Row = tuple[str, ...]

_SECRET_FIELDS = frozenset(
    {"private_key", "privateKey", "session_ticket_keys", "generic_secret", "password", "private_key_provider"}
)
REDACTED = "[redacted]"


def redacted(value: Any) -> Any:
    """The same without private keys and other secrets. Envoy leaves most of them out by itself; what it
    prints of a bootstrap or of a kind that it does not know is not left to it."""
    if isinstance(value, Mapping):
        return {
            str(key): REDACTED if key in _SECRET_FIELDS else redacted(each) for key, each in value.items()
        }
    if isinstance(value, list):
        return [redacted(each) for each in value]
    return value


def _config(dump: Json, kind: str) -> Json:
    for config in dump.get("configs", ()):
        if str(config.get("@type", "")).endswith(f".{kind}ConfigDump"):
            return config
    return {}


def listeners(dump: Json) -> list[Json]:
    """The listeners that serve now, static ones first."""
    config = _config(dump, "Listeners")
    static = [each["listener"] for each in config.get("static_listeners", ()) if "listener" in each]
    active = [
        each["active_state"]["listener"]
        for each in config.get("dynamic_listeners", ())
        if "listener" in each.get("active_state", {})
    ]
    return static + sorted(active, key=_name)


def routes(dump: Json) -> list[Json]:
    """Route tables, the fetched ones by name."""
    config = _config(dump, "Routes")
    inline = [each["route_config"] for each in config.get("static_route_configs", ())]
    fetched = [each["route_config"] for each in config.get("dynamic_route_configs", ())]
    return sorted(fetched, key=_name) + inline


def clusters(dump: Json) -> list[Json]:
    """Clusters, static ones first."""
    config = _config(dump, "Clusters")
    static = [each["cluster"] for each in config.get("static_clusters", ())]
    active = [each["cluster"] for each in config.get("dynamic_active_clusters", ())]
    return static + sorted(active, key=_name)


def secrets(dump: Json) -> list[Json]:
    """Certificates without their private keys: {name, state, secret, last_updated}; see `certificate.py`."""
    config = _config(dump, "Secrets")
    found: list[Json] = []
    for field, state in (
        ("static_secrets", "active"),
        ("dynamic_active_secrets", "active"),
        ("dynamic_warming_secrets", "waiting"),
    ):
        found += [redacted({**each, "state": state}) for each in config.get(field, ())]
    return sorted(found, key=_name)


def endpoints(clusters: Json) -> list[Json]:
    """One object per endpoint of `clusters?format=json`: {cluster, address, healthy, health, weight, ...}."""
    return [
        _endpoint(str(cluster.get("name", "")), host)
        for cluster in sorted(clusters.get("cluster_statuses", ()), key=_name)
        for host in cluster.get("host_statuses", ())
    ]


def _endpoint(cluster: str, host: Json) -> Json:
    health = host.get("health_status", {})
    flags = sorted(key for key, value in health.items() if value is True)
    eds = str(health.get("eds_health_status", "HEALTHY"))
    statistics = {str(each.get("name")): int(each.get("value", 0)) for each in host.get("stats", ())}
    return {
        "cluster": cluster,
        "address": _address(host.get("address", {})),
        "healthy": not flags and eds in ("HEALTHY", "UNKNOWN"),
        "health": ", ".join(flag.replace("_", " ") for flag in flags) or eds.lower(),
        "weight": int(host.get("weight", 1)),
        "priority": int(host.get("priority", 0)),
        "requests": statistics.get("rq_total", 0),
        "errors": statistics.get("rq_error", 0),
        "connections": statistics.get("cx_active", 0),
    }


def _name(value: Json) -> str:
    return str(value.get("name", ""))


def _address(address: Json) -> str:
    socket = address.get("socket_address")
    if socket:
        return f"{socket.get('address', '')}:{socket.get('port_value', socket.get('named_port', ''))}"
    pipe = address.get("pipe")
    if pipe:
        return f"unix:{pipe.get('path', '')}"
    internal = address.get("envoy_internal_address")
    return f"internal:{internal.get('server_listener_name', '')}" if internal else ""


# -- rows -------------------------------------------------------------------------------------------

LISTENER_COLUMNS = ("LISTENER", "ADDRESS", "MATCH", "THEN")
ROUTE_COLUMNS = ("TABLE", "HOST", "MATCH", "THEN")
CLUSTER_COLUMNS = ("CLUSTER", "DISCOVERY", "BALANCING", "TLS")
ENDPOINT_COLUMNS = (
    "CLUSTER",
    "ENDPOINT",
    "HEALTH",
    "WEIGHT",
    "PRIORITY",
    "CONNECTIONS",
    "REQUESTS",
    "ERRORS",
)
SECRET_COLUMNS = ("SECRET", "STATE", "HOLDS", "EXPIRES", "UPDATED")


def listener_rows(listeners: list[Json]) -> Iterator[Row]:
    """One row for each filter chain, in the order as they stand."""
    for listener in listeners:
        chains: list[Json] = list(listener.get("filter_chains", ()))
        if "default_filter_chain" in listener:
            chains.append({**listener["default_filter_chain"], "_otherwise": True})
        for chain in chains:
            match = (
                "otherwise" if chain.get("_otherwise") else chain_match(chain.get("filter_chain_match", {}))
            )
            yield _name(listener), _address(listener.get("address", {})), match, chain_action(chain)
        for each in listener.get("listener_filters", ()):
            config: Json = each.get("typed_config", {})
            if str(config.get("@type", "")).endswith(".UdpProxyConfig"):
                named = [route.get("cluster", "") for _, route in _in_matcher(config.get("matcher", {}))]
                address = _address(listener.get("address", {}))
                yield _name(listener), address, "any", f"udp to {', '.join(named)}"


def chain_match(match: Json) -> str:
    """`10.0.0.0/8 tls sni a.example`; `any` for an empty match."""
    parts: list[str] = []
    if "destination_port" in match:
        parts.append(f"port {match['destination_port']}")
    parts += [
        f"{each['address_prefix']}/{each.get('prefix_len', 0)}" for each in match.get("prefix_ranges", ())
    ]
    if match.get("transport_protocol"):
        parts.append(str(match["transport_protocol"]))
    if match.get("server_names"):
        parts.append("sni " + ", ".join(match["server_names"]))
    if match.get("application_protocols"):
        parts.append("alpn " + ", ".join(match["application_protocols"]))
    return " ".join(parts) or "any"


def chain_action(chain: Json) -> str:
    """What the last filter of a chain does with a connection."""
    for each in reversed(chain.get("filters", ())):
        config: Json = each.get("typed_config", {})
        kind = str(config.get("@type", "")).rpartition(".")[2]
        if kind == "HttpConnectionManager":
            table = config.get("rds", {}).get("route_config_name") or _name(config.get("route_config", {}))
            return f"http, routes {table}"
        if kind == "TcpProxy":
            weighted = config.get("weighted_clusters", {}).get("clusters", ())
            return _weighted(weighted) if weighted else f"tcp to {config.get('cluster', '')}"
    return ", ".join(_name(each) for each in chain.get("filters", ()))


def _weighted(clusters: Any) -> str:
    total = sum(int(each.get("weight", 1)) for each in clusters) or 1
    parts = [f"{_name(each)} {100 * int(each.get('weight', 1)) / total:.3g}%" for each in clusters]
    return ", ".join(parts)


def route_rows(tables: list[Json]) -> Iterator[Row]:
    """One row for each route, first match first."""
    for routes in tables:
        for host in routes.get("virtual_hosts", ()):
            for route in host.get("routes", ()):
                yield _name(routes), _name(host), route_match(route.get("match", {})), route_action(route)
            for value, route in _in_matcher(host.get("matcher", {})):
                match = f"to {value} {route_match(route.get('match', {}))}" if value else "otherwise"
                yield _name(routes), _name(host), match, route_action(route)


def _in_matcher(tree: Any, value: str = "", in_map: bool = False) -> Iterator[tuple[str, Json]]:
    """The routes in a generic matcher (xds/type/matcher/v3), each with the value that leads to it."""
    if isinstance(tree, Mapping):
        kind = str(tree.get("@type", "")).rpartition(".")[2]
        if kind == "Route":
            yield value, tree
        elif kind == "RouteList":
            yield from ((value, route) for route in tree.get("routes", ()))
        elif "predicate" in tree:
            yield from _in_matcher(tree.get("on_match"), _ranges(tree["predicate"]))
        else:
            for key, below in tree.items():
                yield from _in_matcher(below, str(key) if in_map else value, key == "map")
    elif isinstance(tree, list):
        for below in tree:
            yield from _in_matcher(below, value)


def _ranges(predicate: Json) -> str:
    """The address ranges that a predicate compares with; it may do so in ways that are not shown here."""
    custom: Json = predicate.get("single_predicate", {}).get("custom_match", {})
    ranges = custom.get("typed_config", {}).get("cidr_ranges", ())
    return ",".join(f"{each.get('address_prefix', '')}/{each.get('prefix_len', 0)}" for each in ranges)


def route_match(match: Json) -> str:
    """`/reviews*  header end-user=jason`."""
    path = "/*"
    for field, form in _PATHS.items():
        if field in match:
            path = form(match[field])
    parts = [path]
    parts += [f"header {_header(each)}" for each in match.get("headers", ())]
    parts += [f"query {_header(each)}" for each in match.get("query_parameters", ())]
    return " ".join(parts)


_PATHS: Mapping[str, Callable[[Any], str]] = {
    "prefix": lambda value: f"{value}*",
    "path": str,
    "path_separated_prefix": lambda value: f"{value}[/*]",
    "safe_regex": lambda value: f"~{value.get('regex', '')}",
}


def _header(match: Json) -> str:
    inverted = "!" if match.get("invert_match") else ""
    name = _name(match)
    text: Json = match.get("string_match", {})
    for field, sign in (("exact", "="), ("prefix", "=^"), ("suffix", "=$"), ("contains", "=*")):
        if field in text:
            return f"{inverted}{name}{sign}{text[field]}"
    if "safe_regex" in text:
        return f"{inverted}{name}~{text['safe_regex'].get('regex', '')}"
    return f"{inverted}{name}"


def route_action(route: Json) -> str:
    """Where a request goes, or what it is answered."""
    action: Json = route.get("route", {})
    if "cluster" in action:
        return str(action["cluster"])
    if "weighted_clusters" in action:
        return _weighted(action["weighted_clusters"].get("clusters", ()))
    if "cluster_header" in action:
        return f"the cluster in header {action['cluster_header']}"
    if "direct_response" in route:
        return f"answer {route['direct_response'].get('status', '')}"
    if "redirect" in route:
        return "redirect"
    return ""


def cluster_rows(clusters: list[Json]) -> Iterator[Row]:
    """One row for each cluster."""
    for cluster in clusters:
        discovery = str(cluster.get("type", cluster.get("cluster_type", {}).get("name", "STATIC")))
        yield (
            _name(cluster),
            discovery.lower(),
            str(cluster.get("lb_policy", "ROUND_ROBIN")).lower().replace("_", " "),
            _tls(cluster),
        )


def _tls(cluster: Json) -> str:
    matches = [_name(each) for each in cluster.get("transport_socket_matches", ())]
    if matches:
        return "per endpoint"
    return "yes" if "transport_socket" in cluster else "no"
