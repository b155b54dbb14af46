"""Who is in sync, and waiting for it, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from tulle.ads.status import NodeStatus, StatusBoard
from tulle.kit.clock import ManualClock

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_since_is_when_the_state_became_what_it_is() -> None:
    clock = ManualClock(wall=100)
    heard: list[NodeStatus] = []
    board = StatusBoard(heard.append, clock.wall)
    assert board.get("a") == NodeStatus("a", "disconnected", 0)
    board.set("a", "pending")
    clock.advance(1)
    board.set("a", "synced")
    clock.advance(1)
    board.set("a", "synced")
    board.set("a", "synced", moving=True)
    assert [(status.state, status.since) for status in heard] == [
        ("pending", 100),
        ("synced", 101),
        ("synced", 101),
    ]
    board.forget("a")
    assert board.all() == {}


async def test_waiting_ends_when_the_last_one_is_in_sync() -> None:
    board = StatusBoard(None, lambda: 0)
    board.set("a", "synced")
    board.set("b", "pending")
    missing: list[set[str]] = []

    def progress(left: Mapping[str, NodeStatus]) -> None:
        missing.append(set(left))

    async def later() -> None:
        await asyncio.sleep(1)
        board.set("b", "synced")
        board.set("other", "pending")
        board.set("c", "pending")
        await asyncio.sleep(1)
        board.set("c", "synced")

    async with asyncio.TaskGroup() as group:
        group.create_task(later())
        assert await board.wait(["a", "b", "c"], 10, progress) == {}
    assert asyncio.get_running_loop().time() == pytest.approx(2)
    assert missing == [{"b", "c"}, {"c"}, set()]


async def test_waiting_ends_at_the_deadline_and_says_who_is_missing() -> None:
    board = StatusBoard(None, lambda: 0)
    board.set("a", "pending")
    left = await board.wait(["a", "never"], 5)
    assert {node: status.state for node, status in left.items()} == {"a": "pending", "never": "disconnected"}
    assert asyncio.get_running_loop().time() == pytest.approx(5)


async def test_a_refusal_is_a_decision_once_nothing_moves_any_more() -> None:
    board = StatusBoard(None, lambda: 0)
    errors = (("t", "no", ("x",)),)
    board.set("a", "rejected", errors, moving=True)

    async def later() -> None:
        await asyncio.sleep(1)
        board.set("a", "rejected", errors)

    async with asyncio.TaskGroup() as group:
        group.create_task(later())
        left = await board.wait(["a"], 10)
    assert left["a"].errors == errors
    assert asyncio.get_running_loop().time() == pytest.approx(1)


async def test_waiting_for_nobody_ends_at_once() -> None:
    assert await StatusBoard(None, lambda: 0).wait([], 10) == {}
    assert asyncio.get_running_loop().time() == 0
