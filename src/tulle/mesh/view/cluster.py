"""Clusters and endpoints: where requests and connections go."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tulle.mesh.view.origin import Origin, Protocol


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


@dataclass(frozen=True, slots=True, weakref_slot=True)
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
