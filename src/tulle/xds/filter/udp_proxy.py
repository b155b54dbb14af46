"""envoy.filters.udp_listener.udp_proxy: datagrams to clusters.

A session is what comes from one address and port, for Envoy's default of 60 s after its last datagram; its
datagrams go to one endpoint (udp_proxy.proto, `idle_timeout`).
"""

from __future__ import annotations

from tulle.kit.mark import LARGEST_DATAGRAM
from tulle.mesh.view import MISSING_CLUSTER, DatagramListener, WeightedCluster
from tulle.xds import message
from tulle.xds.message import Tree

_ALL = 1_000_000
LARGE: Tree = {"max_rx_datagram_size": message.number(LARGEST_DATAGRAM)}
"""core.v3.UdpSocketConfig"""


def udp_proxy(listener: DatagramListener) -> Tree:
    """The listener filter that takes every datagram."""
    fields: Tree = {
        "stat_prefix": listener.name,
        "matcher": _shared(listener.clusters),
        "upstream_socket_config": LARGE,
    }
    if listener.by_source_address:
        fields["hash_policies"] = [{"source_ip": True}]
    return message.extension("envoy.filters.udp_listener.udp_proxy", message.UdpProxy(**fields))


def _shared(clusters: tuple[WeightedCluster, ...]) -> Tree:
    """A matcher that gives each cluster its share of the sessions.

    A route of this filter names one cluster (route.proto), so the shares are taken one after the other from
    what is left. Chance is a hash of the client's port, with a seed for each step: the same port falls the
    same way for as long as nothing changes. What no step takes is dropped: the share of what is missing.
    """
    known = [each for each in clusters if each.cluster != MISSING_CLUSTER]
    left = sum(each.weight for each in clusters)
    steps: list[Tree] = []
    for seed, each in enumerate(known):
        if each.weight == left:
            matcher: Tree = {"on_no_match": _to(each)}
            break
        steps.append({"predicate": _share(round(_ALL * each.weight / left), seed), "on_match": _to(each)})
        left -= each.weight
    else:
        matcher = {}
    if steps:
        matcher["matcher_list"] = {"matchers": steps}
    return matcher


def _share(millionths: int, seed: int) -> Tree:
    share = {"default_value": {"numerator": millionths, "denominator": "MILLION"}}
    fraction = message.RuntimeFraction(runtime_fraction=share, seed=seed)
    port = message.extension("envoy.matching.inputs.source_port", message.SourcePortInput())
    return {
        "single_predicate": {
            "input": port,
            "custom_match": message.extension("envoy.matching.matchers.runtime_fraction", fraction),
        }
    }


def _to(cluster: WeightedCluster) -> Tree:
    return {"action": message.extension("route", message.UdpRoute(cluster=cluster.cluster))}
