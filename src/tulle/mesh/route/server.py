"""What a Gateway asks of one port of its proxy, in whichever language it is written.

Made by `route/gateway_api/listener.py` and `route/istio/server.py`; read by `gateway/gateway.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.view import GatewayChain, Origin, VirtualHost, WeightedCluster


@dataclass(frozen=True, slots=True)
class Server:
    """One listener of a Gateway, or one server of an Istio Gateway."""

    port: int
    protocol: str
    """As written, in capitals: HTTP, HTTPS, TLS, TCP, UDP."""
    origin: Origin
    virtual_hosts: tuple[VirtualHost, ...] = ()
    """For what is HTTP, with or without TLS. Each has one domain."""
    route_table: str = ""
    """The table of these virtual hosts; "" for plain HTTP, whose table belongs to the port."""
    chains: tuple[GatewayChain, ...] = ()
    """For what is neither plain HTTP nor UDP."""
    datagrams: tuple[WeightedCluster, ...] = ()
    """For UDP: where they go, by weight."""

    @property
    def is_plain_http(self) -> bool:
        return not self.chains
