"""Wait until changes stop coming, but never longer than a limit.

Between a source's changes and the work that they cause: an `apply` of fifty documents is one
change, and a source that never rests cannot put the work off for ever.
"""

from __future__ import annotations

import asyncio


class HoldOff:
    """Debounce with a hard maximum. One waiter; `touch` may come from any callback of the same loop."""

    def __init__(self, quiet: float, limit: float) -> None:
        """`quiet`: seconds without a touch that end the wait; `limit`: seconds since the first touch that
        end it in any case."""
        assert 0 <= quiet <= limit
        self._quiet = quiet
        self._limit = limit
        self._first: float | None = None
        self._last = 0.0
        self._touched = asyncio.Event()

    def touch(self) -> None:
        """Something changed."""
        now = asyncio.get_running_loop().time()
        if self._first is None:
            self._first = now
        self._last = now
        self._touched.set()

    @property
    def waiting(self) -> bool:
        """Whether something changed that no `settled` has answered yet."""
        return self._first is not None

    async def settled(self) -> None:
        """Return once something has changed and then rested. Touches after that belong to the next wait."""
        loop = asyncio.get_running_loop()
        await self._touched.wait()
        while self._first is not None:
            now = loop.time()
            due = min(self._last + self._quiet, self._first + self._limit)
            if due <= now:
                break
            await asyncio.sleep(due - now)
        self._first = None
        self._touched.clear()
