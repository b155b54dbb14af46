"""What a mesh has on this machine: looked at while it runs, and searched for after it has ended."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tulle.agent.layout import Layout
from tulle.app import supervisor

_SHARED = (Path("/tmp"), Path("/dev/shm"), Path("/var/tmp"))


@dataclass(frozen=True)
class Traces:
    namespaces: frozenset[str] = frozenset()
    """Network namespaces as /proc/PID/ns/net names them."""
    processes: frozenset[tuple[int, int]] = frozenset()
    """What runs in those: process id and start time."""
    files: frozenset[Path] = frozenset()
    """Files in folders that everybody shares."""


def mounted(layout: Layout) -> Path:
    """The folder of the network namespaces, where they are mounted on its files."""
    pid = supervisor.running(layout.home) if layout.rootless else None
    return layout.namespaces if pid is None else Path(f"/proc/{pid}/root{layout.namespaces}")


def observe(layout: Layout) -> Traces:
    """What is there now."""
    kept = mounted(layout).iterdir() if mounted(layout).is_dir() else ()
    shared = (each for folder in _SHARED if folder.is_dir() for each in folder.iterdir())
    namespaces = frozenset(f"net:[{path.stat().st_ino}]" for path in kept)
    return Traces(
        namespaces=namespaces,
        processes=frozenset((each.pid, each.start) for each in processes() if each.namespace in namespaces),
        files=frozenset(each for each in shared if layout.mesh in each.name or "envoy_" in each.name),
    )


def remains(layout: Layout, before: Traces, seen: Traces) -> list[str]:
    """What is left of an ended mesh, in words. `seen`: what it had while it ran."""
    found = [
        f"process {each.pid} {each.words}"
        for each in processes()
        if (each.pid, each.start) in seen.processes
        or each.namespace in seen.namespaces
        or str(layout.run) in each.words
        or str(layout.home) in each.words
        or f"TULLE_HOME={layout.home}" in each.environment
    ]
    found += [
        f"mount {line}"
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if str(layout.run) in line or str(layout.home) in line
    ]
    if layout.run.exists():
        found += [f"file {path}" for path in (layout.run, *layout.run.rglob("*"))]
    if layout.host_interface in (name for _, name in socket.if_nameindex()):
        found.append(f"interface {layout.host_interface}")
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    found += [f"rule {line.strip()}" for line in rules.splitlines() if layout.host_table in line]
    found += [f"file {path}" for path in sorted(observe(layout).files - before.files)]
    return found


@dataclass(frozen=True)
class Process:
    pid: int
    start: int
    """In ticks after boot: two processes with one id differ in it."""
    words: str
    environment: tuple[str, ...]
    namespace: str


def processes() -> Iterator[Process]:
    """All of this machine but ourselves."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            yield Process(
                pid=int(entry.name),
                start=int((entry / "stat").read_text().rpartition(")")[2].split()[19]),
                words=(entry / "cmdline").read_text(errors="replace").replace("\0", " "),
                environment=tuple((entry / "environ").read_text(errors="replace").split("\0")),
                namespace=str((entry / "ns" / "net").readlink()),
            )
        except OSError:  # it has just ended
            continue
