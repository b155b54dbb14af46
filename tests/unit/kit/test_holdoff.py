"""Hold-off, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from tulle.kit.holdoff import HoldOff

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


def now() -> float:
    return asyncio.get_running_loop().time()


async def touching(holdoff: HoldOff, every: float, times: int) -> None:
    for _ in range(times):
        holdoff.touch()
        await asyncio.sleep(every)


async def test_it_waits_for_the_first_touch_and_then_for_rest() -> None:
    holdoff = HoldOff(quiet=0.1, limit=1)
    start = now()
    async with asyncio.TaskGroup() as group:
        group.create_task(touching(holdoff, 0.05, 4))
        await holdoff.settled()
    assert now() - start == pytest.approx(0.25)  # the last touch came at 0.15
    assert not holdoff.waiting


async def test_it_never_waits_longer_than_the_limit() -> None:
    holdoff = HoldOff(quiet=0.1, limit=1)
    start = now()
    async with asyncio.TaskGroup() as group:
        toucher = group.create_task(touching(holdoff, 0.03, 10_000))
        await holdoff.settled()
        assert now() - start == pytest.approx(1)
        await holdoff.settled()
        toucher.cancel()
    assert now() - start == pytest.approx(2.02)  # the next wait began with the next touch


async def test_a_touch_while_the_work_is_done_is_not_lost() -> None:
    holdoff = HoldOff(quiet=0.1, limit=1)
    holdoff.touch()
    await holdoff.settled()
    holdoff.touch()
    assert holdoff.waiting
    await holdoff.settled()
    assert not holdoff.waiting


async def test_without_a_quiet_time_it_returns_at_once() -> None:
    holdoff = HoldOff(quiet=0, limit=0)
    start = now()
    holdoff.touch()
    await holdoff.settled()
    assert now() == start


async def test_a_cancelled_wait_keeps_what_was_touched() -> None:
    holdoff = HoldOff(quiet=0.1, limit=1)
    holdoff.touch()
    waiter = asyncio.create_task(holdoff.settled())
    await asyncio.sleep(0.05)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert holdoff.waiting
    await holdoff.settled()
