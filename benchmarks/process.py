"""What the kernel says about processes: CPU time and memory (proc(5))."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")
_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """On a CPU so far, all threads that live now, in the scheduler's nanoseconds.

    For processes whose threads stay (Envoy, nginx, HAProxy); the time of a thread that has ended is lost.
    """
    threads = (_PROC / str(pid) / "task").iterdir()
    return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9


def cpu_seconds_of_all(pids: Iterable[int]) -> float:
    return sum(map(cpu_seconds, pids))


def cpu_ticks_seconds(pid: int) -> float:
    """The same with all threads that ever were, in ticks of 10 ms: for long measurements."""
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_SECONDS


def cpu_seconds_of_children() -> float:
    """Of all children of this process that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def private_bytes(pid: int) -> int:
    """Memory that is this process's own (anonymous): what one more of it costs the machine. Programs and
    libraries, which all processes share, are not in it."""
    return _status(pid, "RssAnon") * 1024


def resident_bytes(pid: int) -> int:
    """Everything that is mapped and there, shared or not."""
    return _status(pid, "VmRSS") * 1024


def wakeups(pid: int) -> int:
    """How often threads that live now went to sleep of their own accord so far."""
    threads = (_PROC / str(pid) / "task").iterdir()
    return sum(_field(each / "status", "voluntary_ctxt_switches") for each in threads)


def network_namespace(pid: int) -> str:
    """`net:[inode]`"""
    return str((_PROC / str(pid) / "ns" / "net").readlink())


def find(program: str, namespace: str) -> tuple[int, ...]:
    """The processes that run a program in a network namespace (`net:[inode]`), by the end of the name of its
    file: `tulle-envoy` is where a proxy sees its `envoy`."""
    found: list[int] = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "exe").readlink().name.endswith(program) and network_namespace(
                int(entry.name)
            ) == namespace:
                found.append(int(entry.name))
        except OSError:  # it has just ended
            continue
    return tuple(sorted(found))


def _status(pid: int, field: str) -> int:
    return _field(_PROC / str(pid) / "status", field)


def _field(status: Path, field: str) -> int:
    for line in status.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    raise KeyError(field)
