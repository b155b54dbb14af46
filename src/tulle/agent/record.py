"""What keepers note of their processes, and how one is found whose note was lost.

A keeper writes `record.json` into its process's directory (`keeper/note.py`): the pid with the start time and
the boot names a process beyond doubt, also after the agent was killed. Read by `process.py` and `cleanup.py`.
"""

from __future__ import annotations

import json
import os
import select
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog

from tulle.agent.layout import is_proxy

_KEEPER_WORDS: Final = 6
"""Of a keeper's command line: `python -I -S keeper DIRECTORY TAG`."""
_RECORD: Final = "record.json"
_log = structlog.get_logger("tulle.agent")


@dataclass(frozen=True, slots=True)
class Record:
    """What a keeper noted."""

    process: str
    tag: str
    pid: int
    start: int
    """Start time in clock ticks after boot (proc(5), stat field 22)."""
    boot: str
    started: float = 0
    """Seconds since the epoch."""
    finished: float = 0
    exit: int | None = None
    signal: int | None = None
    error: str = ""
    """Why it could not be started."""

    @property
    def proxy(self) -> bool:
        """Whether it is a workload's Envoy."""
        return is_proxy(self.process)


def read_record(directory: Path) -> Record | None:
    """The record in a process's directory; None if there is none, or a crash left half of one."""
    try:
        content: dict[str, Any] = json.loads((directory / _RECORD).read_bytes())
        return Record(**content)
    except (OSError, ValueError, TypeError):
        return None


def start_time(pid: int) -> int:
    """Start time of a process in clock ticks after boot. Raises OSError if it is not there."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def find_keepers(directory: Path) -> tuple[Record, ...]:
    """What runs under keepers whose processes' directories stand in `directory`, by /proc alone.

    That finds those whose record was lost, and for a moment the starter of one. A command line can be
    imitated, but not by another user.
    """
    boot = boot_id()
    found: list[Record] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0")
            if len(argv) < _KEEPER_WORDS or argv[1:3] != [b"-I", b"-S"]:
                continue
            script_path, own = Path(os.fsdecode(argv[3])), Path(os.fsdecode(argv[4]))
            if script_path.name != "keeper" or own.parent != directory:
                continue
            uid = (entry / "status").read_text().partition("\nUid:")[2].split()[0]
            if int(uid) == os.geteuid():
                pid = int(entry.name)
                found.append(Record(own.name, os.fsdecode(argv[5]), pid, start_time(pid), boot))
        except OSError:
            continue  # it has ended
    return tuple(found)


def lost_record(directory: Path) -> Record | None:
    """What runs under the keeper of a directory whose record is there and cannot be read.

    The keeper has the content in its memory, and writes all of it again when the process ends.
    """
    if not (directory / _RECORD).exists():
        return None
    found = next((each for each in find_keepers(directory.parent) if _is_init_of(each, directory)), None)
    if found is None:
        _log.warning("a process's record is damaged: how it ended is not known", process=directory.name)
        return None
    _log.warning("a process's record is damaged: it was found by its keeper", process=directory.name)
    after_boot = found.start / os.sysconf("SC_CLK_TCK")
    return replace(found, started=time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + after_boot)


def _is_init_of(found: Record, directory: Path) -> bool:
    """For a moment the starter has the same command line, and the init's child before it executes."""
    try:
        status = Path(f"/proc/{found.pid}/status").read_text()
    except OSError:
        return False
    numbers = status.partition("\nNSpid:")[2].partition("\n")[0].split()  # of each pid namespace, ours first
    return found.process == directory.name and len(numbers) > 1 and numbers[-1] == "1"


def open_process(record: Record) -> int | None:
    """A pidfd of the process that the record means, or None if it has gone. The caller closes it."""
    try:
        descriptor = os.pidfd_open(record.pid)
    except OSError:
        return None
    # In this order: while the descriptor is open, the pid is not given to another process.
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        # Readable: it has ended, and its parent has not collected it yet.
        if start_time(record.pid) == record.start and boot_id() == record.boot and not ended.poll(0):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
