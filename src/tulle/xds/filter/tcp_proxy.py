"""envoy.filters.network.tcp_proxy: bytes to clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tulle.mesh.view import TcpChain, WeightedCluster
from tulle.xds import message
from tulle.xds.message import Tree

CONNECT_ATTEMPTS = 3
"""How many endpoints of a service are tried until one takes the connection: no byte has been sent yet, so
this is as safe as the two retries of a request whose connection failed."""

_EARLY_BYTES: Final = 16384
# What is read from a client before its upstream connection stands: one TLS record. Then reading pauses.


def tcp_proxy(
    clusters: Sequence[WeightedCluster],
    stat_prefix: str,
    *,
    connect_attempts: int = 1,
    after_handshake: bool = False,
    after_first_bytes: bool = False,
    more: Tree | None = None,
) -> Tree:
    """Bytes to clusters by weight.

    `after_handshake`: dial the application only when the caller has shown its certificate.
    `after_first_bytes`: only when the filters before this one have let the caller's first bytes through; then
    it may be quiet for as long as it likes, as where HTTP is processed. `more`: further fields of TcpProxy.
    """
    fields: Tree = {"stat_prefix": stat_prefix, **(more or {})}
    if len(clusters) == 1:
        fields["cluster"] = clusters[0].cluster
    else:
        fields["weighted_clusters"] = {
            "clusters": [{"name": one.cluster, "weight": one.weight} for one in clusters]
        }
    if connect_attempts > 1:
        fields["max_connect_attempts"] = message.number(connect_attempts)
    if after_handshake or after_first_bytes:
        mode = "ON_DOWNSTREAM_DATA" if after_first_bytes else "ON_DOWNSTREAM_TLS_HANDSHAKE"
        fields["upstream_connect_mode"] = mode
        fields["max_early_data_bytes"] = message.number(_EARLY_BYTES)
    if after_first_bytes:
        fields["idle_timeout"] = message.seconds(0)
    return message.extension("envoy.filters.network.tcp_proxy", message.TcpProxy(**fields))


def connection_times(idle: float | None, longest: float | None) -> Tree:
    """How long connections may be silent, and live; None: Envoy's own."""
    fields: Tree = {}
    if idle is not None:
        fields["idle_timeout"] = message.seconds(idle)
    if longest is not None:
        fields["max_downstream_connection_duration"] = message.seconds(longest)
    return fields


def chain_proxy(then: TcpChain, connect_attempts: int) -> Tree:
    """The proxy of a chain, with what is said of its connections."""
    fields = connection_times(then.idle_seconds, then.connection_seconds)
    if then.by_source_address:
        fields["hash_policy"] = [{"source_ip": {}}]
    if then.tunnel is not None:
        fields["tunneling_config"] = {"hostname": then.tunnel.target, "use_post": then.tunnel.post}
    return tcp_proxy(then.clusters, then.stat_prefix, connect_attempts=connect_attempts, more=fields)
