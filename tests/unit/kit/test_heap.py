from __future__ import annotations

import asyncio

import pytest

from tulle.kit.heap import trim, trim_when_calm
from tulle.kit.holdoff import HoldOff


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_memory_is_given_back_after_each_time_of_work() -> None:
    trimmed: list[float] = []
    loop = asyncio.get_running_loop()
    calm = HoldOff(2, 30)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(trim_when_calm(calm, lambda: trimmed.append(loop.time())))
        for _ in range(5):
            calm.touch()
            await asyncio.sleep(1)
        await asyncio.sleep(10)
        assert trimmed == [6], "two seconds after the last; not again while nothing happens"
        calm.touch()
        await asyncio.sleep(3)
        assert trimmed == [6, 17]
        task.cancel()


def test_the_c_library_knows_it() -> None:
    trim()
