"""The memory of processes that live long."""

from __future__ import annotations

import gc
import re
from pathlib import Path

from tulle.kit import heap


def test_a_calm_collector_still_collects() -> None:
    before = gc.get_threshold()
    try:
        heap.calm_collector()
        assert gc.isenabled()
        assert all(calm > usual > 0 for calm, usual in zip(gc.get_threshold(), (700, 10, 10), strict=True))
    finally:
        gc.set_threshold(*before)


def test_what_was_large_is_given_back() -> None:
    heap.return_large_blocks()
    blocks = [bytearray(64 * 1024) for _ in range(500)]
    kept = [bytearray(64 * 1024)]  # above the others: nothing below it could be given back by moving the end
    full = _resident()
    del blocks
    assert full - _resident() > 20_000
    assert kept


def _resident() -> int:
    """KiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])
