"""What becomes of a request or a connection, and the steps that led there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tulle.mesh.view import Origin, Route, WeightedCluster


class Reason(StrEnum):
    FORWARDED = "forwarded"
    PASSED_THROUGH = "passed through"  # to wherever it was going: no service is meant
    REDIRECTED = "redirected"
    ANSWERED = "answered"  # in place
    NO_HOST = "no such host"  # 404
    NO_ROUTE = "no route matches"  # 404
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Step:
    """One decision: what was looked at, what was found, and which written thing is the cause."""

    step: str
    result: str
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where it goes. Where chance decides (weights, shares of a fault), everything that may be is here."""

    reason: Reason
    steps: tuple[Step, ...]
    clusters: tuple[WeightedCluster, ...] = ()
    """By weight. Empty: nothing is sent on."""
    route: Route | None = None
    """None for what is no HTTP, and where no route holds."""
    status: int | None = None
    """Of an answer that is given in place; None for what is sent on or closed."""
