"""Time as a value that is handed in, so that tests decide what time it is."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def wall(self) -> float:
        """Seconds since the epoch: for what people and certificates say."""
        ...

    def boot(self) -> float:
        """Seconds that never jump and that go on while the machine sleeps: for timers and leases."""
        ...


class SystemClock:
    """The machine's own time."""

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def boot(self) -> float:
        """CLOCK_BOOTTIME: a lease does not stand still while a laptop is closed (decision 23)."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class ManualClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, wall: float = 1_700_000_000.0, boot: float = 1_000.0) -> None:
        self._wall = wall
        self._boot = boot

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._wall

    def boot(self) -> float:
        """Seconds since an arbitrary moment."""
        return self._boot

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._wall += seconds
        self._boot += seconds
