"""mTLS as a client's proxy speaks it. Read by `cluster.py` and `service/headless.py`."""

from __future__ import annotations

from dataclasses import replace

from tulle.mesh.route.common import Destination
from tulle.mesh.view import Cluster, MutualTls, Protocol
from tulle.mesh.world import World

SANITISED = "tulle-http"
"""ALPN of a cluster that only an HTTP connection manager feeds, which removes what callers forge and says who
they are (decision 24)."""
OPAQUE = "tulle"
"""ALPN of every other cluster with mTLS."""


def opaque(made: Cluster) -> Cluster:
    """The cluster as something else than an HTTP connection manager feeds it."""
    if made.mtls is None or made.mtls.alpn == OPAQUE:
        return made
    return replace(made, mtls=replace(made.mtls, alpn=OPAQUE))


def passed_through(made: Cluster, name: str) -> Cluster:
    """The cluster under another name for what its callers have encrypted themselves."""
    return replace(
        made,
        name=name,
        protocol=Protocol.TCP,
        mtls=None,
        tls=None,
        endpoint_set=made.endpoint_set or made.name,
    )


def raw(made: Cluster, name: str) -> Cluster:
    """The cluster under another name for bytes that go as they came, inside of the mesh's mTLS as ever."""
    made = opaque(made)
    return replace(made, name=name, protocol=Protocol.TCP, endpoint_set=made.endpoint_set or made.name)


def for_datagrams(made: Cluster) -> Cluster:
    """The cluster of a UDP port: what stands before a connection's bytes does not stand before a datagram."""
    return replace(made, mtls=None, tls=None, proxy_protocol=None)


def mutual_tls(world: World, destination: Destination, alpn: str) -> MutualTls | None:
    """mTLS to the declared workloads of a service; None where there is none yet (decision 18)."""
    identities = world.server_identities(destination.host)
    return MutualTls(identities, alpn, destination.sni) if identities else None
