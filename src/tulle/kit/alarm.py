"""Waiting for a moment of the calendar on a machine that may sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tulle.kit.clock import Clock

_SLICE_SECONDS = 30.0


async def until(
    clock: Clock, moment: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Wait until the wall clock shows `moment`, or as much time has passed as `moment` is away now.

    A timer of the event loop stands still while the machine sleeps, so the wait is cut into slices: a
    laptop that slept through the moment notices within one slice. A wall clock that is set back does
    not put off what was due.
    """
    deadline = clock.boot() + moment - clock.wall()
    while (left := min(moment - clock.wall(), deadline - clock.boot())) > 0:
        await sleep(min(left, _SLICE_SECONDS))
