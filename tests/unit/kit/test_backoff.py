"""Waits before the next try."""

from __future__ import annotations

import random
from collections import Counter

from tulle.kit.backoff import Backoff
from tulle.kit.clock import ManualClock, SystemClock


def test_waits_grow_to_the_limit_and_start_again_after_a_success() -> None:
    backoff = Backoff(first=1, limit=5, draw=lambda: 1.0)
    assert [backoff.next() for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.reset()
    assert backoff.next() == 1


def test_a_wait_is_drawn_from_the_upper_half() -> None:
    assert Backoff(first=1, limit=5, draw=lambda: 0.0).next() == 0.5
    waits = [Backoff(first=1, limit=5).next() for _ in range(200)]
    assert all(0.5 <= wait <= 1 for wait in waits)
    assert len(set(waits)) > 100


def test_a_manual_clock_goes_when_it_is_told_to() -> None:
    clock = ManualClock(wall=100, boot=5)
    clock.advance(2.5)
    assert (clock.wall(), clock.boot()) == (102.5, 7.5)


def test_the_system_clock_does_not_go_backwards() -> None:
    clock = SystemClock()
    assert clock.boot() <= clock.boot()
    assert clock.wall() > 1_700_000_000


def test_many_that_lost_the_same_server_come_back_spread_out() -> None:
    """Evenly over the upper half of each wait: so a control plane that is back sees its agents."""
    draw = random.Random(1).random
    clients = [Backoff(first=0.1, limit=2.0, draw=draw) for _ in range(4000)]
    for ceiling in (0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0):
        waits = [each.next() / ceiling for each in clients]
        assert 0.5 <= min(waits) < max(waits) < 1
        slices = Counter(int((wait - 0.5) * 20) for wait in waits)  # ten of them
        assert len(slices) == 10
        # 400 are expected in each: five standard deviations of a binomial distribution are 95
        assert all(abs(count - 400) < 95 for count in slices.values())
