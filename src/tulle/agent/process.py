"""Processes that outlive the agent: starts them under a keeper, finds them again, watches and stops them.

A keeper (`keeper/`) is the init of its process's namespaces and its only parent. What the agent knows of it
stands in its record (`record.py`). Read by `workload.py` and `envoy.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tulle.agent.mounts import NO_MOUNTS, Mounts
from tulle.agent.program import missing, script
from tulle.agent.record import Record, lost_record, open_process, read_record
from tulle.kit import durable, open_files

LOG_BYTES = 10_000_000
"""Of each of a process's two log files."""
_LAST_LINE_BYTES = 4096
NO_CAPABILITIES: tuple[int, ...] = ()
CAP_NET_ADMIN = 12


class ProcessError(RuntimeError):
    """A process cannot be started; the text says why."""


@dataclass(frozen=True, slots=True)
class User:
    uid: int
    gid: int
    groups: tuple[int, ...] | None = ()
    """None: leave them alone (a user namespace of one's own cannot set them)."""
    nested: bool = False
    """These numbers are what the process itself sees, in a user namespace of its own below the mesh's, over
    which it has no rights; for everybody else it is whoever runs the mesh."""

    @property
    def unnested(self) -> User:
        """Whose files its are, and who can have rights over the mesh's namespaces."""
        return User(0, 0, None) if self.nested else self


@dataclass(frozen=True, slots=True)
class Spec:
    """What a keeper shall run. Its JSON form is `encode`."""

    process: str
    """The name of the process, unique in the mesh: of its directory and its log."""
    tag: str
    """What the process was started for; `adopt` finds no process with another tag."""
    argv: tuple[str, ...]
    """Empty: only hold the namespaces."""
    user: User
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    hostname: str = ""
    capabilities: tuple[int, ...] = NO_CAPABILITIES
    mounts: Mounts = NO_MOUNTS
    raise_files: bool = False
    """Raise the soft limit of open files to the hard one."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended."""

    status: int | None = None
    signal: int | None = None
    error: str = ""

    @property
    def succeeded(self) -> bool:
        return self.status == 0

    def __str__(self) -> str:
        if self.error:
            return self.error
        if self.signal is not None:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(self.signal).name}"
            return f"killed by signal {self.signal}"
        if self.status is not None:
            return f"exit status {self.status}"
        return "killed together with its keeper"


def encode(spec: Spec, directory: Path, log: Path, stage: Path) -> bytes:
    """The keeper's standard input. `stage`: any directory of the host that the process shall not see."""
    return json.dumps(
        {
            "process": spec.process,
            "tag": spec.tag,
            "directory": str(directory),
            "log": str(log),
            "log_bytes": LOG_BYTES,
            "argv": spec.argv,
            "env": dict(spec.env),
            "workdir": spec.workdir,
            "hostname": spec.hostname,
            "uid": spec.user.uid,
            "gid": spec.user.gid,
            "groups": spec.user.groups,
            "nested": spec.user.nested,
            "capabilities": spec.capabilities,
            "raise_files": spec.raise_files,
            "stage": str(stage),
            "hide": spec.mounts.hide,
            "place": spec.mounts.place,
        }
    ).encode()


class Process:
    """One process under its keeper."""

    def __init__(self, record: Record, directory: Path, log: Path, descriptor: int | None) -> None:
        self.record = record
        self._directory = directory
        self._log = log
        self._descriptor = descriptor
        self._ended = asyncio.Event()
        if descriptor is None:
            self._ended.set()
        else:
            asyncio.get_running_loop().add_reader(descriptor, self._end)

    @classmethod
    async def start(
        cls, spec: Spec, directory: Path, log: Path, stage: Path, namespace: Path | None
    ) -> Process:
        """Start a process in a network namespace; returns when the command runs, or could not be run.

        The latter is how the process ended: `wait` says so. Raises ProcessError if there is no keeper.
        """
        for folder in (directory.parent, directory):  # what `parents` makes has not this mode
            durable.private_folder(folder)
        enter = () if namespace is None else ("nsenter", f"--net={namespace}", "--")
        command = (*enter, *script("keeper"), str(directory), spec.tag)
        try:
            starter = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env={},
            )
        except FileNotFoundError as error:
            raise ProcessError(missing(command[0])) from error
        with contextlib.suppress(ProcessLookupError):
            open_files.lower_limit_of(starter.pid)  # a keeper forks when it has read its standard input
        _, complaint = await starter.communicate(encode(spec, directory, log, stage))
        record = read_record(directory)
        if starter.returncode != 0 or record is None:
            if record is not None and (left := open_process(record)) is not None:
                signal.pidfd_send_signal(left, signal.SIGKILL)
                os.close(left)
            said = complaint.decode(errors="replace").strip() or f"exit status {starter.returncode}"
            raise ProcessError(f"cannot start a keeper for {spec.process}: {said}")
        return cls(record, directory, log, open_process(record))

    @classmethod
    def adopt(cls, tag: str, directory: Path, log: Path) -> Process | None:
        """The process that was started there for `tag`, running or ended; None if there was none."""
        record = read_record(directory) or lost_record(directory)
        if record is None or record.tag != tag:
            return None
        return cls(record, directory, log, open_process(record))

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    async def wait(self) -> Exit:
        """Wait until it has ended, with everything that it started."""
        await self._ended.wait()
        return self.outcome()

    def outcome(self) -> Exit:
        """How it ended, of a process that does not run any more."""
        record = read_record(self._directory)
        if record is None or (record.pid, record.start) != (self.record.pid, self.record.start):
            return Exit()
        return Exit(status=record.exit, signal=record.signal, error=record.error)

    async def stop(self, grace_seconds: float) -> Exit:
        """Ask it to end, and after the grace end it."""
        self.send(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self.wait(), grace_seconds)
        self.kill()
        return await self.wait()

    def kill(self) -> None:
        """End it at once: the death of an init ends its whole pid namespace."""
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def last_line(self) -> str:
        """The last line that it wrote, for a message to a person."""
        try:
            with self._log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_LINE_BYTES))
                lines = file.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """Stop watching; the process goes on."""
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _end(self) -> None:
        self.close()
        self._ended.set()
