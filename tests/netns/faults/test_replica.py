"""One of three replicas dies at 300 requests/s."""

from __future__ import annotations

import os
import signal

from tests.netns.faults.load import inhabitants, load
from tests.netns.mesh import Mesh, wait_for

URL = "http://echo:8080/"
IDEMPOTENT = ("GET", "PUT", "DELETE")


def kill_under_load(mesh: Mesh, workload: str, victims: set[int]) -> None:
    before = mesh.workload("three", workload)["restarts"]
    with load(mesh, "client.three", URL, *IDEMPOTENT, "POST") as outcome:
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        wait_for("it was started again", lambda: mesh.workload("three", workload)["restarts"] > before)
        mesh.ready("three", workload)
    failed = outcome.failures("POST")
    print(f"{outcome.total()} requests, {len(failed)} POST failed of {outcome.most('POST')} under way")
    assert outcome.failures(*IDEMPOTENT) == []
    assert len(failed) <= outcome.most("POST"), failed


def test_a_replica_whose_program_is_killed_fails_no_request_that_may_be_repeated(three: Mesh) -> None:
    kill_under_load(three, "echo-1", inhabitants(three, "echo-1", "echo.py"))


def test_a_replica_that_is_killed_with_its_proxy_fails_no_request_that_may_be_repeated(three: Mesh) -> None:
    kill_under_load(three, "echo-2", inhabitants(three, "echo-2"))
