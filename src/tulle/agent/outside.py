"""The way out of an ordinary user's mesh: pasta, where it is installed (https://passt.top; Debian: passt).

Nobody without privilege can join a network namespace of their own to the host's by an interface. pasta has
the one end of a tap interface in the hub, and makes ordinary connections in the host's network for what goes
out there. The supervisor keeps it running. Without it the mesh works, and workloads reach nothing else.
"""

from __future__ import annotations

import os
import shutil

from tulle.agent.layout import Layout
from tulle.agent.network import UPLINK, Network, NetworkError, plan_outside
from tulle.agent.program import ProgramError, run

_PROGRAM = "pasta"
_TAP = "/dev/net/tun"


def available() -> bool:
    """Whether workloads of an ordinary user's mesh can reach the world outside of it on this machine."""
    return not _lacking()


def limits(layout: Layout) -> str:
    """What workloads of this mesh cannot reach on this machine, in words; empty if nothing."""
    if not layout.rootless or not (lacking := _lacking()):
        return ""
    return f"workloads reach nothing outside of the mesh: {lacking}"


def _lacking() -> str:
    if shutil.which(_PROGRAM) is None:
        return "install pasta (Debian: sudo apt-get install passt) and start the mesh again"
    if not os.access(_TAP, os.R_OK | os.W_OK):
        return f"{_TAP}, which pasta needs, is not there or closed to ordinary users"
    return ""


async def connect(layout: Layout, network: Network) -> None:
    """Prepare the hub for it. Raises NetworkError."""
    try:
        await run("nft", "-f", "-", text=plan_outside(network), namespace=layout.hub)
    except ProgramError as error:
        raise NetworkError(f"cannot connect the mesh to this host: {error}") from error


def command(layout: Layout, network: Network) -> tuple[str, ...]:
    """The program, in the host's network and in the enclosure, until it is ended."""
    closed = [part for option in ("-t", "-u", "-T", "-U") for part in (option, "none")]
    return (
        *(_PROGRAM, "--foreground", "--config-net", "--ipv4-only", "--quiet", "--stderr"),
        *("--netns-only", "--netns", str(layout.hub), "--ns-ifname", UPLINK),
        *("--address", str(network.uplink_inner), "--netmask", "255.255.255.254"),
        *("--gateway", str(network.uplink_outer)),
        # Otherwise the gateway's address is the host's loopback, with all that listens there for itself only.
        "--no-map-gw",
        *closed,
    )
