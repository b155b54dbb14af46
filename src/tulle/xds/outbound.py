"""Outbound -> the listeners, routes and clusters by which the workloads of a scope call out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from tulle.kit.mark import OUTBOUND_PORT
from tulle.mesh.view import (
    Cluster,
    Discovery,
    HttpChain,
    Outbound,
    OutboundChain,
    OutboundListener,
    Reject,
    WeightedCluster,
)
from tulle.xds import message
from tulle.xds.bundle import Translated, in_order, translated
from tulle.xds.certificate import secrets_in_files
from tulle.xds.cluster import PASSTHROUGH, black_hole, passthrough, translate_cluster
from tulle.xds.filter.connection_manager import outbound_manager
from tulle.xds.filter.order import connection_filters, listener_filters, outbound_filters
from tulle.xds.filter.tcp_proxy import CONNECT_ATTEMPTS, tcp_proxy
from tulle.xds.listener import refusal, refuse_link_local, refuse_own_port, rejecting, route_needs
from tulle.xds.message import Tree
from tulle.xds.route import translate_route_table

ANY_ADDRESS = "0.0.0.0"  # noqa: S104  Envoy's wildcard; only redirected connections arrive there


def _filters(chain: OutboundChain, balanced: frozenset[str]) -> list[Tree]:
    then = chain.then
    if isinstance(then, HttpChain):
        return outbound_filters(outbound_manager(then))
    if isinstance(then, Reject):
        return [rejecting(then)]
    # Where there is one destination only, a second attempt would only double the wait for its refusal.
    several = any(one.cluster in balanced for one in then.clusters)
    attempts = CONNECT_ATTEMPTS if several else 1
    return connection_filters(then, attempts)


def _match(chain: OutboundChain) -> Tree:
    match: Tree = {}
    if chain.destination_cidrs:
        match["prefix_ranges"] = [message.cidr(text) for text in chain.destination_cidrs]
    if chain.server_names:
        match["server_names"] = list(chain.server_names)
    if chain.application == "http":
        match["application_protocols"] = ["http/1.0", "http/1.1", "h2c"]
    return match


@lru_cache(maxsize=16384)
def _listener(listener: OutboundListener, balanced: frozenset[str]) -> Translated:
    chains = [
        {
            "name": chain.name,
            "filter_chain_match": _match(chain),
            "filters": _filters(chain, balanced),
        }
        for chain in listener.chains
    ]
    if listener.address == ANY_ADDRESS:
        chains.insert(0, refuse_link_local())
    inspect_tls = any(chain.server_names for chain in listener.chains)
    inspect_http = any(chain.application for chain in listener.chains)
    fields: Tree = {
        "name": listener.name,
        "address": message.socket_address(listener.address, listener.port),
        "bind_to_port": message.NO,
        "traffic_direction": "OUTBOUND",
        "filter_chains": chains,
        "default_filter_chain": {
            "name": listener.otherwise.name,
            "filters": _filters(listener.otherwise, balanced),
        },
        "listener_filters": listener_filters(tls=inspect_tls, http=inspect_http),
    }
    if inspect_tls or inspect_http:
        fields["continue_on_listener_filters_timeout"] = True
        if listener.inspect_seconds is not None:
            fields["listener_filters_timeout"] = message.seconds(listener.inspect_seconds)
    needs = route_needs(chain.then for chain in (*listener.chains, listener.otherwise))
    return translated(message.Listener(**fields), listener.name, listener.origin, needs)


@lru_cache(maxsize=16)
def _virtual_outbound(allow_any: bool, service_cidr: str) -> Translated:
    """15001: hands every redirected connection to the listener of its original destination; what has none
    is for the outside, or a port that no service has: that is closed at once."""
    chains = [refuse_own_port(OUTBOUND_PORT), refuse_link_local()]
    if service_cidr:
        chains.append(refusal("no-such-port", {"prefix_ranges": [message.cidr(service_cidr)]}))
    last = tcp_proxy((WeightedCluster(PASSTHROUGH),), PASSTHROUGH) if allow_any else rejecting(Reject())
    built = message.Listener(
        name="virtualOutbound",
        address=message.socket_address(ANY_ADDRESS, OUTBOUND_PORT),
        traffic_direction="OUTBOUND",
        use_original_dst=message.YES,
        filter_chains=chains,
        default_filter_chain={
            "name": "virtualOutbound-catchall-tcp" if allow_any else "virtualOutbound-blackhole",
            "filters": [last],
        },
    )
    return translated(built, "virtualOutbound")


def _used(listener: OutboundListener) -> Iterator[str]:
    for chain in (*listener.chains, listener.otherwise):
        if not isinstance(chain.then, HttpChain | Reject):
            yield from (one.cluster for one in chain.then.clusters)


def _translate_listener(listener: OutboundListener, clusters: dict[str, Cluster]) -> Translated:
    """The cached translation must depend on what it reads alone, so that is picked out first."""
    used = (clusters[name] for name in set(_used(listener)) if name in clusters)
    several = (one.name for one in used if one.discovery is not Discovery.ORIGINAL_DESTINATION)
    return _listener(listener, frozenset(several))


def translate_outbound(outbound: Outbound) -> tuple[Translated, ...]:
    """The part `outbound/<scope>`, with the clusters that stand for nothing and, where it is used, for
    everything outside."""
    clusters = {one.name: one for one in (passthrough(), black_hole(), *outbound.clusters)}
    listeners = [_translate_listener(one, clusters) for one in outbound.listeners]
    if not outbound.allow_any and not any(PASSTHROUGH in _used(one) for one in outbound.listeners):
        del clusters[PASSTHROUGH]
    return in_order(
        [
            _virtual_outbound(outbound.allow_any, outbound.service_cidr),
            *listeners,
            *(translate_route_table(one) for one in outbound.route_tables),
            *(translate_cluster(one) for one in clusters.values()),
            *secrets_in_files(clusters.values()),
        ]
    )
