"""Gateway -> its bound listeners, routes and clusters.

Each port is listened on twice: at the gateway's own address, and on a Unix socket to which a relay on the
host forwards from loopback (decision 13). For TCP both have equal chains.
"""

from __future__ import annotations

from collections.abc import Iterator

from tulle.kit.mark import gateway_pipe
from tulle.mesh.view import (
    Cluster,
    DatagramListener,
    Discovery,
    Gateway,
    GatewayChain,
    GatewayListener,
    HttpChain,
    Protocol,
    Reject,
)
from tulle.xds import message, tls
from tulle.xds.bundle import Translated, in_order, translated
from tulle.xds.certificate import secrets_in_files
from tulle.xds.cluster import black_hole, translate_cluster
from tulle.xds.filter.connection_manager import datagram_manager, gateway_manager
from tulle.xds.filter.order import connection_filters, listener_filters
from tulle.xds.filter.tcp_proxy import CONNECT_ATTEMPTS
from tulle.xds.filter.udp_proxy import LARGE, udp_proxy
from tulle.xds.listener import rejecting, route_needs
from tulle.xds.message import Tree
from tulle.xds.outbound import ANY_ADDRESS
from tulle.xds.route import translate_route_table

_PIPE_MODE = 0o600
_LOOPBACK = "127.0.0.1"


def _chain(chain: GatewayChain, trust_domain: str) -> Tree:
    then = chain.then
    if isinstance(then, HttpChain):
        filters = [gateway_manager(then)]
    elif isinstance(then, Reject):
        filters = [rejecting(then)]
    else:
        filters = connection_filters(then, CONNECT_ATTEMPTS)
    built: Tree = {"name": chain.name, "filters": filters}
    if chain.server_names:
        built["filter_chain_match"] = {
            "server_names": list(chain.server_names),
            "transport_protocol": "tls",
        }
        if chain.meshed:
            built["filter_chain_match"]["application_protocols"] = list(tls.MESH_ALPN)
    if chain.tls is not None:
        http = isinstance(then, HttpChain)
        built["transport_socket"] = tls.public_server(chain.tls, trust_domain, http)
    return built


def _listener(
    listener: GatewayListener, name: str, address: Tree, trust_domain: str, from_relay: bool
) -> Translated:
    by_name = any(chain.server_names for chain in listener.chains)
    built = message.Listener(
        name=name,
        address=address,
        traffic_direction="OUTBOUND",
        filter_chains=[_chain(chain, trust_domain) for chain in listener.chains],
        listener_filters=listener_filters(proxy_protocol=from_relay, tls=by_name),
    )
    return translated(built, name, listener.origin, route_needs(chain.then for chain in listener.chains))


def _datagrams(listener: DatagramListener) -> Iterator[Translated]:
    built = message.Listener(
        name=listener.name,
        address=message.socket_address(ANY_ADDRESS, listener.port, "UDP"),
        traffic_direction="OUTBOUND",
        listener_filters=[udp_proxy(listener)],
        udp_listener_config={"downstream_socket_config": LARGE},
    )
    yield translated(built, listener.name, listener.origin)
    # What the relay sends is sent on to that port, so that it is shared and counted there.
    local = f"{listener.name}_local"
    yield translate_cluster(
        Cluster(
            local,
            Discovery.STATIC,
            listener.origin,
            Protocol.UDP,
            addresses=((_LOOPBACK, listener.port),),
        )
    )
    tunnel = message.Listener(
        name=local,
        address={"pipe": {"path": gateway_pipe(listener.port, udp=True), "mode": _PIPE_MODE}},
        traffic_direction="OUTBOUND",
        filter_chains=[{"name": local, "filters": [datagram_manager(local)]}],
    )
    yield translated(tunnel, local, listener.origin)


def translate_gateway(gateway: Gateway) -> tuple[Translated, ...]:
    """The part `gateway/<namespace>/<workload>`."""
    clusters = list(gateway.clusters)
    if any(isinstance(chain.then, Reject) for one in gateway.listeners for chain in one.chains):
        clusters.append(black_hole())
    resources = [*map(translate_cluster, clusters), *secrets_in_files(clusters)]
    resources += [translate_route_table(one) for one in gateway.route_tables]
    for one in gateway.listeners:
        bound = message.socket_address(ANY_ADDRESS, one.port)
        pipe: Tree = {"pipe": {"path": gateway_pipe(one.port), "mode": _PIPE_MODE}}
        for name, address in ((one.name, bound), (f"{one.name}_local", pipe)):
            resources.append(_listener(one, name, address, gateway.trust_domain, from_relay=address is pipe))
    resources += [made for one in gateway.datagrams for made in _datagrams(one)]
    return in_order(resources)
