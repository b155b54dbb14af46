"""How a command is run inside a workload that runs: exec probes here, `tulle exec` by the agent's API."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tulle.agent.process import User
from tulle.agent.program import missing

_MOST_OUTPUT = 1000
_NOT_RUN = 127


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where a workload's process runs and as whom."""

    pid: int
    """The init of its pid namespace, whose mount, IPC, UTS and network namespaces are its too."""
    user: User
    env: Mapping[str, str]
    workdir: str = "/"


def command(entrance: Entrance, argv: Sequence[str]) -> tuple[str, ...]:
    """The command that runs `argv` inside; its environment is the caller's to give (`Entrance.env`)."""
    user = entrance.user
    groups = ",".join(str(group) for group in user.groups or ())
    return (
        *(
            _program("nsenter"),
            f"--target={entrance.pid}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--",
        ),
        *(_program("setpriv"), f"--reuid={user.uid}", f"--regid={user.gid}"),
        *((f"--groups={groups}",) if groups else ("--clear-groups",)),
        *("--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"),
        *(_program("env"), f"--chdir={entrance.workdir or '/'}", *argv),
    )


async def run(entrance: Entrance, argv: Sequence[str], seconds: float) -> tuple[int, str]:
    """Run a command inside to its end: exit status and the beginning of its output. Raises TimeoutError."""
    process = await asyncio.create_subprocess_exec(
        *command(entrance, argv),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(entrance.env),
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    status = _NOT_RUN if process.returncode is None else process.returncode
    return status, output[:_MOST_OUTPUT].decode(errors="replace")


def _program(name: str) -> str:
    """By its full path: the workload's own PATH is looked at only for what it runs itself."""
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(missing(name))
    return found
