from __future__ import annotations

import asyncio

import pytest

from tulle.kit.gate import Gate


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_no_more_than_its_places_are_inside() -> None:
    gate = Gate(2, 10)
    inside: list[int] = []
    most = 0

    async def work(number: int) -> None:
        nonlocal most
        async with gate.place():
            inside.append(number)
            most = max(most, len(inside))
            await asyncio.sleep(1)
            inside.remove(number)

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(work(number))
    assert most == 2
    assert loop.time() - began == 3


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_slow_one_gives_its_place_up_once() -> None:
    gate = Gate(1, 0.1)
    entered: list[float] = []
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def work(seconds: float) -> None:
        async with gate.place():
            entered.append(loop.time() - began)
            await asyncio.sleep(seconds)

    async with asyncio.TaskGroup() as group:
        for seconds in (60, 0.05, 0.05, 0.05):
            group.create_task(work(seconds))
    assert entered == pytest.approx([0, 0.1, 0.15, 0.2])
    entered.clear()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(work(0.05))
    assert entered == pytest.approx([0, 0.05]), "still one place"


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_who_fails_inside_leaves_too() -> None:
    gate = Gate(1, 10)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            async with gate.place():
                raise RuntimeError
    async with asyncio.timeout(1), gate.place():
        pass
