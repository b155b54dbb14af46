"""Waiting for a moment of the calendar on a machine that may sleep."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from tulle.kit.clock import Clock

_SLICE_SECONDS = 5.0


async def until(
    clock: Clock,
    moment: float,
    not_before: float = -math.inf,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Wait until the wall clock shows `moment`, or as much time has passed as `moment` is away now, or the
    wall clock has been set to a time before `not_before`.

    A timer of the event loop stands still while the machine sleeps, so the wait is cut into slices: a
    laptop that slept through the moment, or whose clock was set, notices within one slice. A wall clock that
    is set back does not put off what was due. One that shows a time before `not_before` from the beginning
    ends the wait after one slice and not at once: who asks again and again does not do so in a busy loop.
    """
    deadline = clock.boot() + moment - clock.wall()
    while (left := min(moment - clock.wall(), deadline - clock.boot())) > 0:
        await sleep(min(left, _SLICE_SECONDS))
        if clock.wall() < not_before:
            return
