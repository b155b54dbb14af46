"""How a command is run inside a workload that runs: exec probes here, `tulle exec` by the agent's API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tulle.agent.process import User
from tulle.agent.program import script

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


def describe(entrance: Entrance, argv: Sequence[str]) -> int:
    """What `keeper/enter.py` shall do, in a file without a name. The caller closes the descriptor."""
    descriptor = os.memfd_create("enter", 0)  # kept over exec
    spec = {
        "pid": entrance.pid,
        "uid": entrance.user.uid,
        "gid": entrance.user.gid,
        "groups": entrance.user.groups,
        "nested": entrance.user.nested,
        "capabilities": (),
        "env": dict(entrance.env),
        "workdir": entrance.workdir,
        "argv": list(argv),
    }
    os.write(descriptor, json.dumps(spec).encode())
    return descriptor


def command(descriptor: int) -> tuple[str, ...]:
    """The command that does it: with the user, the groups and the environment of the workload, and with no
    capability at all (decision 3)."""
    return (*script("keeper/enter.py"), str(descriptor))


async def run(entrance: Entrance, argv: Sequence[str], seconds: float) -> tuple[int, str]:
    """Run a command inside to its end: exit status and the beginning of its output. Raises TimeoutError."""
    descriptor = describe(entrance, argv)
    try:
        process = await asyncio.create_subprocess_exec(
            *command(descriptor),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={},
            pass_fds=(descriptor,),
        )
    finally:
        os.close(descriptor)
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
