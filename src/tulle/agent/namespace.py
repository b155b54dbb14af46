"""Network namespaces that are kept by a file: makes, joins to the hub and removes them.

Carries out the plans of `network.py` by `unshare`, `nsenter` and `ip -batch` (ADR 1). Called by `workload.py`
for workloads and by the composition root for the hub.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from tulle.agent.network import Network, NetworkError, available, plan_hub, plan_workload
from tulle.agent.program import ProgramError, run, script

_IPV6 = Path("/proc/sys/net/ipv6")


async def create(path: Path, settings: Sequence[str]) -> None:
    """Make a network namespace, write its kernel settings, and keep it by a mount on `path`.

    Raises NetworkError; then nothing is left.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    try:
        known = available(settings, ipv6=_IPV6.is_dir())
        await run("unshare", f"--net={path}", "--", *script("sysctl.py"), *known)
    except ProgramError as error:
        await remove(path)
        raise NetworkError(f"cannot make a network namespace: {error}") from error


async def remove(path: Path) -> None:
    """Let go of a namespace, if it is there; the kernel ends it when its last process has gone."""
    with contextlib.suppress(ProgramError):  # not mounted: something was killed between two steps
        await run("umount", "--lazy", str(path))
    path.unlink(missing_ok=True)


def exists(path: Path) -> bool:
    """Whether a namespace is mounted on `path`, not just the empty file that a crash left."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False


async def create_hub(path: Path, network: Network) -> None:
    """Make the hub. Raises NetworkError; then nothing is left."""
    plan = plan_hub(network)
    await create(path, plan.settings)
    try:
        await run("ip", "-batch", "-", text=plan.batch, namespace=path)
    except ProgramError as error:
        await remove(path)
        raise NetworkError(f"cannot set up the hub of the mesh: {error}") from error


async def create_workload(
    path: Path, hub: Path, network: Network, interface: str, addresses: Sequence[IPv4Address]
) -> None:
    """Make a workload's namespace with its interface. Raises NetworkError; then nothing is left."""
    plan = plan_workload(network, interface, path, addresses)
    await create(path, plan.settings)
    try:
        await run("ip", "-batch", "-", text=plan.hub, namespace=hub)
        await run("ip", "-batch", "-", text=plan.inside, namespace=path)
    except ProgramError as error:
        await remove_workload(path, hub, network, interface, addresses)
        raise NetworkError(f"cannot connect {path.name} to the mesh: {error}") from error


async def remove_workload(
    path: Path, hub: Path, network: Network, interface: str, addresses: Sequence[IPv4Address]
) -> None:
    """Take a workload off the network. What is not there any more is not an error."""
    if exists(hub):
        for command in plan_workload(network, interface, path, addresses).undo:
            with contextlib.suppress(ProgramError):
                await run("ip", *command.split(), namespace=hub)
    await remove(path)
