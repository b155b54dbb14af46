"""How the daemons log: one line an event, key=value, to standard error."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

import structlog

from tulle.kit.quiet import Quiet

_log = structlog.get_logger("tulle.daemon")


class _Forgiving(structlog.WriteLogger):
    """Standard error of a process that goes on when its log cannot be written (a full disk)."""

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._file.fileno(), f"{message}\n".encode(errors="backslashreplace"))

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


def configure() -> None:
    """Once, at the start of a daemon. A line that cannot be written is lost, and the daemon goes on."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Forgiving(sys.stderr),
        cache_logger_on_first_use=True,
    )


def say_once(loop: asyncio.AbstractEventLoop, every_seconds: float = 600) -> None:
    """What the event loop complains of comes once in a while: out of descriptors, asyncio writes a traceback
    for each place in the queue of each listener, and does so every second."""
    quiet = Quiet(every_seconds)

    def handle(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        message, error = context["message"], context.get("exception")
        if quiet.first((message, type(error), getattr(error, "errno", None))):
            _log.error(message, exc_info=error)

    loop.set_exception_handler(handle)
