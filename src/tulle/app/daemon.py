"""A daemon of the mesh as a child of the supervisor: started, watched, started again when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import structlog

_log = structlog.get_logger("tulle.supervisor")

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_DIES_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM")
"""The daemons of a supervisor that is killed end too; the workloads and their proxies go on serving."""
_STEADY_SECONDS = 30.0
"""A daemon that ran this long starts its next pauses from the first one again."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """What to run. The output goes to one file, which the supervisor opens for appending."""

    name: str
    command: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    descriptors: tuple[int, ...] = ()
    """Open files that it takes over, under the same numbers."""


async def keep_running(daemon: Daemon, stop_grace_seconds: float = 5.0) -> None:
    """Run a daemon until this task is cancelled, then end it (TERM, after the grace KILL).

    Children get a session of their own: Ctrl-C in a terminal reaches the supervisor alone, which
    ends them in order.
    """
    pause = _FIRST_PAUSE_SECONDS
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        with _opened(daemon) as log:
            process = await asyncio.create_subprocess_exec(
                *_DIES_WITH_PARENT,
                *daemon.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **daemon.env},
                start_new_session=True,
                pass_fds=daemon.descriptors,
            )
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            await _end(process, stop_grace_seconds)
            raise
        if loop.time() - started > _STEADY_SECONDS:
            pause = _FIRST_PAUSE_SECONDS
        _log.warning("daemon ended, starts again", daemon=daemon.name, status=status, pause_seconds=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def _opened(daemon: Daemon) -> BinaryIO:
    try:
        return daemon.log.open("ab")
    except OSError as error:  # a full or read-only disk: what it does matters more than what it says
        _log.warning("a daemon's output is lost", daemon=daemon.name, reason=str(error))
        return Path(os.devnull).open("ab")


async def _end(process: asyncio.subprocess.Process, grace_seconds: float) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), grace_seconds)
    except TimeoutError:
        process.kill()
        await process.wait()
