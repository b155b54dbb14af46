"""The relay's side of UDP ports: a session is a CONNECT-UDP request (RFC 9298) to the gateway's Unix socket.

Envoy sends no datagrams to Unix sockets. Read by `relay.py`; the gateway's side is in `xds/gateway.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tulle.kit.mark import LARGEST_DATAGRAM

Json = dict[str, Any]

_TYPE = "type.googleapis.com/"
_UDP_PROXY = _TYPE + "envoy.extensions.filters.udp.udp_proxy"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def listener(name: str, port: int) -> Json:
    """One UDP port of loopback, for the cluster of the same name."""
    route = {"@type": f"{_UDP_PROXY}.v3.Route", "cluster": name}
    proxy = {
        "@type": f"{_UDP_PROXY}.v3.UdpProxyConfig",
        "stat_prefix": "relay",
        "matcher": {"on_no_match": {"action": {"name": "route", "typed_config": route}}},
        "session_filters": [
            {
                "name": "envoy.filters.udp.session.http_capsule",
                "typed_config": {"@type": f"{_UDP_PROXY}.session.http_capsule.v3.FilterConfig"},
            }
        ],
        # Where to is the gateway's to know: its one route takes every name.
        "tunneling_config": {
            "proxy_host": "gateway",
            "target_host": "gateway",
            "default_target_port": port,
            "buffer_options": {"max_buffered_datagrams": 64, "max_buffered_bytes": 16 * LARGEST_DATAGRAM},
        },
    }
    return {
        "@type": _TYPE + "envoy.config.listener.v3.Listener",
        "name": name,
        "address": {"socket_address": {"protocol": "UDP", "address": "127.0.0.1", "port_value": port}},
        "udp_listener_config": {"downstream_socket_config": {"max_rx_datagram_size": LARGEST_DATAGRAM}},
        "listener_filters": [{"name": "envoy.filters.udp_listener.udp_proxy", "typed_config": proxy}],
    }


def cluster(name: str, socket: Path) -> Json:
    """The gateway's Unix socket, by HTTP/2."""
    options = {"@type": _TYPE + _HTTP_OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    return {
        "@type": _TYPE + "envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {_HTTP_OPTIONS: options},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
