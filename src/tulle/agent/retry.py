"""Whether a container that ended is started again, and how often that was done: the restart policy of a Pod
and the back-off limit of a Job (kubernetes.io, "Jobs", "Pod backoff failure policy")."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tulle.agent.process import Exit
from tulle.kit import durable
from tulle.model.agentapi import Phase, RestartPolicy, WorkloadAssignment

_FILE = "restarts"


def phase_after(outcome: Exit, assignment: WorkloadAssignment, *, init: bool, restarts: int) -> Phase:
    """SUCCEEDED and FAILED: it is not started again; BACKOFF: it is, after `restarts` times.

    A Job replaces a Pod that failed even where the Pod's own policy is Never, as often as its limit says.
    """
    policy, limit = assignment.restart, assignment.backoff_limit
    if outcome.succeeded and (policy is not RestartPolicy.ALWAYS or init):
        return Phase.SUCCEEDED
    if limit is None:
        return Phase.FAILED if policy is RestartPolicy.NEVER else Phase.BACKOFF
    return Phase.FAILED if restarts >= limit else Phase.BACKOFF


def count(directory: Path, assignment: WorkloadAssignment, restarts: int) -> None:
    """Keep the number for the next agent, beside the process; without it that one begins at 0."""
    if assignment.backoff_limit is None:
        return
    with contextlib.suppress(OSError):
        durable.replace(directory / _FILE, f"{assignment.incarnation} {restarts}\n".encode())


def counted(directory: Path, assignment: WorkloadAssignment) -> int:
    """What was kept for this incarnation; 0 if nothing was, or not all of it is there."""
    try:
        incarnation, _, restarts = (directory / _FILE).read_text().partition(" ")
    except (OSError, UnicodeDecodeError):
        return 0
    number, whole, _ = restarts.partition("\n")  # without its end it would be another number
    return int(number) if whole and incarnation == assignment.incarnation and number.isdigit() else 0
