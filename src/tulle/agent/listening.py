"""Which ports of a network namespace programs listen on, without connecting to them.

A connection would meet servers that speak first, and stand in the application's log. /proc/PID/net shows the
namespace of that process (proc(5)).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"
_UNCONNECTED: Final = "07"
_TABLES: Final = (("tcp", _LISTEN), ("tcp6", _LISTEN), ("udp", _UNCONNECTED), ("udp6", _UNCONNECTED))


def missing_port(pid: int, ports: Iterable[int]) -> str:
    """Why not all of the ports can be reached at the namespace's own address; empty if they can."""
    open_ports, loopback_ports = listening(pid)
    for port in ports:
        if port in open_ports:
            continue
        if port in loopback_ports:
            return f"listens on port {port} of the loopback address only: let it listen on 0.0.0.0"
        return f"does not listen on port {port} yet"
    return ""


def listening(pid: int) -> tuple[frozenset[int], frozenset[int]]:
    """The ports (TCP or UDP) that are open at other addresses, and at loopback addresses."""
    everywhere: set[int] = set()
    loopback: set[int] = set()
    for name, state in _TABLES:
        try:
            lines = Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
        except OSError:  # the process has just ended, or the kernel has no IPv6
            continue
        for address, port in parse(lines, state):
            (loopback if _is_loopback(address) else everywhere).add(port)
    return frozenset(everywhere), frozenset(loopback)


def parse(lines: Iterable[str], state: str) -> list[tuple[str, int]]:
    """(address, port) of each socket in that state; the address as the kernel writes it, in hexadecimal."""
    found: list[tuple[str, int]] = []
    for line in lines:
        _, local, _, status = line.split()[:4]
        if status == state:
            address, _, port = local.rpartition(":")
            found.append((address, int(port, 16)))
    return found


def _is_loopback(address: str) -> bool:
    """Each 32-bit word of the address is written in the machine's byte order, and that is little-endian."""
    if len(address) == 8:
        return address.endswith("7F")
    mapped = address[16:24] == "FFFF0000" and address.endswith("7F")
    return mapped or address == "0" * 24 + "01000000"
