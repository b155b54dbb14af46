"""Clusters and endpoints: where requests and connections go."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tulle.mesh.view.origin import Origin, Protocol

SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian and its kin, Alpine, Arch and openSUSE keep the certificates of the world's authorities."""


class Discovery(StrEnum):
    EDS = "eds"
    STATIC = "static"  # `addresses` of the cluster
    ORIGINAL_DESTINATION = "original_dst"
    DNS = "dns"  # every address that the names of `named_endpoints` have
    DYNAMIC_DNS = "dynamic_dns"  # the name that each call says, in its Host header or as its server name
    DNS_ONE = "dns_one"  # of the addresses that the name has, one for each new connection


class Balancing(StrEnum):
    LEAST_REQUEST = "least_request"
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"
    RING_HASH = "ring_hash"
    MAGLEV = "maglev"


@dataclass(frozen=True, slots=True)
class Warmup:
    """How slowly an endpoint that is new gets its full share; LEAST_REQUEST and ROUND_ROBIN only."""

    seconds: float
    aggression: float | None = None
    """None: linear."""
    minimum_percent: float | None = None
    """None: 10 of 100."""


class Spread(StrEnum):
    """How a cluster's requests are shared among the localities of one priority."""

    ANY = "any"  # localities are of no account
    WEIGHTED = "weighted"  # by the weights of the localities
    NEAR = "near"  # Envoy's zone-aware routing
    NEVER_NEAR = "never_near"  # zone-aware routing is switched off


class HashSource(StrEnum):
    HEADER = "header"
    COOKIE = "cookie"
    SOURCE_ADDRESS = "source_address"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class HashKey:
    """What of a request decides which endpoint it goes to, for clusters that balance by hash."""

    source: HashSource
    name: str = ""
    """Of the header, the cookie or the query parameter."""
    cookie_path: str = ""
    cookie_seconds: float | None = None
    """COOKIE only. None: no cookie is made for who brings none; 0: one for the session."""
    cookie_attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LoadBalancing:
    algorithm: Balancing = Balancing.LEAST_REQUEST
    warmup: Warmup | None = None
    hash_keys: tuple[HashKey, ...] = ()
    """RING_HASH and MAGLEV only: what of a request decides; the first that a request has. They hold for every
    request to the cluster, whatever route it took."""
    table_size: int | None = None
    """RING_HASH: the least size of the ring; MAGLEV: of the table. None: Envoy's own."""
    spread: Spread = Spread.ANY
    spread_minimum_hosts: int | None = None
    """NEAR and NEVER_NEAR only: fewer hosts are not worth it. None: 6."""


@dataclass(frozen=True, slots=True)
class Keepalive:
    """TCP's own probes on idle connections; what is None is left to the kernel."""

    probes: int | None = None
    idle_seconds: int | None = None
    interval_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """The share of a cluster's requests that may be retries at one time."""

    percent: float = 20.0
    minimum: int = 3
    interval_seconds: float = 0
    """A request counts for so long after its beginning. 0: as long as it is under way."""


class Upstream(StrEnum):
    """Which HTTP is spoken to a cluster, where that is not what its port is declared as."""

    DECLARED = "declared"
    HTTP1 = "http1"
    HTTP2 = "http2"
    AS_CALLER = "as_caller"


@dataclass(frozen=True, slots=True)
class ConnectionPool:
    """Limits of one proxy towards a cluster. None: no limit; the two waits then have the mesh's own."""

    connections: int | None = None
    pending_requests: int | None = None
    requests: int | None = None
    retries: int | None = None
    retry_budget: RetryBudget | None = None
    """In place of `retries`."""
    requests_per_connection: int | None = None
    streams_per_connection: int | None = None
    """HTTP/2 only."""
    connect_seconds: float | None = None
    idle_seconds: float | None = None
    """Of a connection without a request; 0: it may be idle for ever."""
    connection_seconds: float | None = None
    """The age at which a connection is closed."""
    keepalive: Keepalive | None = None
    ping: tuple[float, float] | None = None
    """HTTP/2 only: every so many seconds, and how many seconds for its answer."""
    upstream: Upstream = Upstream.DECLARED


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """When an endpoint is left out for a while because of its own answers. None: Envoy's own value."""

    server_errors: int | None = None
    """That many 5xx in a row; 0: not counted."""
    gateway_errors: int | None = None
    """That many 502, 503 or 504 in a row; 0 and None: not counted."""
    split_local: bool = False
    """Failures to connect are counted by themselves."""
    local_failures: int | None = None
    interval_seconds: float | None = None
    ejection_seconds: float | None = None
    ejection_percent: int | None = None
    always_one: bool = False
    """One endpoint may be left out whatever the percentage."""
    error_statuses: tuple[int, ...] = ()
    """What counts as an error in place of 5xx."""


@dataclass(frozen=True, slots=True)
class OriginatedTls:
    """TLS towards a server that is not the mesh's own."""

    sni: str = ""
    """"": the Host header of each request."""
    names: tuple[str, ...] = ()
    """What the server's certificate must have one of as a subject alternative name. Empty: what the SNI is
    made of, where that is the Host header."""
    verify: bool = True
    authorities: str = ""
    """The authorities' certificates, as PEM; in place of `authorities_file`."""
    authorities_file: str = ""
    revocation_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    """Paths as the proxy sees them; it reads them itself."""
    certificate_secret: str = ""
    authorities_secret: str = ""
    """In place of files: Secrets by namespace/name. Without a namespace it is for gateways' proxies alone."""


@dataclass(frozen=True, slots=True)
class MutualTls:
    """mTLS with the proxy's own SVID."""

    identities: tuple[str, ...]
    """SPIFFE ids that the server may have, sorted. Empty: any of the trust domain (never for services)."""
    alpn: str
    """`tulle-http` from a sanitising HTTP connection manager, which tells the application who calls; else
    `tulle` (decision 24)."""
    sni: str
    """As Istio writes it: `outbound_.9080_.v1_.reviews.shop.svc.cluster.local`."""
    always: bool = False
    """Somebody asked for it: also to endpoints that have no proxy, which otherwise get plaintext."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    address: str
    """IPv4; in a cluster that asks DNS it may be a name."""
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
    weights: tuple[tuple[tuple[str, str, str], int], ...] = ()
    """Of localities (region, zone, sub-zone), sorted. Empty: what their endpoints weigh together."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Cluster:
    name: str
    discovery: Discovery
    origin: Origin
    protocol: Protocol = Protocol.TCP
    balancing: LoadBalancing = LoadBalancing()
    pool: ConnectionPool = ConnectionPool()
    outlier: OutlierDetection | None = None
    panic_percent: int = 0
    """Below so many healthy endpoints of 100, health is not looked at any more; 0: never."""
    mtls: MutualTls | None = None
    tls: OriginatedTls | None = None
    """In place of `mtls`."""
    proxy_protocol: int | None = None
    """The version of the PROXY protocol that connections begin with."""
    addresses: tuple[tuple[str, int], ...] = ()
    """STATIC only: (host, port)."""
    second_address: tuple[str, int] | None = None
    """STATIC with one address only: where to go when that one cannot be connected to."""
    named_endpoints: EndpointSet | None = None
    """DNS and DNS_ONE only; their addresses may be names."""
    port_override: int | None = None
    """ORIGINAL_DESTINATION only: the port that is dialled in place of the caller's."""
    source_address: str | None = None
    """Bind the upstream side here: 127.0.0.6 on the inbound side (decision 8)."""
    endpoint_set: str = ""
    """EDS only: the name of its EndpointSet where that is not the cluster's own: a subset that callers of
    one namespace define in their own way."""
    restrict_to: tuple[str, ...] = ()
    """ORIGINAL_DESTINATION only: the addresses that it may be used for (headless TCP, decision 11)."""
