"""The control plane is dead and does not come back for a while: here because others may read its key, which
it refuses, and says so. The supervisor tries again and again, and keeps everything else running."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.netns.faults.envoy import disturbance, listening, sent
from tests.netns.faults.load import load
from tests.netns.mesh import Mesh, terminal, wait_for

URL = "http://echo:8080/"
CLUSTER = "outbound|8080||echo.three.svc.cluster.local"
IDEMPOTENT = ("GET", "PUT", "DELETE")
ALL = (*IDEMPOTENT, "POST")
GUEST = ("python3", "-u", "-m", "http.server", "8000")
NEWCOMER = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: newcomer, namespace: late}
spec: {services: {newcomer: {command: sleep infinity}}}
"""


@contextmanager
def away(mesh: Mesh) -> Generator[None]:
    """The control plane is killed, and cannot start while the block runs."""
    log = mesh.layout.logs / "controlplane.log"

    def refusals() -> int:
        return log.read_text().count("other users can read the authority's key")

    key(mesh).chmod(0o644)
    before = refusals()
    try:
        first = wait_for("the control plane runs", lambda: mesh.daemon("controlplane"))
        os.kill(first, signal.SIGKILL)
        wait_for("it has tried and failed twice", lambda: refusals() > before + 1)
        yield
    finally:
        key(mesh).chmod(0o600)


def key(mesh: Mesh) -> Path:
    return mesh.home / "controlplane" / "authority" / "authority.pem"


def ready(mesh: Mesh) -> None:
    """Wait until the control plane answers and says that everybody is."""
    wait_for("the control plane answers", lambda: mesh.tulle("status", status=None).returncode == 0)
    for each in ("client", "echo-1", "echo-2", "echo-3"):
        mesh.ready("three", each)


def restarts(mesh: Mesh) -> dict[str, int]:
    return {
        each["name"]: each["restarts"] for each in mesh.status()["workloads"] if each["namespace"] == "three"
    }


def another(mesh: Mesh, first: int) -> bool:
    """Whether another Envoy serves echo-1 now."""
    try:
        now = mesh.proxy_process("three", "echo-1")
    except ValueError:
        return False
    return now != first and listening(mesh, "three", "echo-1")


def test_what_runs_goes_on_what_dies_comes_back_and_newcomers_wait(three: Mesh, tmp_path: Path) -> None:
    ready(three)
    file = tmp_path / "newcomer.yaml"
    file.write_text(NEWCOMER)
    before = {each: disturbance(three, "three", each) for each in ("client", "echo-2", "echo-3")}
    began = restarts(three)
    agent_log = three.layout.logs / "agent.log"
    lines = len(agent_log.read_text().splitlines())
    with load(three, "client.three", URL, *ALL) as outcome:
        endpoints = sent(three, "three", "client", CLUSTER)
        with away(three):
            agent = wait_for("the agent runs", lambda: three.daemon("agent"))
            os.kill(agent, signal.SIGKILL)
            wait_for("another agent runs", lambda: three.daemon("agent") not in (agent, None))
            envoy = three.proxy_process("three", "echo-1")
            os.kill(envoy, signal.SIGKILL)
            wait_for("an Envoy starts from the agent's disk", lambda: another(three, envoy))
            said = three.tulle("status", status=1).stderr
            assert "waiting for the control plane to come back; what runs goes on as it is" in said
            assert "the control plane is away and has not come back yet" in said
            with (
                terminal(three, "run", "-s", "guest", "-p", "8000", "--timeout", "120s", "--", *GUEST) as run,
                terminal(three, "up", "-d", file, "--timeout", "120s") as up,
            ):
                for each in (run, up):
                    each.until("waiting for the control plane to come back; what runs goes on as it is")
                key(three).chmod(0o600)
                run.until("Serving HTTP", 120)
                status, words = up.end(120)
                assert status == 0, words
                ready(three)
                three.synced()
                after = sent(three, "three", "client", CLUSTER)
                counters = {each: disturbance(three, "three", each) for each in before}
                run.interrupt()
                run.end()
    print(f"control plane away: {outcome.total()} requests, {len(outcome.failures())} failed")
    assert outcome.failures(*IDEMPOTENT) == []
    assert len(outcome.failures("POST")) <= outcome.most("POST"), "what the killed Envoy had"
    assert after.keys() == endpoints.keys()
    assert all(after[each] >= endpoints[each] for each in endpoints), "no endpoint was removed meanwhile"
    assert counters == before, "nothing was taken away, changed or drained"
    assert restarts(three) == began
    told = agent_log.read_text().splitlines()[lines:]
    assert sum("not connected to the control plane" in line for line in told) <= 2, "once for each agent"


def test_a_program_that_dies_meanwhile_is_started_again(three: Mesh) -> None:
    program = ("three", "echo-2", "echo.py")
    ready(three)
    before = restarts(three)
    with load(three, "client.three", URL, *ALL) as outcome:
        with away(three):
            first = wait_for("it runs", lambda: three.program_process(*program))
            os.kill(first, signal.SIGKILL)
            wait_for("another one runs", lambda: three.program_process(*program) not in (first, None))
        ready(three)
    print(f"a program that dies meanwhile: {len(outcome.failures())} of {outcome.total()} failed")
    assert outcome.failures(*IDEMPOTENT) == []
    assert restarts(three)["echo-2"] > before["echo-2"]
