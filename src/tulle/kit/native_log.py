"""gRPC's own log lines, each once.

The core of gRPC writes a line to standard error for every failed TLS handshake, so that a stranger who
knocks a thousand times a second fills the disk; and it can only be silenced whole, which would hide that
somebody knocks at all.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading

from tulle.kit.quiet import Quiet

_LINE = re.compile(rb"[IWEF]\d{4} [\d:.]+ +\d+ (?P<said>[\w./-]+:\d+\] .*)")
"""Abseil's format: severity and date, time, thread, file:line] message."""


def say_once(every_seconds: float = 600) -> None:
    """From now on, native lines on standard error that say the same come once in a while.

    Everything else passes as it is; Python's own `sys.stderr` does not pass through here. For a process
    without children (they would inherit a pipe that ends with it). Call once, at the start.
    """
    direct = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    sys.stderr = os.fdopen(direct, "w", buffering=1)
    threading.Thread(
        target=_pass, args=(reading, direct, every_seconds), name="native log", daemon=True
    ).start()


def _pass(reading: int, direct: int, every_seconds: float) -> None:
    quiet = Quiet(every_seconds)
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            match = _LINE.match(line)
            if match is None or quiet.first(match["said"]):
                with contextlib.suppress(OSError):  # a full disk; whoever stops reading stops the writers
                    os.write(direct, line)
