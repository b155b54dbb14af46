"""Addresses of services and workloads: stable, chosen by name, remembered.

An address is the hash of the name, placed in the network; on a collision the next free one is taken. So
the same files give the same addresses on every machine, and a name that came first keeps what it got.
`allocate` is pure; `Book` remembers its answers in a mapping that the composition root saves.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Allocation:
    """Who has which address."""

    addresses: Mapping[str, str]
    exhausted: frozenset[str] = frozenset()
    """Names that got none: the network is full."""
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names whose wanted address could not be honoured, and why."""


def allocate(wanted: Mapping[str, str], kept: Mapping[str, str], cidr: str) -> Allocation:
    """Give every name of `wanted` an address in `cidr`.

    The value of `wanted` is the address that somebody wrote for the name, or "". `kept` holds earlier
    answers, also for names that are gone: their addresses are used again only when no other is free, so
    that an old connection or a cached DNS answer does not meet another service soon.
    The network's own address, the first one (the agent's) and the broadcast address are never given.
    """
    network = ipaddress.IPv4Network(cidr)
    inside = {name: text for name, text in kept.items() if usable(text, network)}
    addresses: dict[str, str] = {}
    refused: dict[str, str] = {}
    owners: dict[str, str] = {}

    def give(name: str, address: str) -> None:
        addresses[name] = address
        owners[address] = name

    # What was promised first, then what was written, then the rest: each in the order of the names.
    for name in sorted(wanted):
        before = inside.get(name)
        if before is not None and wanted[name] in ("", before) and before not in owners:
            give(name, before)
    for name in sorted(wanted):
        text = wanted[name]
        if name in addresses or not text:
            continue
        if not usable(text, network):
            refused[name] = f"{text} is not a usable address of {cidr}"
        elif text in owners:
            refused[name] = f"{text} belongs to {owners[text]}"
        else:
            give(name, text)
    exhausted: set[str] = set()
    resting = set(inside.values())
    for name in sorted(wanted):
        if name in addresses:
            continue
        before = inside.get(name)
        if before is not None and before not in owners:
            give(name, before)
            continue
        free = (text for text in _candidates(name, network) if text not in owners)
        address = next((text for text in free if text not in resting), None)
        if address is None and resting - owners.keys():
            address = next((text for text in _candidates(name, network) if text not in owners), None)
        if address is None:
            exhausted.add(name)
        else:
            give(name, address)
    return Allocation(addresses, frozenset(exhausted), refused)


def usable(text: str, network: ipaddress.IPv4Network) -> bool:
    """Whether an address may be given to a service or a workload of this network."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return address in network and 1 < int(address) - int(network.network_address) < network.num_addresses - 1


def _candidates(name: str, network: ipaddress.IPv4Network) -> Iterator[str]:
    """Every usable address once, from the one that the name hashes to."""
    count = network.num_addresses - 3
    first = int(network.network_address) + 2
    if count < 1:
        return
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % count
    for step in range(count):
        yield str(ipaddress.IPv4Address(first + (start + step) % count))


class Book:
    """The allocations of one network, remembered under `prefix` in a mapping that somebody saves.

    Asking twice gives the same answer, so a derived function may ask: what it writes down is what it
    would answer again.
    """

    def __init__(self, saved: MutableMapping[str, str], prefix: str, cidr: str) -> None:
        self._saved = saved
        self._prefix = prefix
        self.cidr = cidr

    def allocate(self, wanted: Mapping[str, str]) -> Allocation:
        cut = len(self._prefix)
        kept = {name[cut:]: text for name, text in self._saved.items() if name.startswith(self._prefix)}
        found = allocate(wanted, kept, self.cidr)
        taken = set(found.addresses.values())
        for name, address in kept.items():
            if name not in found.addresses and address in taken:
                del self._saved[self._prefix + name]
        for name, address in found.addresses.items():
            if kept.get(name) != address:
                self._saved[self._prefix + name] = address
        return found
