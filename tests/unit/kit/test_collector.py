"""The collector's thresholds."""

from __future__ import annotations

import gc

from tulle.kit import collector


def test_a_calm_collector_still_collects() -> None:
    before = gc.get_threshold()
    try:
        collector.calm()
        assert gc.isenabled()
        assert all(calm > usual > 0 for calm, usual in zip(gc.get_threshold(), (700, 10, 10), strict=True))
    finally:
        gc.set_threshold(*before)
