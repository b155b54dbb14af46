"""Inbound -> the one listener of what reaches a workload, and its clusters.

Everything that arrives at the workload's address is redirected to 15006. The chain is chosen by the original
destination port, and on PERMISSIVE ports by what the caller offers: a proxy's ClientHello carries the ALPN
of the mesh; everything else is plaintext, or the application's own TLS. On HTTP ports the ALPN also says
whether the caller's side has processed HTTP already, so that this side need not (`shallow.py`).

Only PERMISSIVE ports are looked at before a chain is chosen; STRICT, DISABLE and undeclared ones wait for
nothing. How long to look is one number per listener:

- A workload with HTTP and TLS ports alone: as long as the connection manager keeps an idle connection. The
  client speaks first there, so an idle preconnection is not closed, and a slow caller not misjudged.
- A workload with a PERMISSIVE port that may be server-first (TCP, or nothing declared): 100 ms, then
  plaintext. A proxy's hello comes with its first packets; one that was lost and sent again is taken for
  plaintext, fails in its handshake, and is tried anew on a new connection (connect-failure). An idle
  preconnection is plaintext from then on, and lives.

One listener, and not one per port behind `use_original_dst`: Envoy hands a restored connection to *any*
listener of that port, also to the outbound `0.0.0.0_PORT`, and a stranger could call through a workload's
proxy with the workload's identity (docs/adr/014-one-inbound-listener.md).
"""

from __future__ import annotations

from tulle.kit.mark import INBOUND_PORT
from tulle.mesh.view import Inbound, InboundMtls, InboundPort, Protocol, WeightedCluster
from tulle.xds import message, shallow, tls
from tulle.xds.bundle import Translated, in_order, translated
from tulle.xds.cluster import INBOUND_PASSTHROUGH, inbound_passthrough, translate_cluster
from tulle.xds.filter.connection_manager import inbound_manager
from tulle.xds.filter.inspector import DETECTION_SECONDS
from tulle.xds.filter.order import listener_filters
from tulle.xds.filter.tcp_proxy import connection_times, tcp_proxy
from tulle.xds.listener import refuse_own_port
from tulle.xds.message import Tree
from tulle.xds.outbound import ANY_ADDRESS
from tulle.xds.route import inbound_routes

_CLIENT_FIRST_SECONDS = 3600.0
# Envoy's idle time-out of an HTTP connection (common_http_protocol_options.idle_timeout, 1 h).


def _http(port: InboundPort, peer: bool) -> Tree:
    return inbound_manager(f"inbound_{port.port}", inbound_routes(port, peer))


def _tcp(port: InboundPort, peer: bool) -> Tree:
    return tcp_proxy(
        (WeightedCluster(port.cluster),),
        f"inbound_{port.port}",
        after_handshake=peer,
        more=connection_times(port.idle_seconds, port.connection_seconds),
    )


def _port_chains(inbound: Inbound, port: InboundPort) -> list[Tree]:
    here: Tree = {
        "destination_port": message.number(port.port),
        "prefix_ranges": [message.cidr(inbound.address)],
    }
    process = _http if port.protocol.is_http else _tcp
    undecided = port.protocol is Protocol.DETECT
    by_client = {"application_protocols": [tls.HTTP_MESH_ALPN]}

    def mutual(name: str, match: Tree, filter_: Tree) -> Tree:
        return {
            "name": f"{port.port}-{name}",
            "filter_chain_match": here | match,
            "transport_socket": tls.server_mtls(inbound.trust_domain),
            "filters": [filter_],
        }

    def plain(name: str, match: Tree, filter_: Tree) -> Tree:
        return {"name": f"{port.port}-{name}", "filter_chain_match": here | match, "filters": [filter_]}

    if port.mtls is InboundMtls.DISABLE:
        return [plain("plaintext", {}, process(port, False))]
    passed_on = _is_shallow(port)
    if port.mtls is InboundMtls.STRICT and passed_on:
        return [shallow.chain(inbound, port, here), mutual("mtls", {}, process(port, True))]
    if port.mtls is InboundMtls.STRICT:
        http = [mutual("mtls-http", by_client, _http(port, True))] if undecided else []
        return [*http, mutual("mtls", {}, process(port, True))]
    # Envoy does not fall back from a matched transport protocol to chains without one, so what comes with
    # another ALPN, or none, needs its own chain wherever `tls` is named.
    own_tls = {"transport_protocol": "tls"}
    if port.protocol.is_http:
        processed = [tls.TCP_MESH_ALPN] if passed_on else list(tls.MESH_ALPN)
        return [
            *([shallow.chain(inbound, port, here | own_tls)] if passed_on else []),
            mutual("mtls", own_tls | {"application_protocols": processed}, _http(port, True)),
            plain("application-tls", own_tls, _tcp(port, False)),
            plain("plaintext", {}, _http(port, False)),
        ]
    if undecided:  # the client's proxy has seen what it is, and says so
        return [
            mutual("mtls-http", by_client, _http(port, True)),
            mutual("mtls", {"application_protocols": [tls.TCP_MESH_ALPN]}, _tcp(port, True)),
            plain("plaintext", {}, _tcp(port, False)),
        ]
    return [
        mutual("mtls", {"application_protocols": list(tls.MESH_ALPN)}, _tcp(port, True)),
        plain("plaintext", {}, _tcp(port, False)),
    ]


def _is_inspected(port: InboundPort) -> bool:
    """Whether the ClientHello decides about the chain."""
    by_client = port.protocol is Protocol.DETECT or _is_shallow(port)
    return port.mtls is InboundMtls.PERMISSIVE or (port.mtls is InboundMtls.STRICT and by_client)


def _is_shallow(port: InboundPort) -> bool:
    return port.depth is not None and port.depth.shallow and port.mtls is not InboundMtls.DISABLE


def _undeclared_chain(inbound: Inbound) -> Tree:
    strict = inbound.default_mtls is InboundMtls.STRICT
    clusters = (WeightedCluster(INBOUND_PASSTHROUGH),)
    chain: Tree = {
        "name": "undeclared",
        "filter_chain_match": {"prefix_ranges": [message.cidr(inbound.address)]},
        "filters": [tcp_proxy(clusters, INBOUND_PASSTHROUGH, after_handshake=strict)],
    }
    if strict:
        chain["transport_socket"] = tls.server_mtls(inbound.trust_domain)
    return chain


def _virtual_inbound(inbound: Inbound) -> Translated:
    ports = [port for port in inbound.ports if port.protocol is not Protocol.UDP]
    inspected = [port for port in ports if _is_inspected(port)]
    chains = [refuse_own_port(INBOUND_PORT)]
    for port in ports:
        chains += _port_chains(inbound, port)
    chains.append(_undeclared_chain(inbound))
    fields: Tree = {
        "name": "virtualInbound",
        "address": message.socket_address(ANY_ADDRESS, INBOUND_PORT),
        "traffic_direction": "INBOUND",
        "filter_chains": chains,
        "listener_filters": listener_filters(
            original_destination=True,
            tls=bool(inspected),
            tls_ports=[port.port for port in inspected],
        ),
    }
    if any(port.protocol in (Protocol.TCP, Protocol.DETECT) for port in inspected):
        fields["listener_filters_timeout"] = message.seconds(DETECTION_SECONDS)
        fields["continue_on_listener_filters_timeout"] = True
    elif inspected:
        fields["listener_filters_timeout"] = message.seconds(_CLIENT_FIRST_SECONDS)
    return translated(message.Listener(**fields), "virtualInbound")


def translate_inbound(inbound: Inbound) -> tuple[Translated, ...]:
    """The part `inbound/<namespace>/<workload>`. Refused connections go to the outbound part's black hole."""
    return in_order(
        [
            _virtual_inbound(inbound),
            translate_cluster(inbound_passthrough()),
            *(translate_cluster(one) for one in inbound.clusters),
            *(one for port in inbound.ports if _is_shallow(port) for one in shallow.resources(inbound, port)),
        ]
    )
