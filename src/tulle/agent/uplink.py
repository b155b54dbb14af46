"""The way from the hub to the host's network: the only code that changes the host's settings. Needs root.

What stands in the host's own namespace: one interface and one nft table named after the mesh, one route (it
goes with the interface), and IP forwarding. Forwarding belongs to all meshes of the host together: the first
one that needs it notes what was there in a file that all share, the last one that goes restores it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import socket
from collections.abc import AsyncGenerator, Iterable, Mapping
from ipaddress import IPv4Network
from pathlib import Path

from tulle.agent.layout import Layout
from tulle.agent.network import Network, NetworkError, UplinkPlan, plan_uplink
from tulle.agent.program import ProgramError, run
from tulle.kit import durable

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_GUARD_TABLE = "tulle_guard"
_OURS = re.compile(r"tul[0-9a-f]{8}")
"""The host's end of some mesh's uplink."""


async def host_routes() -> tuple[IPv4Network, ...]:
    """Every IPv4 destination that this host has a route to, in any table, without the default."""
    try:
        listed = json.loads(await run("ip", "-json", "-4", "route", "show", "table", "all") or "[]")
    except ProgramError as error:
        raise NetworkError(str(error)) from error
    return parse_routes(listed)


def parse_routes(listed: Iterable[Mapping[str, object]]) -> tuple[IPv4Network, ...]:
    """The destinations in what `ip -json route` printed."""
    return tuple(
        IPv4Network(str(route["dst"]), strict=False)
        for route in listed
        if route.get("dst") not in (None, "default")
    )


async def connect(layout: Layout, network: Network) -> None:
    """Make the uplink of the hub. Raises NetworkError; then nothing is left of it."""
    plan = plan_uplink(network, layout.host_interface, layout.host_table, layout.hub)
    try:
        await run("ip", "-batch", "-", text=plan.host)
        await run("ip", "-batch", "-", text=plan.hub, namespace=layout.hub)
        await run("nft", "-f", "-", text=plan.rules)
        await _admit(plan)
        async with _shared_state(layout) as note:
            await _enable_forwarding(note)
    except ProgramError as error:
        await disconnect(layout)
        raise NetworkError(f"cannot connect the mesh to this host: {error}") from error


async def disconnect(layout: Layout) -> None:
    """Remove what `connect` made. What is not there any more is not an error."""
    for command in (
        ("ip", "link", "delete", layout.host_interface),
        ("nft", "delete", "table", "ip", layout.host_table),
    ):
        with contextlib.suppress(ProgramError):
            await run(*command)
    with contextlib.suppress(ProgramError):
        await _expel(layout.host_table)
    async with _shared_state(layout) as note:
        await _restore_forwarding(note)


async def leftovers(layout: Layout) -> tuple[str, ...]:
    """What stands in the host's own namespace of this mesh, in words."""
    interface, table = layout.host_interface, layout.host_table
    found: list[str] = []
    if interface in _interfaces():
        found.append(f"interface {interface}")
    with contextlib.suppress(ProgramError):
        rules = await run("nft", "list", "ruleset")
        if f"table ip {table} " in rules:
            found.append(f"nft table ip {table}")
        if f'comment "{table}"' in rules:
            found.append(f"nft rules with the comment {table}")
    return tuple(found)


# -- other people's filters -------------------------------------------------------------------------
#
# Where another table's forward chain drops by default (Docker, ufw), an accept in our own table does not
# help: a packet has to pass the chains of every table. So two rules go to the head of such a chain, with our
# table's name as their comment, and come out at `down`. Filters that only the old iptables programs see are
# not touched.


async def _admit(plan: UplinkPlan) -> None:
    for family, table, chain in dropping_chains(json.loads(await run("nft", "-j", "list", "chains"))):
        for match in (
            ("iifname", plan.interface),
            ("oifname", plan.interface, "ct", "state", "established,related"),
        ):
            await run(
                "nft", "insert", "rule", family, table, chain, *match, "accept", "comment", f'"{plan.table}"'
            )


async def _expel(comment: str) -> None:
    for family, table, chain, number in commented_rules(
        json.loads(await run("nft", "-j", "list", "ruleset")), comment
    ):
        await run("nft", "delete", "rule", family, table, chain, "handle", str(number))


def dropping_chains(
    listed: Mapping[str, Iterable[Mapping[str, Mapping[str, object]]]],
) -> list[tuple[str, str, str]]:
    """(family, table, chain) of the chains that drop forwarded IPv4 packets by default."""
    chains = [item["chain"] for item in listed["nftables"] if "chain" in item]
    return [
        (str(chain["family"]), str(chain["table"]), str(chain["name"]))
        for chain in chains
        if chain.get("hook") == "forward"
        and chain.get("policy") == "drop"
        and chain["family"] in ("ip", "inet")
    ]


def commented_rules(
    listed: Mapping[str, Iterable[Mapping[str, Mapping[str, object]]]], comment: str
) -> list[tuple[str, str, str, int]]:
    """(family, table, chain, handle) of the rules with that comment."""
    rules = [item["rule"] for item in listed["nftables"] if "rule" in item]
    return [
        (str(rule["family"]), str(rule["table"]), str(rule["chain"]), int(str(rule["handle"])))
        for rule in rules
        if rule.get("comment") == comment
    ]


# -- forwarding -------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _shared_state(layout: Layout) -> AsyncGenerator[Path]:
    """One mesh at a time changes what all meshes of this host share: the note of what forwarding was."""
    shared = layout.run.parent
    shared.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(shared / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.01)
        yield shared / "forwarding"
    finally:
        os.close(descriptor)


async def _enable_forwarding(note: Path) -> None:
    if _FORWARDING.read_text().strip() == "1":
        return
    await run("nft", "-f", "-", text=guard_rules(_interfaces() - {"lo"}))
    durable.replace(note, b"")  # that it is there says that the host did not forward
    _FORWARDING.write_text("1\n")


def guard_rules(interfaces: Iterable[str]) -> str:
    """Rules that keep a host which did not forward from becoming a router between `interfaces`.

    Only between those that existed at that time: what a container runtime adds later forwards as it likes.
    """
    names = ", ".join(f'"{name}"' for name in sorted(interfaces) if not _OURS.fullmatch(name))
    drop = f"\t\tiifname {{ {names} }} oifname {{ {names} }} drop\n" if names else ""
    return f"""\
table ip {_GUARD_TABLE}
delete table ip {_GUARD_TABLE}
table ip {_GUARD_TABLE} {{
\tchain forward {{
\t\ttype filter hook forward priority 0; policy accept;
{drop}\t}}
}}
"""


async def _restore_forwarding(note: Path) -> None:
    if not note.exists() or any(map(_OURS.fullmatch, _interfaces())):
        return
    _FORWARDING.write_text("0\n")
    with contextlib.suppress(ProgramError):
        await run("nft", "delete", "table", "ip", _GUARD_TABLE)
    note.unlink()


def _interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex()}
