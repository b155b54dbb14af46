"""The mesh's own network on one host: addresses, and what `ip -batch` has to do for them. Pure.

One hub namespace holds a bridge, the agent's address and, on hosts where that is possible, the uplink; every
workload has a namespace of its own with one interface on that bridge (decision 6). Nothing here differs
between root and rootless. `namespace.py` and `uplink.py` carry the plans out.

Every packet between two workloads goes through the hub's routing: a workload knows one neighbour, so the
kernel's neighbour table, which all namespaces of a machine share, grows with the number of workloads and not
with its square. Hardware addresses follow from the addresses and neighbours are written down permanently
(such entries do not count against the table's limits, neigh/gc_thresh3), so that nobody ever asks by ARP.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

BRIDGE = "tulle"
UPLINK = "uplink"
WORKLOAD_INTERFACE = "eth0"

QUIET_SETTINGS = (
    # The model is IPv4 for now (decision 7), and an interface without IPv6 comes up without duplicate
    # address detection. "all" for the interfaces there are, "default" for those to come.
    "net/ipv6/conf/all/disable_ipv6=1",
    "net/ipv6/conf/default/disable_ipv6=1",
    # A new namespace takes over the host's values (devconf_inherit_init_net); a strict filter would drop
    # answers that come back by another way than requests leave.
    "net/ipv4/conf/all/rp_filter=0",
    "net/ipv4/conf/default/rp_filter=0",
)
HUB_SETTINGS = (
    *QUIET_SETTINGS,
    "net/ipv4/ip_forward=1",
    # Packets between workloads come in and go out by the same bridge on purpose.
    "net/ipv4/conf/all/send_redirects=0",
    "net/ipv4/conf/default/send_redirects=0",
)
WORKLOAD_SETTINGS = (
    *QUIET_SETTINGS,
    # Workloads have no capabilities and still listen on port 80 (decision 3).
    "net/ipv4/ip_unprivileged_port_start=0",
)

_IPV6_SETTINGS = "net/ipv6/"


class NetworkError(RuntimeError):
    """The mesh cannot have its network here; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Network:
    """The addresses of one mesh on this host."""

    workloads: IPv4Network
    """The first address is the hub's, the fourth and third from its end are the uplink's."""
    services: IPv4Network
    """Virtual addresses; no packet to one of them ever leaves a namespace that has a proxy."""

    @property
    def hub(self) -> IPv4Address:
        """Every workload's gateway, and where the agent answers DNS."""
        return self.workloads[1]

    @property
    def uplink_inner(self) -> IPv4Address:
        # Not the last two: the very last is the subnet's broadcast address for the bridge.
        return self.workloads[-4]

    @property
    def uplink_outer(self) -> IPv4Address:
        return self.workloads[-3]

    @property
    def reserved(self) -> frozenset[IPv4Address]:
        """What no workload may have."""
        return frozenset(
            (
                self.workloads[0],
                self.hub,
                self.uplink_inner,
                self.uplink_outer,
                self.workloads[-2],
                self.workloads[-1],
            )
        )


@dataclass(frozen=True, slots=True)
class HubPlan:
    settings: tuple[str, ...]
    batch: str
    """For `ip -batch` inside the hub."""


@dataclass(frozen=True, slots=True)
class WorkloadPlan:
    settings: tuple[str, ...]
    hub: str
    """For `ip -batch` inside the hub, first."""
    inside: str
    """For `ip -batch` inside the workload's namespace, then."""
    undo: tuple[str, ...]
    """One `ip` command each, inside the hub: takes the workload off the bridge at once, before its namespace
    has gone, which the kernel does at its leisure. Each may fail when its object is already gone."""


@dataclass(frozen=True, slots=True)
class UplinkPlan:
    """The way from the hub to the host's own network and on to the rest of the world. Needs root."""

    interface: str
    host: str
    """For `ip -batch` in the host's own network namespace, first."""
    hub: str
    """For `ip -batch` inside the hub, then."""
    rules: str
    """For `nft -f -` in the host's own network namespace."""
    table: str


def hardware_address(address: IPv4Address) -> str:
    """A locally administered unicast address (IEEE 802) that follows from the IPv4 address."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x74" + address.packed)


def plan_hub(network: Network) -> HubPlan:
    """The hub: a bridge with the first address of the subnet."""
    return HubPlan(
        settings=HUB_SETTINGS,
        batch=_batch(
            "link set lo up",
            f"link add name {BRIDGE} address {hardware_address(network.hub)} type bridge stp_state 0",
            f"address add {network.hub}/{network.workloads.prefixlen} dev {BRIDGE}",
            f"link set {BRIDGE} up",
            # A virtual address that no proxy took care of must fail at once rather than leave the host. Not
            # "unreachable": for UDP that ICMP code is no hard error (icmp_err_convert), and a caller waits.
            f"route add prohibit {network.services}",
        ),
    )


def plan_workload(
    network: Network, interface: str, namespace: Path, addresses: Sequence[IPv4Address]
) -> WorkloadPlan:
    """A workload's interface: `interface` is its end in the hub, `namespace` an empty network namespace."""
    first = addresses[0]
    return WorkloadPlan(
        settings=WORKLOAD_SETTINGS,
        hub=_batch(
            f"link add name {interface} type veth "
            f"peer name {WORKLOAD_INTERFACE} address {hardware_address(first)} netns {namespace}",
            f"link set {interface} master {BRIDGE} up",
            *(
                f"neighbour replace {address} lladdr {hardware_address(first)} dev {BRIDGE} nud permanent"
                for address in addresses
            ),
        ),
        inside=_batch(
            "link set lo up",
            # A /32, and everything else by the hub, also without an uplink: without a route a virtual address
            # fails with ENETUNREACH before nft sees the packet (decision 6).
            *(f"address add {address}/32 dev {WORKLOAD_INTERFACE}" for address in addresses),
            f"link set {WORKLOAD_INTERFACE} up",
            f"neighbour replace {network.hub} lladdr {hardware_address(network.hub)} "
            f"dev {WORKLOAD_INTERFACE} nud permanent",
            f"route add default via {network.hub} dev {WORKLOAD_INTERFACE} onlink",
        ),
        undo=(
            f"link delete {interface}",
            *(f"neighbour delete {address} dev {BRIDGE}" for address in addresses),
        ),
    )


def plan_uplink(network: Network, interface: str, table: str, hub: Path) -> UplinkPlan:
    """The uplink: `interface` is its end on the host, `table` the name of our nft table there."""
    return UplinkPlan(
        interface=interface,
        table=table,
        host=_batch(
            f"link add name {interface} type veth peer name {UPLINK} netns {hub}",
            f"address add {network.uplink_outer}/31 dev {interface}",
            f"link set {interface} up",
            f"route add {network.workloads} via {network.uplink_inner} dev {interface}",
        ),
        hub=_batch(
            f"address add {network.uplink_inner}/31 dev {UPLINK}",
            f"link set {UPLINK} up",
            f"route add default via {network.uplink_outer} dev {UPLINK}",
        ),
        rules=f"""\
table ip {table}
delete table ip {table}
table ip {table} {{
\tchain postrouting {{
\t\ttype nat hook postrouting priority 100; policy accept;
\t\tip saddr {network.workloads} oifname != "{interface}" masquerade
\t}}

\tchain forward {{
\t\ttype filter hook forward priority 0; policy accept;
\t\t# other machines do not reach workloads directly
\t\tiifname != "{interface}" oifname "{interface}" ct state new drop
\t}}
}}
""",
    )


def plan_outside(network: Network) -> str:
    """For `nft -f -` inside the hub of an ordinary user's mesh, whose uplink answers its own address only."""
    return f"""\
table ip tulle {{
\tchain postrouting {{
\t\ttype nat hook postrouting priority 100; policy accept;
\t\tip saddr {network.workloads} oifname "{UPLINK}" masquerade
\t}}
}}
"""


def available(settings: Iterable[str], ipv6: bool) -> tuple[str, ...]:
    """The settings that this kernel has: one without IPv6 has none of its settings and needs none."""
    return tuple(setting for setting in settings if ipv6 or not setting.startswith(_IPV6_SETTINGS))


def choose_subnets(
    routes: Iterable[IPv4Network], candidates: Iterable[tuple[IPv4Network, IPv4Network]] | None = None
) -> Network:
    """The first pair of subnets (workloads, services) that nothing on this host already reaches.

    `routes`: the host's routes, without the default. Raises NetworkError when every candidate is taken.
    """
    taken = tuple(routes)
    for workloads, services in CANDIDATES if candidates is None else candidates:
        if not any(route.overlaps(workloads) or route.overlaps(services) for route in taken):
            return Network(workloads, services)
    raise NetworkError(
        "every subnet that the mesh could use is already routed on this host; name one in its settings"
    )


def _candidates() -> Iterable[tuple[IPv4Network, IPv4Network]]:
    # Corners of the private ranges (RFC 1918) that container runtimes, VPNs and home routers leave alone,
    # then the shared range of carriers (RFC 6598), which no workload's client ever comes from.
    for second in range(212, 252, 2):
        yield IPv4Network(f"10.{second}.0.0/16"), IPv4Network(f"10.{second + 1}.0.0/16")
    for second in range(96, 126, 2):
        yield IPv4Network(f"100.{second}.0.0/16"), IPv4Network(f"100.{second + 1}.0.0/16")


CANDIDATES = tuple(_candidates())


def _batch(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)
