"""Cluster -> CDS, and the clusters that every sidecar has."""

from __future__ import annotations

from tulle.kit.mark import APPLICATION_SOURCE, PROXY_MARK
from tulle.kit.memo import memoised
from tulle.mesh.view import Cluster, ConnectionPool, Discovery, EndpointSet, Protocol, Upstream
from tulle.xds import message, tls
from tulle.xds.bundle import ENDPOINT, MESH, Translated, translated
from tulle.xds.endpoint import localities
from tulle.xds.filter.lookup import dns_cache
from tulle.xds.filter.order import upstream_filters
from tulle.xds.message import Tree
from tulle.xds.upstream.balancing import common_options, hash_policy, load_balancing
from tulle.xds.upstream.origination import behind_proxy_protocol, host_names, originated_tls, proves_host
from tulle.xds.upstream.outlier import error_statuses, outlier_detection
from tulle.xds.upstream.pool import circuit_breakers, common_http_options, connection_options, http2_options

PASSTHROUGH = "PassthroughCluster"
BLACK_HOLE = "BlackHoleCluster"
INBOUND_PASSTHROUGH = "InboundPassthroughCluster"

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

APPLICATION_IDLE_SECONDS = 1.0
"""How long an idle connection from a proxy to its own application is kept.

Servers close idle connections after 2 s (gunicorn), 5 s (uvicorn, Node) or 75 s (nginx). A request that the
proxy writes at that very moment is lost, and may not be repeated unless it is idempotent. So the proxy closes
first; a new connection inside one network namespace costs some 50 µs. The same holds for a client's proxy
whose server's side passes connections on, though there it costs a handshake.
"""

PASSED_ON_SECONDS = 20.0
"""How long a connection lives whose server passes HTTP on to its application. Such a server cannot say
"connection: close", so its callers come anew by themselves within the drain time (30 s): what its proxy does
with them may then change without a request that is cut off. A handshake every 20 s is nothing.
"""

_DNS_REFRESH_SECONDS = 60.0
"""For names whose answers have no TTL. Istio's default (`dnsRefreshRate`)."""

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


def _spoken(protocol: Protocol, pool: ConnectionPool, inbound: bool) -> Tree:
    """How to speak upstream: as declared; as the caller did where nothing better is known."""
    http2 = http2_options(pool)
    if is_http2(protocol, pool):
        return {"explicit_http_config": {"http2_protocol_options": http2}}
    as_caller = inbound or protocol is Protocol.DETECT or pool.upstream is Upstream.AS_CALLER
    if as_caller and pool.upstream is not Upstream.HTTP1:
        # A caller outside the mesh may speak HTTP/2 with prior knowledge to a port that is declared `http`.
        return {
            "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": http2}
        }
    return {"explicit_http_config": {"http_protocol_options": {}}}


def is_http2(protocol: Protocol, pool: ConnectionPool) -> bool:
    """Whether nothing but HTTP/2 is spoken to a cluster."""
    if pool.upstream is Upstream.DECLARED:
        return protocol.is_http2
    return pool.upstream is Upstream.HTTP2


def _http(cluster: Cluster) -> Tree | None:
    """HttpProtocolOptions of a cluster; None where no HTTP is spoken."""
    inbound = cluster.source_address is not None
    named = host_names(cluster.tls) if cluster.tls is not None else {}
    if not (cluster.protocol.is_http or cluster.protocol is Protocol.DETECT or named):
        return None
    options = _spoken(cluster.protocol, cluster.pool, inbound)
    common = common_http_options(cluster.pool)
    if inbound:
        common.setdefault("idle_timeout", message.seconds(APPLICATION_IDLE_SECONDS))
    if cluster.mtls is not None and cluster.mtls.alpn == tls.HTTP_MESH_ALPN:
        common["idle_timeout"] = message.seconds(APPLICATION_IDLE_SECONDS)
        age = min(cluster.pool.connection_seconds or PASSED_ON_SECONDS, PASSED_ON_SECONDS)
        common["max_connection_duration"] = message.seconds(age)
        options["http_filters"] = upstream_filters(cluster.mtls)
    if common:
        options["common_http_protocol_options"] = common
    if cluster.balancing.hash_keys:
        # Here and not in routes: it is the same for every route that leads here, in whatever language.
        options["hash_policy"] = [hash_policy(key) for key in cluster.balancing.hash_keys]
    if cluster.outlier is not None and (errors := error_statuses(cluster.outlier)):
        options["outlier_detection"] = errors
    if named:
        options["upstream_http_protocol_options"] = named
    return options


def _transport(cluster: Cluster) -> Tree:
    """The transport socket, or several to choose from by endpoint."""
    version = cluster.proxy_protocol
    if (
        cluster.mtls is not None
        and not cluster.mtls.always
        and (cluster.discovery is Discovery.EDS or cluster.named_endpoints is not None)
    ):
        matches = tls.by_endpoint(cluster.mtls)
        if version is not None:
            for each in matches:
                each["transport_socket"] = behind_proxy_protocol(version, each["transport_socket"])
        return {"transport_socket_matches": matches}
    socket: Tree | None = None
    if cluster.tls is not None:
        socket = originated_tls(cluster.tls, is_http2(cluster.protocol, cluster.pool))
    elif cluster.mtls is not None:  # always, or the endpoints carry no metadata to choose by
        socket = tls.client_mtls(cluster.mtls)
    if version is not None:
        socket = behind_proxy_protocol(version, socket)
    return {"transport_socket": socket} if socket is not None else {}


def _discovery(cluster: Cluster) -> Tree:
    if cluster.discovery is Discovery.EDS:
        return {
            "type": "EDS",
            **load_balancing(cluster.balancing),
            "eds_cluster_config": {"eds_config": message.over_ads(), "service_name": cluster.endpoint_set},
            "common_lb_config": common_options(cluster.balancing, cluster.panic_percent),
        }
    if cluster.discovery is Discovery.ORIGINAL_DESTINATION:
        built: Tree = {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}
        if cluster.port_override is not None:
            port = message.number(cluster.port_override)
            built["original_dst_lb_config"] = {"upstream_port_override": port}
        return built
    if cluster.discovery is Discovery.DYNAMIC_DNS:
        dynamic = message.DynamicForwardProxyCluster(
            dns_cache_config=dns_cache(),
            # Else Envoy insists on TLS to the host that is asked for.
            allow_insecure_cluster_options=cluster.tls is None or not proves_host(cluster.tls),
        )
        named = message.extension("envoy.clusters.dynamic_forward_proxy", dynamic)
        return {"cluster_type": named, "lb_policy": "CLUSTER_PROVIDED"}
    if cluster.named_endpoints is not None:
        return _by_name(cluster, cluster.named_endpoints)
    # Happy Eyeballs: tried when the first refuses, or has not answered after 300 ms.
    second: Tree = {}
    if cluster.second_address is not None:
        second["additional_addresses"] = [{"address": message.socket_address(*cluster.second_address)}]
    return {
        "type": "STATIC",
        **load_balancing(cluster.balancing),
        "load_assignment": {
            "cluster_name": cluster.name,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": message.socket_address(address, port), **second}}
                        for address, port in cluster.addresses
                    ]
                }
            ]
            if cluster.addresses
            else [],
        },
    }


def _by_name(cluster: Cluster, endpoints: EndpointSet) -> Tree:
    """Names that Envoy asks DNS for, by the extension that stands for STRICT_DNS and LOGICAL_DNS."""
    dns = message.DnsCluster(
        dns_lookup_family="V4_ONLY",  # workloads have no IPv6 yet (decision 7)
        dns_refresh_rate=message.seconds(_DNS_REFRESH_SECONDS),
        respect_dns_ttl=True,
        all_addresses_in_single_endpoint=cluster.discovery is Discovery.DNS_ONE,
    )
    return {
        "cluster_type": message.extension("envoy.clusters.dns", dns),
        **load_balancing(cluster.balancing),
        "common_lb_config": common_options(cluster.balancing, cluster.panic_percent),
        "load_assignment": {"cluster_name": cluster.name, "endpoints": localities(endpoints)},
    }


@memoised
def translate_cluster(cluster: Cluster) -> Translated:
    """One CDS resource; a cluster that scopes share is made and serialised once."""
    fields: Tree = {
        "name": cluster.name,
        **connection_options(cluster.pool),
        "circuit_breakers": circuit_breakers(cluster.pool),
        **_discovery(cluster),
        **_transport(cluster),
    }
    if cluster.outlier is not None:
        fields["outlier_detection"] = outlier_detection(cluster.outlier)
    if cluster.source_address is not None:
        fields["upstream_bind_config"] = _bound_to(cluster.source_address)
    http = _http(cluster)
    if http is not None:
        options = message.packed(message.HttpProtocolOptions(**http))
        fields["typed_extension_protocol_options"] = {_HTTP_OPTIONS: options}
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
