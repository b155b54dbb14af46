"""Which virtual host a Host header means, and which routes of it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from tulle.mesh.view import Route, RouteTable, VirtualHost


def find_virtual_host(table: RouteTable, authority: str) -> VirtualHost | None:
    """Envoy's order (VirtualHost.domains): the exact name, the longest `*.suffix`, the longest `prefix.*`,
    `*`. A port in the Host header is of no account (`ignore_port_in_host_matching`), nor is its case."""
    name = host_of(authority).lower()
    best: tuple[tuple[int, int], VirtualHost] | None = None
    for host in table.virtual_hosts:
        for domain in host.domains:
            rank = _rank(domain.lower(), name)
            if rank is not None and (best is None or rank < best[0]):
                best = (rank, host)
    return best[1] if best is not None else None


def host_of(authority: str) -> str:
    """A Host header without its port."""
    host, colon, port = authority.rpartition(":")
    return host if colon and port.isdecimal() and not host.endswith(":") else authority


def _rank(domain: str, name: str) -> tuple[int, int] | None:
    """How well a domain fits, the smallest the best; None: not at all. A wildcard stands for one character
    or more."""
    if domain == name:
        return (0, 0)
    if domain == "*":
        return (3, 0)
    if domain.startswith("*") and name.endswith(domain[1:]) and len(name) > len(domain) - 1:
        return (1, -len(domain))
    if domain.endswith("*") and name.startswith(domain[:-1]) and len(name) > len(domain) - 1:
        return (2, -len(domain))
    return None


def routes_for(host: VirtualHost, address: str) -> tuple[Route, ...]:
    """The routes for requests that were sent to an address: those of the address, else those of the first
    range that it is in, else those of the host."""
    there = {each.destination: each.routes for each in host.by_destination}
    if address in there:
        return there[address]
    for destination, routes in there.items():
        if "/" in destination and address and ip_address(address) in ip_network(destination):
            return routes
    return host.routes
