"""Giving memory back."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from typing import NoReturn

from tulle.kit.holdoff import HoldOff


def trim() -> None:
    """Give free pages back to the system (malloc_trim(3)); some milliseconds where there are many.

    What a thousand proxies are sent when they connect is freed in between of what stays, and glibc keeps it.
    """
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


async def trim_when_calm(calm: HoldOff, trim: Callable[[], None] = trim) -> NoReturn:
    """Whenever what `calm` was told of has come to rest."""
    while True:
        await calm.settled()
        trim()
