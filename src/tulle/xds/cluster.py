"""Cluster -> CDS, and the clusters that every sidecar has."""

from __future__ import annotations

from tulle.kit.mark import APPLICATION_SOURCE, PROXY_MARK
from tulle.kit.memo import memoised
from tulle.mesh.view import Balancing, Cluster, Discovery, Protocol
from tulle.xds import message, tls
from tulle.xds.bundle import ENDPOINT, MESH, Translated, translated
from tulle.xds.message import Tree

PASSTHROUGH = "PassthroughCluster"
BLACK_HOLE = "BlackHoleCluster"
INBOUND_PASSTHROUGH = "InboundPassthroughCluster"

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_UNLIMITED = message.number(2**32 - 1)
# Envoy's own thresholds (1024 connections, requests, pending; 3 retries) are a policy that nobody wrote.
# Istio lifts them in the same way until a DestinationRule says something.
_NO_LIMITS: Tree = {
    "thresholds": [
        {
            "max_connections": _UNLIMITED,
            "max_pending_requests": _UNLIMITED,
            "max_requests": _UNLIMITED,
            "max_retries": _UNLIMITED,
        }
    ]
}

# Without it Envoy sends to unready endpoints as soon as more than half are unready.
_NEVER_PANIC: Tree = {"healthy_panic_threshold": {"value": 0}}

APPLICATION_IDLE_SECONDS = 1.0
"""How long an idle connection from a proxy to its own application is kept.

Servers close idle connections after 2 s (gunicorn), 5 s (uvicorn, Node) or 75 s (nginx). A request that the
proxy writes at that very moment is lost, and may not be repeated unless it is idempotent. So the proxy closes
first; a new connection inside one network namespace costs some 50 µs.
"""

_DNS_REFRESH_SECONDS = 60.0
"""For names whose answers have no TTL. Istio's default (`dnsRefreshRate`)."""

_BALANCING = {
    Balancing.LEAST_REQUEST: "LEAST_REQUEST",
    Balancing.ROUND_ROBIN: "ROUND_ROBIN",
    Balancing.RANDOM: "RANDOM",
}

_MARK: Tree = {
    "description": "the proxy's own traffic",
    "level": 1,  # SOL_SOCKET
    "name": 36,  # SO_MARK
    "int_value": PROXY_MARK,
    "state": "STATE_PREBIND",
}


def _bound_to(address: str) -> Tree:
    # An own bind config replaces the bootstrap's, so the mark is repeated.
    return {"source_address": {"address": address, "port_value": 0}, "socket_options": [_MARK]}


def _http(protocol: Protocol, inbound: bool) -> Tree | None:
    """How to speak upstream: as declared; as the caller did where nothing better is known."""
    if not (protocol.is_http or protocol is Protocol.DETECT):
        return None
    options: Tree
    if protocol.is_http2:
        options = {"explicit_http_config": {"http2_protocol_options": {}}}
    elif inbound or protocol is Protocol.DETECT:
        # A caller outside the mesh may speak HTTP/2 with prior knowledge to a port that is declared `http`.
        options = {
            "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}}
        }
    else:
        options = {"explicit_http_config": {"http_protocol_options": {}}}
    if inbound:
        options["common_http_protocol_options"] = {"idle_timeout": message.seconds(APPLICATION_IDLE_SECONDS)}
    return options


def _discovery(cluster: Cluster) -> Tree:
    if cluster.discovery is Discovery.EDS:
        return {
            "type": "EDS",
            "lb_policy": _BALANCING[cluster.balancing],
            "eds_cluster_config": {"eds_config": message.over_ads(), "service_name": cluster.endpoint_set},
            "common_lb_config": _NEVER_PANIC,
        }
    if cluster.discovery is Discovery.ORIGINAL_DESTINATION:
        return {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}
    built: Tree = {
        "type": "STATIC",
        "lb_policy": _BALANCING[cluster.balancing],
        "load_assignment": {
            "cluster_name": cluster.name,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": message.socket_address(address, port)}}
                        for address, port in cluster.addresses
                    ]
                }
            ]
            if cluster.addresses
            else [],
        },
    }
    if cluster.discovery is Discovery.DNS:
        del built["type"]
        built["cluster_type"] = message.extension(
            "envoy.clusters.dns",  # STRICT_DNS, whose own fields Envoy gives up
            message.DnsCluster(
                dns_lookup_family="V4_ONLY",  # workloads have no IPv6 yet (decision 7)
                dns_refresh_rate=message.seconds(_DNS_REFRESH_SECONDS),
                respect_dns_ttl=True,
            ),
        )
    return built


@memoised
def translate_cluster(cluster: Cluster) -> Translated:
    """One CDS resource; a cluster that scopes share is made and serialised once."""
    fields: Tree = {
        "name": cluster.name,
        "connect_timeout": message.seconds(cluster.connect_timeout_seconds),
        "circuit_breakers": _NO_LIMITS,
        **_discovery(cluster),
    }
    if cluster.source_address is not None:
        fields["upstream_bind_config"] = _bound_to(cluster.source_address)
    http = _http(cluster.protocol, inbound=cluster.source_address is not None)
    if http is not None:
        options = message.packed(message.HttpProtocolOptions(**http))
        fields["typed_extension_protocol_options"] = {_HTTP_OPTIONS: options}
    if cluster.mtls is not None:
        if cluster.discovery is Discovery.EDS:
            fields["transport_socket_matches"] = tls.by_endpoint(cluster.mtls)
        else:  # the endpoints carry no metadata to choose by
            fields["transport_socket"] = tls.client_mtls(cluster.mtls)
    needs = ((ENDPOINT, cluster.endpoint_set or cluster.name),) if cluster.discovery is Discovery.EDS else ()
    return translated(message.Cluster(**fields), cluster.name, cluster.origin, needs)


def passthrough() -> Cluster:
    """Where the caller wanted to go, as it spoke."""
    return Cluster(PASSTHROUGH, Discovery.ORIGINAL_DESTINATION, origin=MESH, protocol=Protocol.DETECT)


def black_hole() -> Cluster:
    """No endpoint at all: a connection that is sent here is closed."""
    return Cluster(BLACK_HOLE, Discovery.STATIC, origin=MESH)


def inbound_passthrough() -> Cluster:
    """The application's port that the caller wanted, though nobody declared it."""
    return Cluster(
        INBOUND_PASSTHROUGH,
        Discovery.ORIGINAL_DESTINATION,
        origin=MESH,
        source_address=APPLICATION_SOURCE,
    )
