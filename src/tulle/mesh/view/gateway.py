"""Gateways: listeners that people configured."""

from __future__ import annotations

from dataclasses import dataclass, field

from tulle.mesh.view.cluster import Cluster
from tulle.mesh.view.listener import HttpChain, Reject, TcpChain
from tulle.mesh.view.origin import Origin
from tulle.mesh.view.route import RouteTable


@dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS that a gateway terminates with the named Secrets (`namespace/name`, type kubernetes.io/tls)."""

    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What stands behind a name in `ServerTls`. Not a part of a View, which people are shown."""

    secret: str
    """namespace/name"""
    chain_pem: bytes
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class GatewayChain:
    name: str
    then: HttpChain | TcpChain | Reject
    origin: Origin
    server_names: tuple[str, ...] = ()
    """SNI; empty: any, TLS or not."""
    tls: ServerTls | None = None


@dataclass(frozen=True, slots=True)
class GatewayListener:
    """One bound port. Several listeners that people wrote may share it (by host name or SNI)."""

    name: str
    port: int
    protocol: str
    """As written: HTTP, HTTPS, TLS, TCP."""
    chains: tuple[GatewayChain, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Gateway:
    """What one gateway proxy does. Its clusters are those of its routes alone."""

    namespace: str
    workload: str
    address: str
    identity: str
    trust_domain: str
    listeners: tuple[GatewayListener, ...]
    route_tables: tuple[RouteTable, ...]
    clusters: tuple[Cluster, ...]
