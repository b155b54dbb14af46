"""How often Python looks for garbage that only cycles keep."""

from __future__ import annotations

import gc

_THRESHOLDS = (20_000, 20, 50)


def calm() -> None:
    """For a process that holds much for long, and whose work makes hardly any cycles.

    A full collection visits every container: with a thousand streams that is 0.2 s in which nobody is
    served, and by Python's own thresholds (700, 10, 10) a start of such a process has ten of them.
    """
    gc.set_threshold(*_THRESHOLDS)
