"""Gateways: listeners that people configured."""

from __future__ import annotations

from dataclasses import dataclass, field

from tulle.mesh.view.cluster import Cluster
from tulle.mesh.view.listener import HttpChain, Reject, TcpChain
from tulle.mesh.view.origin import Origin
from tulle.mesh.view.route import RouteTable, WeightedCluster


@dataclass(frozen=True, slots=True)
class ClientValidation:
    """What the certificates of a gateway's clients are held against."""

    authorities: str
    """The name of `Authorities`."""
    required: bool = True
    """False: who has no certificate is served too."""
    verify: bool = True
    """False: a certificate of another authority is taken too."""
    names: tuple[str, ...] = ()
    """Subject alternative names, one of which the certificate must have. Empty: any."""
    key_hashes: tuple[str, ...] = ()
    """SHA-256 of the public key (SPKI), in base64."""
    certificate_hashes: tuple[str, ...] = ()
    """SHA-256 of the certificate, in hexadecimal. One of both kinds must fit, if there are any."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS that a gateway terminates with the named Secrets (`namespace/name`)."""

    secrets: tuple[str, ...]
    """Empty: the proxy's own SVID, for clients with one (mTLS of the mesh)."""
    client: ClientValidation | None = None
    """None: clients are not asked."""
    oldest: str = "TLSv1_2"
    newest: str = ""
    """Versions of TLS in Envoy's words; "": Envoy's own."""
    cipher_suites: tuple[str, ...] = ()
    """For versions up to 1.2. Empty: Envoy's own."""


@dataclass(frozen=True, slots=True)
class Authorities:
    """Certificates of authorities, behind a name in `ClientValidation`. Not a part of a View."""

    secret: str
    """namespace/name, as it is asked for: what ends in `-cacert` may stand in the Secret without it. With
    `configmap://` before it, and maybe others after a comma, of ConfigMaps."""
    chain_pem: bytes
    revocation_pem: bytes = b""


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
    meshed: bool = False
    """Only connections that a proxy of the mesh opens (by their ALPN)."""


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
class DatagramListener:
    """One bound UDP port. What comes from one address and port goes to one endpoint, until it is silent."""

    name: str
    port: int
    clusters: tuple[WeightedCluster, ...]
    """By weight; the share of a missing cluster is dropped."""
    origin: Origin
    by_source_address: bool = False
    """What clusters that balance by hash go by."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
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
    datagrams: tuple[DatagramListener, ...] = ()
