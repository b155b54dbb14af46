"""How far a count may be from its expectation before chance is no explanation."""

from __future__ import annotations

from math import comb


def bounds(calls: int, share: float, significance: float = 1e-6) -> range:
    """The counts of a binomial distribution without its two tails of at most `significance` together."""
    odds = [comb(calls, count) * share**count * (1 - share) ** (calls - count) for count in range(calls + 1)]
    low, tail = 0, odds[0]
    while tail <= significance / 2:
        low += 1
        tail += odds[low]
    high, tail = calls, odds[calls]
    while tail <= significance / 2:
        high -= 1
        tail += odds[high]
    return range(low, high + 1)
