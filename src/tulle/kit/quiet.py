"""Saying something once for each cause, however often it happens."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable


class Quiet:
    """Tells whether something is said for the first time in a while. Bounded in memory.

    For messages that a stranger can cause: a peer that fails a thousand times a second is logged once.
    """

    def __init__(
        self, every_seconds: float = 600, most: int = 1000, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._every = every_seconds
        self._most = most
        self._now = now
        self._said: OrderedDict[Hashable, float] = OrderedDict()

    def first(self, cause: Hashable) -> bool:
        """Whether `cause` was not seen in the last `every_seconds`; it counts as seen from now on."""
        now = self._now()
        last = self._said.get(cause)
        if last is not None and now - last < self._every:
            return False
        self._said[cause] = now
        self._said.move_to_end(cause)
        if len(self._said) > self._most:
            self._said.popitem(last=False)
        return True
