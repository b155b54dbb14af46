"""A workload's Envoy that ends is started again: how soon, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tulle.agent import proxy as module
from tulle.agent.layout import Layout
from tulle.agent.process import Exit
from tulle.agent.proxy import Proxy
from tulle.model.agentapi import WorkloadAssignment

pytestmark = pytest.mark.looptime
ASSIGNMENT = WorkloadAssignment(
    namespace="shop", name="web", identity="spiffe://a", addresses=("10.0.0.1",), incarnation="1"
)
STARTED_SECONDS = 0.5
"""Until an Envoy that was started serves."""


class _Process:
    """Runs until it is killed."""

    def __init__(self) -> None:
        self.killed = asyncio.Event()

    async def wait(self) -> Exit:
        await self.killed.wait()
        return Exit(signal=9)

    def last_line(self) -> str:
        return ""

    def close(self) -> None:
        pass


class _Envoys:
    """What is started in a proxy's place, and when."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, *, serves: bool) -> None:
        self.starts: list[float] = []
        self.newest = _Process()
        self.serves = serves
        host: Any = type("Host", (), {"layout": Layout(tmp_path, tmp_path, "0"), "open_proxy": self.open})()
        self.proxy = Proxy(host, ASSIGNMENT, lambda: None)
        monkeypatch.setattr(module.Process, "adopt", lambda *_: None)
        monkeypatch.setattr(self.proxy, "_start", self.start)
        monkeypatch.setattr(self.proxy, "_admin", self)

    async def open(self, _assignment: WorkloadAssignment) -> None:
        pass

    async def start(self, _name: str) -> _Process:
        self.starts.append(asyncio.get_running_loop().time())
        self.newest = _Process()
        if not self.serves:
            self.newest.killed.set()
        return self.newest

    async def until_ready(self, _ports: object) -> None:
        await asyncio.sleep(STARTED_SECONDS)


async def test_one_that_served_is_started_again_within_a_tenth_of_a_second(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    envoys = _Envoys(monkeypatch, tmp_path, serves=True)
    running = asyncio.create_task(envoys.proxy.run())
    for number in range(1, 6):
        await envoys.proxy.ready.wait()
        killed = asyncio.get_running_loop().time()
        cast("_Process", envoys.proxy.process).killed.set()
        while len(envoys.starts) == number:
            await asyncio.sleep(0.01)
        assert not envoys.proxy.ready.is_set()
        assert envoys.starts[number] - killed <= 0.11, "each time: it had served"
    running.cancel()


async def test_one_that_never_serves_is_started_with_growing_pauses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    envoys = _Envoys(monkeypatch, tmp_path, serves=False)
    running = asyncio.create_task(envoys.proxy.run())
    await asyncio.sleep(200)
    running.cancel()
    pauses = [after - before for before, after in zip(envoys.starts, envoys.starts[1:], strict=False)]
    assert all(0.05 * 2**n - 0.01 <= pause <= 0.1 * 2**n + 0.01 for n, pause in enumerate(pauses[:8]))
    assert all(15 - 0.01 <= pause <= 30 + 0.01 for pause in pauses[9:])
    assert envoys.proxy.message == "its proxy ended (killed by SIGKILL)"
