"""What nft has to do inside a workload's network namespace. Pure: values in, scripts for `nft -f -` out.

Two tables, each replaced in one transaction: `tulle` redirects TCP to the proxy, `tulle_services` maps
virtual addresses to endpoints where no proxy does (UDP, and every port of a workload without a proxy), and
changes with the endpoints without touching the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tulle.kit.mark import APPLICATION_SOURCE, INBOUND_PORT, OUTBOUND_PORT


@dataclass(frozen=True, slots=True)
class Redirect:
    mark: int
    """SO_MARK of the proxy's own sockets, and the only thing that excepts them (decision 7)."""
    resolver: str
    """The agent's address, whose port 53 is reached directly."""
    outbound: int = OUTBOUND_PORT
    inbound: int = INBOUND_PORT
    excluded_outbound: tuple[int, ...] = ()
    """Destination ports that go out without the proxy."""
    excluded_inbound: tuple[int, ...] = ()
    """Own ports that are reached without the proxy."""
    excluded_networks: tuple[str, ...] = ()
    """Destinations, as CIDR, that are reached without the proxy."""


def plan_redirect(redirect: Redirect) -> str:
    """The script that redirects TCP of the namespace to the proxy, or replaces what did."""
    mark = f"{redirect.mark:#x}"
    output = [
        "type nat hook output priority -100; policy accept;",
        "meta l4proto != tcp accept",
        "# the proxy to its application, and a probe",
        f"meta mark {mark} ip saddr {APPLICATION_SOURCE} accept",
        "# a call to a virtual address came back to its caller: it has to pass the inbound side as any other",
        f"meta mark {mark} ip daddr != 127.0.0.0/8 fib daddr type local "
        f"meta l4proto tcp redirect to :{redirect.inbound}",
        f"meta mark {mark} accept",
        "# loopback, and the own address called directly",
        "fib daddr type local accept",
        f"ip daddr {redirect.resolver} tcp dport 53 accept",
    ]
    if redirect.excluded_networks:
        output.append(f"ip daddr {{ {', '.join(redirect.excluded_networks)} }} accept")
    if redirect.excluded_outbound:
        output.append(f"tcp dport {{ {_ports(redirect.excluded_outbound)} }} accept")
    output.append(f"meta l4proto tcp redirect to :{redirect.outbound}")
    prerouting = [
        "type nat hook prerouting priority -100; policy accept;",
        'iifname "lo" accept',
    ]
    if redirect.excluded_inbound:
        prerouting.append(f"tcp dport {{ {_ports(redirect.excluded_inbound)} }} accept")
    prerouting.append(f"meta l4proto tcp fib daddr type local redirect to :{redirect.inbound}")
    return _table("tulle", {"output": output, "prerouting": prerouting})


def plan_services(udp: Mapping[str, Sequence[str]], tcp: Mapping[str, Sequence[str]] | None = None) -> str:
    """The script that sends each new flow to a virtual address to one of its endpoints, chosen at random.

    Keys and endpoints are `address:port`. A virtual address without endpoints is unreachable: the hub says so
    at once. `tcp` is for workloads without a proxy only.
    """
    chains: dict[str, list[str]] = {}
    output = ["type nat hook output priority -101; policy accept;"]
    for protocol, services in (("udp", udp), ("tcp", tcp or {})):
        verdicts: list[str] = []
        for virtual in sorted(services):
            endpoints = sorted(services[virtual])
            if not endpoints:
                continue
            chain = f"{protocol}_{hashlib.sha256(virtual.encode()).hexdigest()[:12]}"
            choices = ", ".join(f"{index} : {_pair(endpoint)}" for index, endpoint in enumerate(endpoints))
            chains[chain] = [
                f"# {virtual}",
                f"meta l4proto {protocol} dnat ip to numgen random mod {len(endpoints)} map {{ {choices} }}",
            ]
            verdicts.append(f"{_pair(virtual)} : jump {chain}")
        if verdicts:
            output.append(f"ip daddr . {protocol} dport vmap {{ {', '.join(verdicts)} }}")
    return _table("tulle_services", {**chains, "output": output})


def _table(name: str, chains: Mapping[str, Sequence[str]]) -> str:
    """Declared, deleted, declared again: in one transaction this replaces the table, if there is one."""
    body = "\n".join(
        f"\tchain {chain} {{\n" + "".join(f"\t\t{rule}\n" for rule in rules) + "\t}\n"
        for chain, rules in chains.items()
    )
    return f"table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n{body}}}\n"


def _pair(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"{host} . {port}"


def _ports(ports: Sequence[int]) -> str:
    return ", ".join(str(port) for port in sorted(ports))
