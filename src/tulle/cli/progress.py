"""Waiting with a person watching: for a revision to be acknowledged, and for a mesh to become ready.

On a terminal one line that changes; elsewhere a line whenever something changes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.status import Status as Spinner
from rich.text import Text

from tulle.api.contract import Progress, Rejection, Status
from tulle.cli.client import Client
from tulle.cli.failure import Failure
from tulle.cli.output import note, notes, place, plural

POLL_SECONDS = 0.25
_NAMED = 3
"""So many names are written out; the others are counted."""


@contextmanager
def line(first: str, *, announce: bool = True) -> Generator[Callable[[str], None]]:
    """A line on standard error that says what is waited for; call it with the newest text.

    Without `announce` the first text is for a terminal alone: a wait may be over at once.
    """
    if sys.stderr.isatty():
        with Spinner(Text(first), console=notes(), spinner="dots") as spinner:
            yield lambda text: spinner.update(Text(text))
        return
    last = first
    if announce:
        note(first)

    def update(text: str) -> None:
        nonlocal last
        if text != last:
            last = text
            note(text)

    yield update


def some(names: tuple[str, ...] | list[str]) -> str:
    """`a, b, c and 4 more`."""
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def acknowledged(client: Client, revision: int, timeout_seconds: float) -> Progress:
    """`settled`, with a line that says for whom it waits."""
    with line("waiting for the proxies", announce=False) as update:
        return settled(client, revision, timeout_seconds, update)


def settled(
    client: Client,
    revision: int,
    timeout_seconds: float,
    update: Callable[[str], None] = lambda _: None,
) -> Progress:
    """Follow a revision until every proxy concerned has it or refused it. Raises Failure."""
    last = Progress(revision=revision)
    for last in client.follow(revision, timeout_seconds):
        if last.waiting:
            update(f"waiting for {plural(len(last.waiting), 'proxy')}: {some(last.waiting)}")
    if not last.done:
        raise Failure(
            f"not acknowledged within {timeout_seconds:g} s by {some(last.waiting) or 'the control plane'}",
            remedy="it is stored and still on its way; look at `tulle status`, or wait longer with --timeout",
        )
    return last


def rejection(refused: Rejection) -> Failure:
    """A NACK in words, at the line that caused it."""
    because = refused.because
    if because is None:
        remedy = f"see `tulle logs {refused.proxy} --proxy`; the proxy keeps its last good configuration"
        return Failure(f"the proxy of {refused.proxy} refused: {refused.error}", remedy=remedy)
    resource = f"{because.kind} {because.namespace}/{because.name}"
    field = f" ({because.field})" if because.field else ""
    return Failure(
        f"the proxy of {refused.proxy} refused what {resource}{field} asks for: {refused.error}",
        where=place(because.file, because.line, because.column),
        remedy="correct it and apply again; until then the proxy keeps its last good configuration",
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How waiting for a mesh ended."""

    ready: bool
    status: Status | None
    """The last one that was seen; None: the control plane never answered."""
    reasons: tuple[str, ...] = ()
    """What is missing, one sentence each."""


def follow_until_ready(
    client: Client,
    timeout_seconds: float,
    *,
    alive: Callable[[], bool] = lambda: True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Wait until every workload is ready and every proxy is in sync, saying what is waited for and why.

    `alive` tells whether the mesh's own processes still run: waiting ends at once when they do not.
    Two looks in a row have to find everything ready: a program that ends at once is running in one.
    """
    steady = False
    deadline = clock() + timeout_seconds
    status: Status | None = None
    reasons: tuple[str, ...] = ("the control plane does not answer",)
    with line("waiting for the workloads") as update:
        while True:
            if client.is_ready():
                status = client.status()
                reasons = missing(status)
                if steady and not reasons:
                    return Outcome(True, status)
                steady = not reasons
                ready = len(status.workloads) - len(reasons)
                if reasons:
                    update(f"{ready} of {len(status.workloads)} ready; {grouped(reasons)}")
            if clock() >= deadline or not alive():
                return Outcome(steady, status, reasons)
            sleep(POLL_SECONDS)


def grouped(reasons: Sequence[str]) -> str:
    """`WHO: WHY` by their why: `starting: shop/a, shop/b; its proxy is pending: shop/c`."""
    groups: dict[str, list[str]] = {}
    for each in reasons:
        who, _, why = each.partition(": ")
        groups.setdefault(why, []).append(who)
    return "; ".join(f"{why}: {some(names)}" for why, names in groups.items())


def missing(status: Status) -> tuple[str, ...]:
    """Why a mesh is not ready: `shop/reviews-v1: its readiness probe fails: ...`. Empty: it is.

    A Job that has succeeded is as ready as it gets; its proxy ended with it.
    """
    reasons: list[str] = []
    for each in status.workloads:
        who = f"{each.namespace}/{each.name}"
        if each.phase == "succeeded":
            continue
        if not each.ready:
            reasons.append(f"{who}: {each.message or each.phase}")
        elif each.proxy.state in ("pending", "disconnected"):
            reasons.append(f"{who}: its proxy is {each.proxy.state}")
        elif each.proxy.state == "rejected":
            reasons.append(f"{who}: its proxy refused: {each.proxy.error}")
    return tuple(reasons)
