"""Which listener takes a connection, and which chain of it.

As Envoy does it: the listener of the address and port that were dialled, else the one of the port, else
15001's own end (listener.proto, `use_original_dst`); within it the chain with the longest range of addresses,
then with the most specific server name, then with the protocol that was recognised (FilterChainMatch).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import TypeVar

from tulle.mesh.evaluate.call import Connection
from tulle.mesh.view import Gateway, GatewayChain, GatewayListener, Outbound, OutboundChain, OutboundListener

_Chain = TypeVar("_Chain", OutboundChain, GatewayChain)
_ANY = "0.0.0.0"  # noqa: S104  a listener's name for every address


def outbound_listener(outbound: Outbound, connection: Connection) -> OutboundListener | None:
    """None: no service has this port, and what is dialled is for the outside, or nowhere."""
    by_address = {(each.address, each.port): each for each in outbound.listeners}
    own = by_address.get((connection.address, connection.port))
    return own if own is not None else by_address.get((_ANY, connection.port))


def outbound_chain(listener: OutboundListener, connection: Connection, http: bool) -> OutboundChain:
    """`http`: whether the first bytes are recognised as HTTP (1.0, 1.1, or 2 with prior knowledge)."""
    ranged = _longest_range(listener.chains, connection.address)
    named = _most_specific(ranged, connection.server_name)
    fitting = [each for each in named if not each.application or (http and not connection.server_name)]
    fitting.sort(key=lambda each: not each.application)
    return fitting[0] if fitting else listener.otherwise


def gateway_listener(gateway: Gateway, port: int) -> GatewayListener | None:
    """None: nobody listens there."""
    return next((each for each in gateway.listeners if each.port == port), None)


def gateway_chain(listener: GatewayListener, connection: Connection) -> GatewayChain | None:
    """None: the connection is closed."""
    named = _most_specific(listener.chains, connection.server_name)
    return named[0] if named else None


def _longest_range(chains: Iterable[OutboundChain], address: str) -> list[OutboundChain]:
    found: list[tuple[int, OutboundChain]] = []
    for chain in chains:
        lengths = [
            ip_network(text).prefixlen
            for text in chain.destination_cidrs
            if ip_address(address) in ip_network(text)
        ]
        if lengths or not chain.destination_cidrs:
            found.append((max(lengths, default=-1), chain))
    longest = max((length for length, _ in found), default=-1)
    return [chain for length, chain in found if length == longest]


def _most_specific(chains: Iterable[_Chain], server_name: str) -> list[_Chain]:
    found: list[tuple[int, _Chain]] = []
    for chain in chains:
        ranks = [rank for name in chain.server_names if (rank := _name_rank(name, server_name)) >= 0]
        if ranks or not chain.server_names:
            found.append((max(ranks, default=-1), chain))
    best = max((rank for rank, _ in found), default=-1)
    return [chain for rank, chain in found if rank == best]


def _name_rank(pattern: str, server_name: str) -> int:
    """The longer what is known of the name, the higher; -1: another name."""
    if not server_name:
        return -1
    if pattern == server_name.lower():
        return 1_000
    suffix = pattern[1:]
    return len(suffix) if pattern.startswith("*.") and server_name.lower().endswith(suffix) else -1
