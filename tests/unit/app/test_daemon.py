"""Daemons of the supervisor: real processes that end, are killed, and are taken along."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tulle.app.daemon import Daemon, keep_running

COUNTER = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)"
STUBBORN = "import signal, os, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + COUNTER


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def pids(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_killed_daemon_is_started_again_and_ends_with_its_keeper(tmp_path: Path) -> None:
    log = tmp_path / "log"
    keeper = asyncio.create_task(keep_running(Daemon("one", [sys.executable, "-c", COUNTER], log)))
    await until(lambda: len(pids(log)) == 1)
    os.kill(pids(log)[0], signal.SIGKILL)
    await until(lambda: len(pids(log)) == 2)
    keeper.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeper
    assert not any(alive(pid) for pid in pids(log))


async def test_a_daemon_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    daemon = Daemon("one", [sys.executable, "-c", STUBBORN], log)
    keeper = asyncio.create_task(keep_running(daemon, stop_grace_seconds=0.2))
    await until(lambda: len(pids(log)) == 1)
    keeper.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeper
    assert not alive(pids(log)[0])


async def test_descriptors_are_taken_over(tmp_path: Path) -> None:
    log = tmp_path / "log"
    reading, writing = os.pipe()
    code = f"import os; os.write({writing}, b'here'); import time; time.sleep(60)"
    daemon = Daemon("one", [sys.executable, "-c", code], log, descriptors=(writing,))
    keeper = asyncio.create_task(keep_running(daemon))
    assert await asyncio.to_thread(os.read, reading, 10) == b"here"
    keeper.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeper
    os.close(reading)
    os.close(writing)


async def test_a_log_that_cannot_be_opened_keeps_no_daemon_from_running(tmp_path: Path) -> None:
    output = tmp_path / "output"
    code = f"import os, sys, time; open({str(output)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    log = tmp_path / "missing" / "log"
    keeper = asyncio.create_task(keep_running(Daemon("one", [sys.executable, "-c", code], log)))
    await until(lambda: pids(output))
    keeper.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeper
    assert not log.exists()
