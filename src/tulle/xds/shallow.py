"""HTTP that is passed on: what a port needs whose server's side does not process the HTTP of meshed callers.

For each such port: a filter chain for callers that have processed it themselves and are proxies; a cluster to
dial the application; and a listener on loopback that the cluster falls back to when the application cannot be
connected to, with HTTP processing as every other port has. So a caller is told, in HTTP, that nobody has seen
its request, and may send it elsewhere; or it waits as long as it would have. Read by `inbound.py`.
"""

from __future__ import annotations

from dataclasses import replace

from tulle.kit.mark import APPLICATION_PORT, application_address
from tulle.mesh.view import Inbound, InboundPort, Protocol, WeightedCluster
from tulle.xds import message, tls
from tulle.xds.bundle import Translated, translated
from tulle.xds.cluster import translate_cluster
from tulle.xds.filter.connection_manager import application_manager
from tulle.xds.filter.order import shallow_filters
from tulle.xds.filter.tcp_proxy import tcp_proxy
from tulle.xds.message import Tree
from tulle.xds.route import inbound_routes


def _name(port: InboundPort) -> str:
    return f"inbound|{port.port}|passed-on|"


def chain(inbound: Inbound, port: InboundPort, match: Tree) -> Tree:
    """Only what offers `tulle-http` comes here, and only proxies get through."""
    passing_on = tcp_proxy(
        (WeightedCluster(_name(port)),), f"inbound_{port.port}_passed_on", after_first_bytes=True
    )
    return {
        "name": f"{port.port}-mtls-passed-on",
        "filter_chain_match": match | {"application_protocols": [tls.HTTP_MESH_ALPN]},
        "transport_socket": tls.server_mtls(inbound.trust_domain),
        "filters": shallow_filters(inbound.trust_domain, passing_on),
    }


def resources(inbound: Inbound, port: InboundPort) -> tuple[Translated, ...]:
    """The cluster and the listener."""
    address = application_address(port.port)
    own = next(each for each in inbound.clusters if each.name == port.cluster)
    direct = replace(own, name=_name(port), protocol=Protocol.TCP, second_address=(address, APPLICATION_PORT))
    name = f"application_{port.port}"
    routes = inbound_routes(port, peer=False)
    listener = message.Listener(
        name=name,
        address=message.socket_address(address, APPLICATION_PORT),
        traffic_direction="INBOUND",
        filter_chains=[{"name": "http", "filters": [application_manager(name, routes)]}],
    )
    return (translate_cluster(direct), translated(listener, name, port.origin))
