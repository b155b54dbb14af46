"""Whether what ended is started again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tulle.agent import retry
from tulle.agent.process import Exit
from tulle.model.agentapi import Phase, RestartPolicy, WorkloadAssignment

NEVER, ON_FAILURE, ALWAYS = RestartPolicy.NEVER, RestartPolicy.ON_FAILURE, RestartPolicy.ALWAYS


def assignment(policy: RestartPolicy, limit: int | None, incarnation: str = "one") -> WorkloadAssignment:
    return WorkloadAssignment(
        namespace="shop",
        name="job",
        identity="",
        addresses=("10.0.0.1",),
        incarnation=incarnation,
        restart=policy,
        backoff_limit=limit,
    )


@pytest.mark.parametrize(
    ("policy", "limit", "restarts", "phase"),
    [
        (NEVER, None, 0, Phase.FAILED),
        (ON_FAILURE, None, 99, Phase.BACKOFF),
        (ALWAYS, None, 99, Phase.BACKOFF),
        (NEVER, 2, 1, Phase.BACKOFF),
        (NEVER, 2, 2, Phase.FAILED),
        (ON_FAILURE, 2, 1, Phase.BACKOFF),
        (ON_FAILURE, 2, 2, Phase.FAILED),
        (NEVER, 0, 0, Phase.FAILED),
    ],
)
def test_what_failed_is_tried_again_up_to_the_limit(
    policy: RestartPolicy, limit: int | None, restarts: int, phase: Phase
) -> None:
    found = retry.phase_after(Exit(status=1), assignment(policy, limit), init=False, restarts=restarts)
    assert found is phase


@pytest.mark.parametrize("limit", [None, 6])
def test_what_succeeded_is_over_unless_it_is_to_run_always(limit: int | None) -> None:
    done = Exit(status=0)
    assert retry.phase_after(done, assignment(NEVER, limit), init=False, restarts=0) is Phase.SUCCEEDED
    assert retry.phase_after(done, assignment(ALWAYS, None), init=False, restarts=0) is Phase.BACKOFF
    assert retry.phase_after(done, assignment(ALWAYS, None), init=True, restarts=0) is Phase.SUCCEEDED


def test_the_next_agent_knows_how_often_this_incarnation_was_tried(tmp_path: Path) -> None:
    job = assignment(NEVER, 6)
    assert retry.counted(tmp_path, job) == 0
    retry.count(tmp_path, job, 6)
    assert retry.counted(tmp_path, job) == 6
    assert retry.counted(tmp_path, assignment(NEVER, 6, "another")) == 0


def test_a_number_that_cannot_be_kept_is_no_failure(tmp_path: Path) -> None:
    retry.count(tmp_path / "missing", assignment(NEVER, 6), 1)


def test_a_truncated_number_is_no_other_number(tmp_path: Path) -> None:
    job = assignment(NEVER, 600)
    retry.count(tmp_path, job, 123)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert retry.counted(tmp_path, job) == 0
