"""How the daemons log: one line an event, key=value, to standard error."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from typing import Any

import structlog

from tulle.kit.quiet import Quiet

_log = structlog.get_logger("tulle.daemon")


def configure() -> None:
    """Once, at the start of a daemon."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
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
