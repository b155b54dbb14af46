"""The two sides of a sidecar: what its workload may call, and what reaches it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tulle.mesh.view.cluster import Cluster
from tulle.mesh.view.depth import Depth
from tulle.mesh.view.origin import Origin, Protocol
from tulle.mesh.view.route import RouteTable, WeightedCluster


@dataclass(frozen=True, slots=True)
class HttpChain:
    """HTTP processing by the named route table."""

    route_table: str
    stat_prefix: str
    looks_up: bool = False
    """Some clusters of its routes are of DYNAMIC_DNS."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A connection inside of an HTTP request to another proxy."""

    target: str
    """HOST:PORT that the other proxy is asked to connect to."""
    post: bool = False
    """By POST in place of CONNECT."""


@dataclass(frozen=True, slots=True)
class TcpChain:
    """Bytes to clusters by weight."""

    clusters: tuple[WeightedCluster, ...]
    stat_prefix: str
    idle_seconds: float | None = None
    """None: an hour (Envoy's default); 0: for ever."""
    connection_seconds: float | None = None
    """The age at which a connection is closed."""
    by_source_address: bool = False
    """What clusters that balance by hash go by."""
    tunnel: Tunnel | None = None
    lookup_port: int | None = None
    """The port of the server name's address that is dialled, where the cluster is of DYNAMIC_DNS."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Close the connection (BlackHoleCluster)."""

    stat_prefix: str = "BlackHoleCluster"


@dataclass(frozen=True, slots=True)
class OutboundChain:
    """One way out of a listener. Every set condition must hold; the most specific wins, as in Envoy."""

    name: str
    then: HttpChain | TcpChain | Reject
    origin: Origin
    destination_cidrs: tuple[str, ...] = ()
    server_names: tuple[str, ...] = ()
    """SNI; needs the TLS inspector."""
    application: str = ""
    """`http`: only what the HTTP inspector recognises; needs it."""


@dataclass(frozen=True, slots=True)
class OutboundListener:
    """A listener that 15001 hands connections to by original destination (`bind_to_port: false`).

    `address` 0.0.0.0 takes every destination with this port that has no listener of its own.
    """

    name: str
    address: str
    port: int
    chains: tuple[OutboundChain, ...]
    otherwise: OutboundChain
    origin: Origin
    inspect_seconds: float | None = None
    """How long to wait for a first byte before deciding without it; None: nothing is inspected."""


@dataclass(frozen=True, slots=True)
class Outbound:
    """What every workload of one scope sees when it calls out. Shared by all proxies of that scope."""

    scope: str
    """Name of the part: `outbound/NAMESPACE`, with labels of the callers if rules ask for any."""
    allow_any: bool
    """False: REGISTRY_ONLY."""
    listeners: tuple[OutboundListener, ...]
    route_tables: tuple[RouteTable, ...]
    clusters: tuple[Cluster, ...]
    service_cidr: str = ""
    """Where virtual addresses are. What no listener is for there is nowhere, and not outside of the mesh."""


class InboundMtls(StrEnum):
    """PeerAuthentication's modes."""

    STRICT = "STRICT"
    PERMISSIVE = "PERMISSIVE"
    DISABLE = "DISABLE"


@dataclass(frozen=True, slots=True)
class InboundPort:
    """A port that the workload serves: the address is its own, the application is dialled there too."""

    port: int
    protocol: Protocol
    mtls: InboundMtls
    cluster: str
    origin: Origin
    depth: Depth | None = None
    """None: no HTTP port, or one that has to be looked at; its depth is not a question."""
    idle_seconds: float | None = None
    """Of connections without HTTP. None: an hour (Envoy's default); 0: for ever."""
    connection_seconds: float | None = None
    """The age at which a connection without HTTP is closed."""
    service_port: int = 0
    """What callers know it by, where that is another number: it is in the name of its virtual host."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """What reaches one workload. Ports that are not listed pass through as TCP."""

    namespace: str
    workload: str
    address: str
    identity: str
    trust_domain: str
    ports: tuple[InboundPort, ...]
    clusters: tuple[Cluster, ...]
    default_mtls: InboundMtls = InboundMtls.PERMISSIVE
