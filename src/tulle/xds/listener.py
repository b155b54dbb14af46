"""The parts that listeners of every kind are made of."""

from __future__ import annotations

from collections.abc import Iterable

from tulle.mesh.view import HttpChain, Reject, TcpChain, WeightedCluster
from tulle.xds import message
from tulle.xds.bundle import ROUTE
from tulle.xds.cluster import BLACK_HOLE
from tulle.xds.filter.tcp_proxy import tcp_proxy
from tulle.xds.message import Tree

LINK_LOCAL = "169.254.0.0/16"
"""Cloud metadata services live there. What the host may ask, a workload may not (decision 8)."""


def rejecting(reject: Reject) -> Tree:
    """The filter that closes the connection."""
    return tcp_proxy((WeightedCluster(BLACK_HOLE),), reject.stat_prefix)


def refusal(name: str, match: Tree) -> Tree:
    """A chain that closes what matches."""
    return {"name": name, "filter_chain_match": match, "filters": [rejecting(Reject())]}


def refuse_link_local() -> Tree:
    """In every listener that takes more than one destination address."""
    return refusal("link-local", {"prefix_ranges": [message.cidr(LINK_LOCAL)]})


def refuse_own_port(port: int) -> Tree:
    """A connection straight to the proxy's port was redirected from nowhere; dialling its destination would
    come back here, for ever."""
    return refusal("own-port", {"destination_port": message.number(port)})


def route_needs(thens: Iterable[HttpChain | TcpChain | Reject]) -> tuple[tuple[str, str], ...]:
    """The route tables that the chains of a listener name."""
    tables = {then.route_table for then in thens if isinstance(then, HttpChain)}
    return tuple((ROUTE, table) for table in sorted(tables))
