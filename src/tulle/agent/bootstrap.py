"""What an Envoy must know before its agent can tell it the rest. Pure: plain values, JSON out.

Plain dictionaries and not protobufs: the agent is kept apart from `xds/`, and Envoy itself checks the result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tulle.kit.mark import PROXY_MARK, PROXY_RUN_DIRECTORY
from tulle.model.agentapi import WorkloadAssignment

BOOTSTRAP_FILE: Final = "bootstrap.json"
XDS_CLUSTER: Final = "xds-grpc"
_META: Final = "ISTIO_META_"
_SOL_SOCKET, _SO_MARK = 1, 36
_FILES_FOR_ITSELF = 256
_MOST_CONNECTIONS = 500_000

# Of each cluster, what `status` shows, and what tells that a limit was met (Istio's page about circuit
# breaking looks at the waiting requests); all other statistics of the data path are made by the configuration
# that asks for them.
_CLUSTER_STATISTICS = (
    "cluster[.](?:outbound|inbound)[|].*[.]"
    "(?:ssl[.]handshake|upstream_cx_connect_fail|upstream_cx_total|upstream_rq_5xx|upstream_rq_total"
    "|upstream_rq_pending_(?:active|failure_eject|overflow|total))"
)

_SELDOM = {"miss_timeout": "3600s", "megamiss_timeout": "3600s"}


def bootstrap(assignment: WorkloadAssignment, domain: str, open_files: int) -> dict[str, Any]:
    """The bootstrap of a workload's proxy; `open_files` is its hard limit of file descriptors."""
    return {
        "node": node(assignment, domain),
        "admin": {"address": {"pipe": {"path": f"{PROXY_RUN_DIRECTORY}/admin.sock", "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": XDS_CLUSTER,
                            # The agent is on the same machine: when it comes back, be there.
                            "retry_policy": {
                                "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}
                            },
                        }
                    }
                ],
            },
            # Without a limit: an Envoy that goes live with nothing lets its workload start unprotected.
            "lds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
            "cds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
        },
        "static_resources": {"clusters": [_xds_cluster()]},
        "cluster_manager": {"upstream_bind_config": _marked("0.0.0.0")},  # noqa: S104  any own address
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.resource_monitors"
                        ".downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": connection_limit(open_files),
                    },
                }
            ]
        },
        # A watchdog counts threads that are late, and wakes each of them ten times a second to find out: a
        # thousandth of a CPU for a proxy that does nothing. Nobody reads the count.
        "watchdogs": {"main_thread_watchdog": _SELDOM, "worker_watchdog": _SELDOM},
        # Nobody collects statistics by time: they are read over the admin socket.
        "stats_flush_on_admin": True,
        "stats_config": {
            # Envoy's own rule for this tag ends at the first dot, and clusters' names have many.
            "use_all_default_tags": False,
            "stats_tags": [
                {
                    "tag_name": "envoy.cluster_name",
                    "regex": r"^cluster\.(((?:outbound|inbound)\|.*?)\.)(?:ssl\.|upstream_)",
                },
                {"tag_name": "envoy.virtual_host", "regex": r"^vhost\.((.*?)\.)route\."},
                {"tag_name": "envoy.route", "regex": r"^vhost\..*?\.route\.((.*?)\.)upstream_"},
            ],
            "stats_matcher": {
                "inclusion_list": {
                    "patterns": [
                        {"prefix": "cluster_manager."},
                        {"prefix": "listener_manager."},
                        {"prefix": "server."},
                        {"prefix": "control_plane."},
                        {"safe_regex": {"regex": _CLUSTER_STATISTICS}},
                        # Kept of the routes alone that ask for it (VirtualService, `statPrefix`).
                        {"safe_regex": {"regex": "vhost[.].*[.]route[.].*"}},
                    ]
                }
            },
        },
    }


def render(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode()


def node_id(assignment: WorkloadAssignment, domain: str) -> str:
    """As mesh tools know it: `sidecar~ADDRESS~NAME.NAMESPACE~NAMESPACE.svc.DOMAIN`."""
    kind = "router" if assignment.gateway else "sidecar"
    name, namespace = assignment.name, assignment.namespace
    return f"{kind}~{assignment.addresses[0]}~{name}.{namespace}~{namespace}.svc.{domain}"


def connection_limit(open_files: int) -> int:
    """Downstream connections that an Envoy may take: each may need one upstream."""
    return max(64, min((open_files - _FILES_FOR_ITSELF) // 2, _MOST_CONNECTIONS))


def node(assignment: WorkloadAssignment, domain: str) -> dict[str, Any]:
    """Who a proxy says that it is (envoy.config.core.v3.Node)."""
    labels = dict(assignment.labels)
    app = labels.get("app") or labels.get("app.kubernetes.io/name") or assignment.name
    made: dict[str, Any] = {
        "id": node_id(assignment, domain),
        "cluster": f"{app}.{assignment.namespace}",
        "metadata": {
            # Istio, ProxyConfig: `ISTIO_META_NAME` of its environment is what a proxy says of itself as NAME.
            **{
                name.removeprefix(_META): value
                for name, value in assignment.proxy_environment
                if name.startswith(_META)
            },
            "NAME": assignment.name,
            "NAMESPACE": assignment.namespace,
            "SERVICE_ACCOUNT": assignment.service_account,
            "INSTANCE_IPS": ",".join(assignment.addresses),
            "LABELS": labels,
        },
    }
    if locality := _locality(labels):
        made["locality"] = locality
    return made


def _locality(labels: Mapping[str, str]) -> dict[str, str]:
    """From `istio-locality` (`region.zone.sub_zone`: labels allow no slash) or Kubernetes' labels."""
    if written := labels.get("istio-locality"):
        parts = written.replace("/", ".").split(".", 2)
    else:
        parts = [
            labels.get("topology.kubernetes.io/region", ""),
            labels.get("topology.kubernetes.io/zone", ""),
            labels.get("topology.istio.io/subzone", ""),
        ]
    return {name: part for name, part in zip(("region", "zone", "sub_zone"), parts, strict=False) if part}


def _xds_cluster() -> dict[str, Any]:
    return {
        "name": XDS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": XDS_CLUSTER,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": {"pipe": {"path": f"{PROXY_RUN_DIRECTORY}/xds.sock"}}}}
                    ]
                }
            ],
        },
    }


def _marked(source: str) -> dict[str, Any]:
    return {
        "source_address": {"address": source, "port_value": 0},
        "socket_options": [
            {
                "description": "the proxy's own traffic",
                "level": _SOL_SOCKET,
                "name": _SO_MARK,
                "int_value": PROXY_MARK,
                "state": "STATE_PREBIND",
            }
        ],
    }
