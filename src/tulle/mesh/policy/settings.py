"""What a DestinationRule's settings make of clusters and connections. Read by `outbound/cluster.py`,
`service/headless.py`."""

from __future__ import annotations

from dataclasses import replace

from tulle.mesh.policy.balancing import load_balancing
from tulle.mesh.policy.client_tls import originated_tls
from tulle.mesh.policy.destination import NOTHING, Settings
from tulle.mesh.policy.locality import spread
from tulle.mesh.policy.outlier import outlier_detection
from tulle.mesh.policy.pool import connection_pool, idle_seconds
from tulle.mesh.view import Cluster, DatagramListener, HashKey, HashSource, TcpChain, Tunnel
from tulle.model.istio import TunnelSettings

_VERSIONS = {"V1": 1, "V2": 2}


def governed(made: Cluster, settings: Settings, namespace: str = "") -> Cluster:
    """A cluster with everything that settings say but mTLS, which depends on who stands behind it.
    `namespace`: of the callers, if they are selected workloads."""
    if settings == NOTHING:
        return made
    detection = settings.outlier_detection
    proxy_protocol = settings.proxy_protocol
    shared, minimum_hosts = spread(settings)
    balancing = load_balancing(settings.load_balancer)
    return replace(
        made,
        balancing=replace(balancing, spread=shared, spread_minimum_hosts=minimum_hosts),
        pool=connection_pool(settings),
        outlier=outlier_detection(detection) if detection is not None else None,
        panic_percent=detection.min_health_percent if detection is not None else 0,
        tls=originated_tls(settings.tls, namespace),
        proxy_protocol=_VERSIONS[proxy_protocol.version] if proxy_protocol is not None else None,
    )


def governed_chain(then: TcpChain, settings: Settings) -> TcpChain:
    """A chain with what settings say of its connections; the same object if they say nothing."""
    if settings == NOTHING:
        return then
    pool = connection_pool(settings)
    made = replace(
        then,
        idle_seconds=idle_seconds(settings),
        connection_seconds=pool.connection_seconds,
        by_source_address=_by_source_address(settings),
    )
    return then if made == then else made


def governed_datagrams(listener: DatagramListener, settings: Settings) -> DatagramListener:
    """A listener of datagrams with what settings say of whom they come from."""
    return replace(listener, by_source_address=True) if _by_source_address(settings) else listener


def _by_source_address(settings: Settings) -> bool:
    return HashKey(HashSource.SOURCE_ADDRESS) in load_balancing(settings.load_balancer).hash_keys


def tunnelled(then: TcpChain, written: TunnelSettings | None) -> TcpChain:
    """A chain whose connections go through another proxy, if they shall (DestinationRule, `tunnel`)."""
    if written is None:
        return then
    host = f"[{written.target_host}]" if ":" in written.target_host else written.target_host
    return replace(then, tunnel=Tunnel(f"{host}:{written.target_port}", post=written.protocol == "POST"))
