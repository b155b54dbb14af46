"""How long to wait before trying again."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Exponential waits with jitter.

    The n-th wait is drawn evenly from the upper half of `first * factor**n`, at most `limit` seconds:
    many clients that lost the same server come back spread out, and none comes back at once.
    """

    def __init__(
        self,
        first: float,
        limit: float,
        factor: float = 2.0,
        draw: Callable[[], float] = random.random,
    ) -> None:
        assert 0 < first <= limit
        assert factor >= 1
        self._first = first
        self._limit = limit
        self._factor = factor
        self._draw = draw
        self._ceiling = first

    def next(self) -> float:
        """Seconds to wait now. Each call without a `reset` between makes the next wait longer."""
        ceiling = self._ceiling
        self._ceiling = min(ceiling * self._factor, self._limit)
        return ceiling * (0.5 + 0.5 * self._draw())

    def reset(self) -> None:
        """It worked: the next failure starts from the first wait again."""
        self._ceiling = self._first
