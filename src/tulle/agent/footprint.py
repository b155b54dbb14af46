"""What was made on this host for one incarnation of a workload: noted before it is made, so that it is always
found again, and the order in which it is taken down.

Read by `workload.py` for what is not wanted any more, also when an earlier agent made it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from ipaddress import IPv4Address
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from tulle.agent import namespace
from tulle.agent.container import GRACE_SECONDS
from tulle.agent.drain import drain
from tulle.agent.external import HOLDER
from tulle.agent.host import Host
from tulle.agent.layout import Layout, process_name, proxy_process_name
from tulle.agent.process import Process
from tulle.kit import durable
from tulle.model.agentapi import WorkloadAssignment

_PROXY_GRACE_SECONDS: Final = 5.0


class Footprint(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    name: str
    incarnation: str
    addresses: tuple[str, ...]
    containers: tuple[str, ...]
    proxy: bool
    """It is configured by the mesh: a sidecar or gateway belongs to it, or it is a gRPC client itself."""
    connected: bool = False
    """Its network is complete: who finds it later can use it."""


def footprint_of(assignment: WorkloadAssignment) -> Footprint:
    names = tuple(each.name for each in assignment.containers)
    return Footprint(
        namespace=assignment.namespace,
        name=assignment.name,
        incarnation=assignment.incarnation,
        addresses=assignment.addresses,
        containers=(HOLDER,) if assignment.external else names,
        proxy=assignment.proxy or assignment.gateway or assignment.proxyless,
    )


def note(layout: Layout, mark: Footprint) -> None:
    """Write it down. Raises OSError."""
    path = layout.footprint(mark.namespace, mark.name, mark.incarnation)
    durable.private_folder(path.parent)
    durable.replace(path, mark.model_dump_json().encode())


def is_connected(layout: Layout, mark: Footprint) -> bool:
    """Whether an earlier agent noted that the network of this incarnation is complete."""
    return any(
        each.connected and each.model_copy(update={"connected": False}) == mark for each in noted(layout)
    )


def noted(layout: Layout) -> tuple[Footprint, ...]:
    """Everything that was made and not taken down."""
    found: list[Footprint] = []
    for path in sorted(layout.footprints.glob("*.json")):
        with contextlib.suppress(OSError, ValidationError):
            found.append(Footprint.model_validate_json(path.read_bytes()))
    return tuple(found)


async def dismantle(host: Host, mark: Footprint, *, leave: bool = False) -> None:
    """Take it down: end the containers, then the proxy, then the network. `leave`: before that let its
    callers go elsewhere, who were told that it is not ready.

    What is not there any more is not an error.
    """
    layout = host.layout
    await _end_containers(host, mark, leave)
    await release(host, mark)
    names = [process_name(mark.namespace, mark.name, name) for name in mark.containers]
    for name in (*names, proxy_process_name(mark.namespace, mark.name)):
        shutil.rmtree(layout.process(name), ignore_errors=True)
    shutil.rmtree(layout.volume(mark.namespace, mark.name, mark.incarnation), ignore_errors=True)
    layout.footprint(mark.namespace, mark.name, mark.incarnation).unlink(missing_ok=True)


async def release(host: Host, mark: Footprint) -> None:
    """End its proxy and take it off the network; how its containers ended stays noted."""
    layout = host.layout
    proxy = _running(layout, proxy_process_name(mark.namespace, mark.name), mark.incarnation)
    if proxy is not None:
        await proxy.stop(_PROXY_GRACE_SECONDS)
    if mark.proxy:
        await host.close_proxy(mark.namespace, mark.name)
        shutil.rmtree(layout.proxy(mark.namespace, mark.name), ignore_errors=True)
    await namespace.remove_workload(
        layout.namespace(mark.namespace, mark.name, mark.incarnation),
        layout.hub,
        host.network,
        layout.workload_interface(mark.namespace, mark.name, mark.incarnation),
        [IPv4Address(address) for address in mark.addresses],
    )
    if layout.footprint(mark.namespace, mark.name, mark.incarnation).exists():
        with contextlib.suppress(
            OSError
        ):  # a full disk: the next agent finds that the namespace is not there
            note(layout, mark.model_copy(update={"connected": False}))


async def _end_containers(host: Host, mark: Footprint, leave: bool) -> None:
    layout = host.layout
    containers = [process_name(mark.namespace, mark.name, name) for name in mark.containers]
    running = [process for name in containers if (process := _running(layout, name, mark.incarnation))]
    proxy = _running(layout, proxy_process_name(mark.namespace, mark.name), mark.incarnation)
    if leave and (running or proxy is not None):
        await drain(host, mark.namespace, mark.name, proxy.record.pid if proxy is not None else None)
    if proxy is not None:
        proxy.close()
    await asyncio.gather(*(process.stop(GRACE_SECONDS) for process in running))


def _running(layout: Layout, name: str, incarnation: str) -> Process | None:
    process = Process.adopt(incarnation, layout.process(name), layout.log(name))
    return process if process is not None and process.running else None
