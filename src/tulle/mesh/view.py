"""The View: what one proxy shall do, with every name, selector and merge rule already answered.

`mesh/` writes it (`resolve`), `xds/` translates it, `render` and `explain` show it. It speaks of routes,
clusters and ports, never of the language in which a user wrote them: that is only in `Origin`.

Everything is frozen and compares by content, so equal parts of two proxies are made once. The View is
put together from *parts* (outbound per scope, inbound per workload, gateways one by one); a part is the
unit of sharing and of change. Names of clusters, virtual hosts and listeners are those that mesh tools
and EnvoyFilters know from Istio (`outbound|9080|v1|reviews.shop.svc.cluster.local`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """The written thing that caused an object: a resource, and the path of a field in it.

    It holds no line: lines move when somebody writes a comment, and the View must not change for that.
    """

    kind: str
    namespace: str
    name: str
    field: str = ""


class Protocol(StrEnum):
    """What is spoken on a port (KEP-1422 `appProtocol`, Istio port names)."""

    HTTP = "http"
    HTTP2 = "http2"
    GRPC = "grpc"
    TLS = "tls"
    TCP = "tcp"
    UDP = "udp"
    DETECT = "detect"

    @property
    def is_http(self) -> bool:
        """Whether Envoy's HTTP connection manager can process it without looking first."""
        return self in (Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC)

    @property
    def is_http2(self) -> bool:
        """Whether an upstream connection must speak HTTP/2."""
        return self in (Protocol.HTTP2, Protocol.GRPC)


# -- routes: the one vocabulary for every input language ----------------------------------------------


class MatchKind(StrEnum):
    EXACT = "exact"
    PREFIX = "prefix"  # of the text: /foo matches /foobar (Istio)
    PATH_PREFIX = "path_prefix"  # of path elements: /foo matches /foo and /foo/bar only (Gateway API)
    REGEX = "regex"  # RE2, the whole value
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class ValueMatch:
    kind: MatchKind
    value: str = ""
    ignore_case: bool = False
    invert: bool = False
    """It must not hold; what is not there does not hold, and so is accepted."""


@dataclass(frozen=True, slots=True)
class NamedMatch:
    """A header or a query parameter."""

    name: str
    match: ValueMatch


@dataclass(frozen=True, slots=True)
class RequestMatch:
    """All that is set must hold. `:method`, `:authority` and `:scheme` are headers as in HTTP/2."""

    path: ValueMatch | None = None
    headers: tuple[NamedMatch, ...] = ()
    query: tuple[NamedMatch, ...] = ()
    destination: str = ""
    """The address that the caller dialled, or a range of them (CIDR); outbound route tables only."""


MISSING_CLUSTER = "MissingBackend"
"""No cluster has this name: its share of the requests is answered with 500. A backend that does not exist
or may not be referred to has it (Gateway API: 500 in proportion to its weight)."""


@dataclass(frozen=True, slots=True)
class WeightedCluster:
    cluster: str
    """A cluster that does not exist answers 500."""
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Forward:
    """Send it on. Clusters of weight 0 are left out by resolve; at least one is here."""

    clusters: tuple[WeightedCluster, ...]
    timeout_seconds: float | None = None
    """None: no limit of the mesh's own."""


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer in place (a missing backend answers 500, an unknown host under REGISTRY_ONLY 502)."""

    status: int
    body: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of a virtual host; the first whose match holds is taken."""

    name: str
    match: RequestMatch
    action: Forward | Respond
    origin: Origin


@dataclass(frozen=True, slots=True)
class VirtualHost:
    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class RouteTable:
    """One RDS resource: all virtual hosts of a port (`9080`) or of a gateway's listener (`http.8080`)."""

    name: str
    virtual_hosts: tuple[VirtualHost, ...]
    origin: Origin


# -- clusters and endpoints -------------------------------------------------------------------------


class Discovery(StrEnum):
    EDS = "eds"
    STATIC = "static"  # `addresses` of the cluster
    ORIGINAL_DESTINATION = "original_dst"
    DNS = "dns"  # the strict kind: every address that the name has


class Balancing(StrEnum):
    LEAST_REQUEST = "least_request"
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class MutualTls:
    """mTLS with the proxy's own SVID. Endpoints that have no proxy are spoken to in plaintext."""

    identities: tuple[str, ...]
    """SPIFFE ids that the server may have, sorted. Empty: any of the trust domain (never for services)."""
    alpn: str
    """`tulle-http` from a sanitising HTTP connection manager, else `tulle` (decision 24)."""
    sni: str
    """As Istio writes it: `outbound_.9080_.v1_.reviews.shop.svc.cluster.local`."""


@dataclass(frozen=True, slots=True)
class Cluster:
    name: str
    discovery: Discovery
    origin: Origin
    protocol: Protocol = Protocol.TCP
    balancing: Balancing = Balancing.LEAST_REQUEST
    mtls: MutualTls | None = None
    addresses: tuple[tuple[str, int], ...] = ()
    """STATIC and DNS only: (host, port)."""
    source_address: str | None = None
    """Bind the upstream side here: 127.0.0.6 on the inbound side (decision 8)."""
    connect_timeout_seconds: float = 10.0
    """Istio's default (mesh config, connectTimeout)."""
    endpoint_set: str = ""
    """EDS only: the name of its EndpointSet where that is not the cluster's own: a subset that callers of
    one namespace define in their own way."""
    restrict_to: tuple[str, ...] = ()
    """ORIGINAL_DESTINATION only: the addresses that it may be used for (headless TCP, decision 11)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    address: str
    port: int
    mtls: bool
    """Whether a proxy of the mesh terminates mTLS there."""
    weight: int = 1
    locality: tuple[str, str, str] = ("", "", "")
    """region, zone, sub-zone"""
    priority: int = 0
    workload: str = ""
    """namespace/name, for people."""
    healthy: bool = True


@dataclass(frozen=True, slots=True)
class EndpointSet:
    """One EDS resource; `name` is its cluster's. Sorted by address and port."""

    name: str
    endpoints: tuple[Endpoint, ...]
    origin: Origin


# -- listeners --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpChain:
    """HTTP processing by the named route table."""

    route_table: str
    stat_prefix: str


@dataclass(frozen=True, slots=True)
class TcpChain:
    """Bytes to clusters by weight."""

    clusters: tuple[WeightedCluster, ...]
    stat_prefix: str


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
    """Name of the part, `outbound/<namespace>`."""
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


# -- gateways ---------------------------------------------------------------------------------------


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


# -- gRPC's own xDS clients -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """A service's port as something to dial, and where its calls go."""

    names: tuple[str, ...]
    """`HOST:PORT` in every form that a caller may write after `xds:///`."""
    table: RouteTable
    """Of one virtual host, which takes every authority: the name that was dialled has chosen it."""


@dataclass(frozen=True, slots=True)
class Proxyless:
    """What the callers of one namespace see whose gRPC library speaks xDS itself, with no Envoy before them.
    Shared by all of them."""

    scope: str
    """Name of the part, `proxyless/<namespace>`."""
    targets: tuple[Target, ...]
    clusters: tuple[Cluster, ...]
    missing: tuple[str, ...] = ()
    """Clusters that routes name and that do not exist, sorted: their calls are to fail at once."""


# -- the whole --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """One workload behind a proxy. A sidecar's has outbound and inbound, a gateway's has a gateway; one whose
    gRPC library is its xDS client has proxyless."""

    namespace: str
    name: str
    outbound: Outbound | None = None
    inbound: Inbound | None = None
    gateway: Gateway | None = None
    proxyless: Proxyless | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Everything for one proxy. More than one workload: a shared host proxy."""

    proxy: str
    """namespace/name"""
    workloads: tuple[WorkloadView, ...]
