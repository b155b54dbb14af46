"""How a process that holds much for long deals with memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_THRESHOLDS = (20_000, 20, 50)
_LARGE_BYTES = 32 * 1024
_M_MMAP_THRESHOLD = -3  # malloc.h


def calm_collector() -> None:
    """Look for garbage that only cycles keep less often; such a process makes hardly any.

    A full collection visits every container: with a thousand streams that is 0.2 s in which nobody is
    served, and by Python's own thresholds (700, 10, 10) a start of such a process has ten of them.
    """
    gc.set_threshold(*_THRESHOLDS)


def return_large_blocks() -> None:
    """Give blocks above 32 KiB back to the system when they are freed (mallopt(3)).

    By itself glibc raises that limit to what was freed last, and keeps what it needed at its fullest: a
    thousand responses that were under way at once stay resident for ever.
    """
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
