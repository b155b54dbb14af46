"""Commands that enter a workload: as the workload, whatever stands in its files."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.netns.test_keeper import NOBODY, Bench, hidden, until
from tulle.agent.enter import Entrance, command, describe, run
from tulle.agent.mounts import Place
from tulle.agent.process import Process

pytestmark = pytest.mark.root_only("keepers are started here without a mesh, as root")

ENV = {"PATH": "/usr/local/sbin:/usr/bin:/bin", "COLOUR": "blue"}
PRIVILEGES = ("CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for process in bench.started:
        process.kill()
        await process.wait()


def entrance(process: Process, workdir: str = "/") -> Entrance:
    return Entrance(process.record.pid, NOBODY, ENV, workdir)


async def test_it_has_the_user_the_environment_and_no_privilege(bench: Bench) -> None:
    process = await bench.start("sleep", "1000", mounts=hidden(bench))
    status, said = await run(
        entrance(process, "/usr"), ("sh", "-c", "id -u; pwd; env; cat /proc/self/status"), 20
    )
    lines = said.splitlines()
    assert (status, lines[:2]) == (0, ["65534", "/usr"])
    assert "COLOUR=blue" in lines
    _, said = await run(entrance(process), ("cat", "/proc/self/status"), 20)
    seen = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    _, more = await run(entrance(process), ("grep", "-E", "^Cap|^NoNewPrivs", "/proc/self/status"), 20)
    seen |= dict(line.split(":", 1) for line in more.splitlines())
    assert {int(seen[name], 16) for name in PRIVILEGES} == {0}
    assert seen["NoNewPrivs"].strip() == "1"


async def test_a_program_of_the_workloads_own_does_not_run_with_more(bench: Bench, tmp_path: Path) -> None:
    """A volume on a directory of the system's programs: what enters must not take its helpers from there."""
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    trap = "#!/bin/busybox sh\n"
    for name in ("setpriv", "env", "nsenter", "python3"):
        (volume / name).write_text(trap + "exit 66\n")
        (volume / name).chmod(0o755)
    places: tuple[Place, ...] = ({"path": "/usr/local/sbin", "source": str(volume)},)
    process = await bench.start("sleep", "1000", mounts=hidden(bench, place=places))
    status, said = await run(entrance(process), ("grep", "CapEff", "/proc/self/status"), 20)
    assert (status, int(said.split()[1], 16)) == (0, 0)


async def test_exit_status_signals_and_missing_commands(bench: Bench) -> None:
    process = await bench.start("sleep", "1000", mounts=hidden(bench))
    assert (await run(entrance(process), ("sh", "-c", "exit 7"), 20))[0] == 7
    assert (await run(entrance(process), ("sh", "-c", "kill -KILL $$"), 20))[0] == 128 + 9
    assert await run(entrance(process), ("no-such-command",), 20) == (
        127,
        "command not found: no-such-command\n",
    )


async def test_nothing_is_left_when_whoever_entered_is_killed(bench: Bench) -> None:
    process = await bench.start("sleep", "1000", mounts=hidden(bench))
    descriptor = describe(entrance(process), ("sh", "-c", "echo up; exec sleep 4711"))
    inside = subprocess.Popen(command(descriptor), env={}, pass_fds=(descriptor,), stdout=subprocess.PIPE)
    os.close(descriptor)
    assert inside.stdout is not None
    assert await asyncio.to_thread(inside.stdout.readline) == b"up\n"
    inside.kill()
    inside.wait()
    inside.stdout.close()
    found = ["pgrep", "-f", "^sleep 4711$"]
    await until(lambda: subprocess.run(found, capture_output=True, check=False).stdout == b"")


async def test_the_callers_open_files_stay_outside(bench: Bench) -> None:
    process = await bench.start("sleep", "1000", mounts=hidden(bench))
    descriptor = describe(entrance(process), ("sh", "-c", "ls /proc/self/fd"))
    reading, writing = os.pipe()
    done = subprocess.run(
        command(descriptor), env={}, pass_fds=(descriptor, reading, writing), capture_output=True, check=True
    )
    for each in (descriptor, reading, writing):
        os.close(each)
    assert done.stdout.split() == [b"0", b"1", b"2", b"3"]  # the last is the listing's own
