"""Each of the mesh's own processes is killed, or stands still for ten seconds, at 300 requests/s."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from tests.netns.faults.load import RATE, Outcome, hold, inhabitants, load
from tests.netns.mesh import Mesh, program, wait_for

URL = "http://echo:8080/"
IDEMPOTENT = ("GET", "PUT", "DELETE")
ALL = (*IDEMPOTENT, "POST")
NAMES = ("client", "echo-1", "echo-2", "echo-3")
STANDSTILL_SECONDS = 10.0


@contextmanager
def stopped(pid: int) -> Generator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def daemon(mesh: Mesh, name: str) -> int:
    return wait_for(f"the {name} runs", lambda: mesh.daemon(name))


def all_ready(mesh: Mesh) -> None:
    for name in NAMES:
        mesh.ready("three", name)


def tell(what: str, outcome: Outcome) -> None:
    print(
        f"{what}: {outcome.total()} requests, {len(outcome.failures(*IDEMPOTENT))} idempotent ones failed, "
        f"{len(outcome.failures('POST'))} others; slowest {outcome.slowest_seconds:.2f} s, "
        f"outage {outcome.outage_seconds:.2f} s"
    )


def restarts(mesh: Mesh) -> dict[str, int]:
    return {each["name"]: each["restarts"] for each in mesh.status()["workloads"]}


@pytest.mark.parametrize("name", ["controlplane", "agent"])
def test_a_killed_daemon_fails_no_request(three: Mesh, name: str) -> None:
    before = restarts(three)
    with load(three, "client.three", URL, *ALL) as outcome:
        first = daemon(three, name)
        os.kill(first, signal.SIGKILL)
        wait_for("it was started again", lambda: daemon(three, name) != first)
        wait_for("it answers", lambda: three.tulle("status", status=None).returncode == 0)
        all_ready(three)
    tell(f"kill -9 of the {name}", outcome)
    assert outcome.failures() == []
    assert restarts(three) == before


@pytest.mark.parametrize("name", ["controlplane", "agent"])
def test_a_daemon_that_stands_still_fails_no_request(three: Mesh, name: str) -> None:
    before = restarts(three)
    with load(three, "client.three", URL, *ALL) as outcome:
        with stopped(daemon(three, name)):
            hold(STANDSTILL_SECONDS)
        all_ready(three)
    tell(f"SIGSTOP of the {name}", outcome)
    assert outcome.failures() == []
    assert restarts(three) == before


def test_a_proxy_of_a_server_that_stands_still_delays_what_it_has(three: Mesh) -> None:
    with load(three, "client.three", URL, *ALL) as outcome:
        with stopped(three.proxy_process("three", "echo-1")):
            hold(STANDSTILL_SECONDS)
        all_ready(three)
    tell("SIGSTOP of a server's Envoy", outcome)
    assert outcome.failures() == []
    assert outcome.total() > RATE * STANDSTILL_SECONDS / 2, "the other replicas go on"


def test_a_proxy_of_a_client_that_stands_still_delays_its_own_calls(three: Mesh) -> None:
    before = restarts(three)
    with load(three, "client.three", URL, *ALL) as outcome:
        with stopped(three.proxy_process("three", "client")):
            hold(STANDSTILL_SECONDS)
        all_ready(three)
    tell("SIGSTOP of a client's Envoy", outcome)
    assert outcome.failures() == []
    assert outcome.slowest_seconds >= STANDSTILL_SECONDS / 2, "its calls have waited"
    assert restarts(three) == before


def test_a_program_that_stands_still_leaves_its_callers_and_comes_back(three: Mesh) -> None:
    before = restarts(three)
    with load(three, "client.three", URL, *ALL) as outcome:
        (pid,) = inhabitants(three, "echo-1", "python3 ../programs/echo.py")
        with stopped(pid):
            wait_for("its probes have found out", lambda: not three.workload("three", "echo-1")["ready"])
            hold(STANDSTILL_SECONDS)
        all_ready(three)
    tell("SIGSTOP of a program", outcome)
    assert outcome.failures() == []
    assert outcome.total() > RATE * STANDSTILL_SECONDS / 2, "the other replicas go on"
    assert restarts(three) == before


def test_a_killed_proxy_of_a_server_fails_no_request_that_may_be_repeated(three: Mesh) -> None:
    with load(three, "client.three", URL, *ALL) as outcome:
        first = three.proxy_process("three", "echo-1")
        os.kill(first, signal.SIGKILL)
        three.ready("three", "echo-1")
    tell("kill -9 of a server's Envoy", outcome)
    assert outcome.failures(*IDEMPOTENT) == []
    assert len(outcome.failures("POST")) <= outcome.most("POST")


def test_a_killed_proxy_of_a_client_fails_what_it_is_asked_until_it_is_back(three: Mesh) -> None:
    """How long it waits before it is started is held in `unit/agent/test_proxy.py`."""
    with load(three, "client.three", URL, *ALL) as outcome:
        os.kill(three.proxy_process("three", "client"), signal.SIGKILL)
        three.ready("three", "client")
        three.request("client.three", URL)
    tell("kill -9 of a client's Envoy", outcome)
    assert outcome.failures(), "there is nobody in its place"
    assert len(outcome.failures()) < outcome.total()


def test_a_program_that_crashes_again_and_again_is_started_with_pauses_and_says_so(three: Mesh) -> None:
    def waits() -> str | None:
        three.execute("echo-3.three", "python3", "-c", program("end"), "echo.py", status=None)
        workload = three.workload("three", "echo-3")
        return workload["message"] if workload["phase"] == "backoff" else None

    with load(three, "client.three", URL, *ALL) as outcome:
        said = wait_for("it is not started at once any more", waits)
        three.ready("three", "echo-3")
    tell("a program that crashes again and again", outcome)
    assert said
    assert outcome.failures(*IDEMPOTENT) == []
