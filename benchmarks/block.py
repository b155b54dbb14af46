"""Interleaved blocks: what is compared takes turns in one run, so that a machine that gets slower meanwhile
gets slower for all of them. What is told is the median of the blocks and how far they lie apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spread:
    """What several blocks found: the median, and the quartiles around it."""

    median: float
    low: float
    high: float
    blocks: int


def spread(samples: Sequence[float]) -> Spread:
    """Needs at least one sample."""
    if len(samples) == 1:
        return Spread(samples[0], samples[0], samples[0], 1)
    low, middle, high = quantiles(samples, n=4, method="inclusive")
    return Spread(middle, low, high, len(samples))


def ratios(samples: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Block by block: each is compared with the reference of its own round. Rounds whose reference is not
    positive (an added latency that is lost in the noise) say nothing and are left out."""
    return [one / other for one, other in zip(samples, reference, strict=True) if other > 0]


def slope(points: Mapping[float, float]) -> float:
    """By how much y grows with x: the median of the slopes between all pairs of points (Theil and Sen)."""
    ordered = sorted(points.items())
    return median(
        (y2 - y1) / (x2 - x1) for at, (x1, y1) in enumerate(ordered) for x2, y2 in ordered[at + 1 :]
    )


def interleaved(cases: Sequence[str], rounds: int) -> Iterator[str]:
    """Each case once in each round, in an order that is another one each time: nobody is always first."""
    for number in range(rounds):
        turn = number % len(cases)
        order = [*cases[turn:], *cases[:turn]]
        yield from order if number % 2 == 0 else reversed(order)


def measure(cases: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run the cases in interleaved blocks; what each block gave, by case and in the order of the rounds."""
    found: dict[str, list[T]] = {case: [] for case in cases}
    for case in interleaved(list(cases), rounds):
        found[case].append(cases[case]())
    return found
