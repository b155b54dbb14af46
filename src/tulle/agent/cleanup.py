"""What a mesh may have left on this host, and its removal: for `down`, for `up` after a kill -9, for tests.

Needs nothing but the paths: processes are known by their records and their keepers' command lines,
namespaces by their files, what stands in the host's own network by names that follow from the home directory.
Everything may be repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
import signal
import time
from pathlib import Path

from tulle.agent import namespace, uplink
from tulle.agent.layout import Layout
from tulle.agent.record import Record, find_keepers, open_process, read_record

_GRACE_SECONDS = 5.0
_PATIENCE_SECONDS = 10.0


async def clean(layout: Layout) -> None:
    """End every process of the mesh and remove its namespaces, rules, sockets and notes.

    What the mesh remembers (`$TULLE_HOME` but for `process` and `volume`) and its logs stay.
    """
    proxies: list[int] = []
    others: list[int] = []
    for record, descriptor in _running(layout):
        (proxies if record.proxy else others).append(descriptor)
    await asyncio.to_thread(_end, others)
    await asyncio.to_thread(_end, proxies)  # programs may say good-bye to each other, so these go last
    if layout.namespaces.is_dir():
        for path in layout.namespaces.iterdir():
            await namespace.remove(path)
    if not layout.rootless:
        await uplink.disconnect(layout)
    for directory in (layout.processes, layout.volumes, layout.run):
        shutil.rmtree(directory, ignore_errors=True)


async def leftovers(layout: Layout) -> tuple[str, ...]:
    """What there is of the mesh on this host, in words; empty after `clean`."""
    found: list[str] = []
    for record, descriptor in _running(layout):
        os.close(descriptor)
        found.append(f"process {record.pid} ({record.process})")
    if layout.namespaces.is_dir():
        found += [f"network namespace {path.name}" for path in sorted(layout.namespaces.iterdir())]
    mounts = _mounts_below(layout.run)
    found += [f"mount {path}" for path in mounts if path.parent != layout.namespaces]
    if layout.run.exists():
        found.append(f"directory {layout.run}")
    if not layout.rootless:
        found += await uplink.leftovers(layout)
    return tuple(found)


def _running(layout: Layout) -> list[tuple[Record, int]]:
    """The records of processes that run, each with a pidfd that the caller closes.

    A record may have been lost (a full disk, a folder that somebody removed), and where /proc hides
    processes (hidepid) only the record tells: so both are asked.
    """
    directories = sorted(layout.processes.iterdir()) if layout.processes.is_dir() else []
    noted = [record for each in directories if (record := read_record(each)) is not None]
    found: dict[int, tuple[Record, int]] = {}
    for record in (*noted, *find_keepers(layout.processes)):
        if record.pid not in found and (descriptor := open_process(record)) is not None:
            found[record.pid] = (record, descriptor)
    return list(found.values())


def _end(descriptors: list[int]) -> None:
    """Ask the inits to end, then kill them, each with its whole pid namespace; wait until they have gone."""
    _send(descriptors, signal.SIGTERM)
    left = _wait(descriptors, _GRACE_SECONDS)
    _send(left, signal.SIGKILL)
    _wait(left, _PATIENCE_SECONDS)
    for descriptor in descriptors:
        os.close(descriptor)


def _send(descriptors: list[int], number: signal.Signals) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)


def _wait(descriptors: list[int], seconds: float) -> list[int]:
    """Those that have not ended in that time."""
    left = set(descriptors)
    deadline = time.monotonic() + seconds
    ended = select.poll()
    for descriptor in left:
        ended.register(descriptor, select.POLLIN)
    while left and (remaining := deadline - time.monotonic()) > 0:
        for descriptor, _ in ended.poll(remaining * 1000):
            ended.unregister(descriptor)
            left.discard(descriptor)
    return sorted(left)


def _mounts_below(directory: Path) -> list[Path]:
    prefix = f"{directory}/"
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return sorted({Path(point) for point in points if point.startswith(prefix)})
