"""What was made on this host for one incarnation of a workload: noted before it is made, so that it is always
found again, and the order in which it is taken down.

Read by `workload.py` for what is not wanted any more, also when an earlier agent made it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from tulle.agent import namespace
from tulle.agent.container import GRACE_SECONDS
from tulle.agent.drain import drain
from tulle.agent.external import HOLDER
from tulle.agent.host import Host
from tulle.agent.layout import Layout, process_name, proxy_process_name
from tulle.agent.process import Process
from tulle.kit import durable
from tulle.kit.quiet import Quiet
from tulle.model.agentapi import WorkloadAssignment

_PROXY_GRACE_SECONDS: Final = 5.0
_quiet = Quiet()
_log = structlog.get_logger("tulle.agent")


class Footprint(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    assignment: WorkloadAssignment
    """Whole, so that another agent can go on with it until its turn to leave has come."""
    connected: bool = False
    """Its network is complete: who finds it later can use it."""

    @property
    def id(self) -> tuple[str, str]:
        """(namespace, name)"""
        return self.assignment.namespace, self.assignment.name

    @property
    def containers(self) -> tuple[str, ...]:
        """The names of its processes, its proxy's aside."""
        return (
            (HOLDER,) if self.assignment.external else tuple(each.name for each in self.assignment.containers)
        )

    @property
    def proxy(self) -> bool:
        """It is configured by the mesh: a sidecar or gateway belongs to it, or it is a gRPC client itself."""
        return self.assignment.proxy or self.assignment.gateway or self.assignment.proxyless


def note(layout: Layout, mark: Footprint) -> None:
    """Write it down. Raises OSError."""
    path = _path(layout, mark.assignment)
    durable.private_folder(path.parent)
    durable.replace(path, mark.model_dump_json().encode())


def is_connected(layout: Layout, assignment: WorkloadAssignment) -> bool:
    """Whether an earlier agent noted that the network of this incarnation is complete. Of one whose note is
    damaged nobody knows: what runs in it has to end before its network is made anew."""
    mark = _read(_path(layout, assignment))
    return mark is not None and mark.connected and mark.assignment.addresses == assignment.addresses


def noted(layout: Layout) -> tuple[Footprint, ...]:
    """Everything that was made and not taken down."""
    found = (_read(path) for path in sorted(layout.footprints.glob("*.json")))
    return tuple(mark for mark in found if mark is not None)


def _path(layout: Layout, assignment: WorkloadAssignment) -> Path:
    return layout.footprint(assignment.namespace, assignment.name, assignment.incarnation)


def _read(path: Path) -> Footprint | None:
    try:
        return Footprint.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        if _quiet.first(path):
            _log.warning("the note of what was made for a workload cannot be read", file=str(path))
        return None


async def dismantle(host: Host, mark: Footprint, *, leave: bool = False) -> None:
    """Take it down: end the containers, then the proxy, then the network. `leave`: before that let its
    callers go elsewhere, who were told that it is not ready.

    What is not there any more is not an error.
    """
    layout, own = host.layout, mark.assignment
    await _end_containers(host, mark, leave)
    await release(host, mark)
    names = [process_name(*mark.id, name) for name in mark.containers]
    for name in (*names, proxy_process_name(*mark.id)):
        shutil.rmtree(layout.process(name), ignore_errors=True)
    shutil.rmtree(layout.volume(*mark.id, own.incarnation), ignore_errors=True)
    _path(layout, own).unlink(missing_ok=True)


async def end(host: Host, mark: Footprint) -> None:
    """End its processes; how they ended stays noted."""
    await _end_containers(host, mark, leave=False)
    proxy = _running(host.layout, proxy_process_name(*mark.id), mark.assignment.incarnation)
    if proxy is not None:
        await proxy.stop(_PROXY_GRACE_SECONDS)


async def release(host: Host, mark: Footprint) -> None:
    """End its proxy and take it off the network; how its containers ended stays noted."""
    layout, own = host.layout, mark.assignment
    proxy = _running(layout, proxy_process_name(*mark.id), own.incarnation)
    if proxy is not None:
        await proxy.stop(_PROXY_GRACE_SECONDS)
    if mark.proxy:
        await host.close_proxy(*mark.id)
        shutil.rmtree(layout.proxy(*mark.id), ignore_errors=True)
    await namespace.remove_workload(
        layout.namespace(*mark.id, own.incarnation),
        layout.hub,
        host.network,
        layout.workload_interface(*mark.id, own.incarnation),
        [IPv4Address(address) for address in own.addresses],
    )
    if _path(layout, own).exists():
        with contextlib.suppress(OSError):
            # a full disk: the next agent finds that the namespace is not there
            note(layout, mark.model_copy(update={"connected": False}))


async def _end_containers(host: Host, mark: Footprint, leave: bool) -> None:
    layout, incarnation = host.layout, mark.assignment.incarnation
    containers = [process_name(*mark.id, name) for name in mark.containers]
    running = [process for name in containers if (process := _running(layout, name, incarnation))]
    proxy = _running(layout, proxy_process_name(*mark.id), incarnation)
    if leave and (running or proxy is not None):
        await drain(host, *mark.id, proxy.record.pid if proxy is not None else None)
    if proxy is not None:
        proxy.close()
    await asyncio.gather(*(process.stop(GRACE_SECONDS) for process in running))


def _running(layout: Layout, name: str, incarnation: str) -> Process | None:
    process = Process.adopt(incarnation, layout.process(name), layout.log(name))
    return process if process is not None and process.running else None
