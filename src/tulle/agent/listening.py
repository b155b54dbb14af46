"""Which ports of a network namespace programs listen on, without connecting to them.

A connection would meet servers that speak first, and stand in the application's log. /proc/PID/net shows the
namespace of that process (proc(5)).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"
_UNCONNECTED: Final = "07"
_GONE: Final = (FileNotFoundError, ProcessLookupError)
"""The process has just ended, or the kernel has no IPv6."""
_LONGEST_SECONDS: Final = 2.0
_TABLES: Final = (("tcp", _LISTEN), ("tcp6", _LISTEN), ("udp", _UNCONNECTED), ("udp6", _UNCONNECTED))


class PortWatch:
    """Whether ports are open, to be asked again and again.

    A table costs milliseconds, because the kernel goes through the connections of the whole machine for it;
    how many sockets a namespace has costs nothing. So the tables are read when that number is another one,
    and now and then, for a socket that came when another one went.
    """

    def __init__(self, pid: int, ports: Collection[int]) -> None:
        self._pid = pid
        self._ports = ports
        self._counted: tuple[str, ...] = ()
        self._valid_until = 0.0
        self._lacking = "has not been looked at yet"

    def lacking(self) -> str:
        """Why not all of the ports can be reached at the namespace's own address; empty if they can."""
        if not self._ports:
            return ""
        try:
            counted, now = _sockets_in_use(self._pid), time.monotonic()
            if counted != self._counted or now >= self._valid_until:
                self._lacking = missing_port(self._pid, self._ports)
                self._counted, self._valid_until = counted, now + _LONGEST_SECONDS
        except OSError:
            pass  # the agent is out of file descriptors: what it saw last is all that it knows
        return self._lacking


def _sockets_in_use(pid: int) -> tuple[str, ...]:
    """The numbers of a namespace's sockets by protocol; the other numbers there are the whole machine's."""
    found: list[str] = []
    for name in ("sockstat", "sockstat6"):
        try:
            words = Path(f"/proc/{pid}/net/{name}").read_text().split()
        except _GONE:
            continue
        found += (words[at + 1] for at, word in enumerate(words) if word == "inuse")
    return tuple(found)


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
        except _GONE:
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
