"""Every workload is restarted under load, one after the other."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.netns.faults.load import load
from tests.netns.mesh import PROGRAMS, Mesh, mesh_in, wait_for
from tulle.app import supervisor

NAMES = ("front-1", "front-2", "back-1", "back-2", "back-3")


def chain(version: int) -> str:
    """A client, what it calls, and what that calls in turn; another version is another process of each."""

    def service(name: str, replicas: int, command: str) -> str:
        return f"""
    {name}:
      port: 8080
      protocol: http
      command: python3 {PROGRAMS}/{command}
      env: {{VERSION: "{version}"}}
      readiness: {{http: /healthz, period: 200ms}}
      replicas: {replicas}"""

    return f"""
apiVersion: tulle.dev/v1
kind: App
metadata: {{name: chain, namespace: chain}}
spec:
  services:
    client: {{command: sleep infinity}}
{service("front", 2, "forward.py 8080 http://back:8080/")}
{service("back", 3, "echo.py 8080 0.02")}
"""


def apply(mesh: Mesh, documents: str, *options: str) -> None:
    """From a file that stays where it is: commands run in its folder."""
    file = mesh.home.with_name("chain.yaml")
    file.write_text(documents)
    mesh.tulle("apply", "-f", file, *options)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    file = tmp_path_factory.mktemp("chain") / "chain.yaml"
    file.write_text(chain(1))
    with mesh_in(file.with_name("home")) as mesh:
        mesh.up(file)
        yield mesh


def version(mesh: Mesh, name: str) -> str:
    done = mesh.execute(f"{name}.chain", "sh", "-c", "echo $VERSION", status=None)
    return done.stdout.strip()


def test_a_rolling_restart_of_every_workload_fails_no_request(mesh: Mesh) -> None:
    with load(mesh, "client.chain", "http://front:8080/", "GET", "POST") as outcome:
        apply(mesh, chain(2))
        for name in NAMES:
            wait_for(f"{name} has been replaced", lambda: version(mesh, name) == "2")  # noqa: B023
            mesh.ready("chain", name)
    print(f"{outcome.total()} requests through two hops, {len(outcome.failures())} failed")
    assert outcome.failures() == []
    assert outcome.total() > 300


def test_a_version_that_does_not_come_up_takes_one_replica_of_each_at_most(mesh: Mesh) -> None:
    broken = chain(2).replace("echo.py 8080 0.02", "not-there.py")
    with load(mesh, "client.chain", "http://front:8080/", "GET", "POST") as outcome:
        apply(mesh, broken)
        status = wait_for(
            "one of them is in trouble",
            lambda: [
                each
                for each in mesh.status()["workloads"]
                if each["name"].startswith("back") and each["restarts"] >= 2
            ],
        )
        assert len(status) == 1
        apply(mesh, chain(3))
        for name in NAMES:
            wait_for(f"{name} has been replaced", lambda: version(mesh, name) == "3")  # noqa: B023
            mesh.ready("chain", name)
    assert outcome.failures() == []


def test_an_agent_that_finds_another_version_wanted_lets_what_runs_leave_in_order(mesh: Mesh) -> None:
    """It was killed, and the version was applied before it came back."""
    for name in NAMES:
        mesh.ready("chain", name)
    keeper = supervisor.running(mesh.home)
    agent = mesh.daemon("agent")
    assert keeper
    assert agent
    with load(mesh, "client.chain", "http://front:8080/", "GET", "POST") as outcome:
        os.kill(keeper, signal.SIGSTOP)
        try:
            os.kill(agent, signal.SIGKILL)
            apply(mesh, chain(4), "--no-wait")
        finally:
            os.kill(keeper, signal.SIGCONT)
        for name in NAMES:
            wait_for(f"{name} has been replaced", lambda: version(mesh, name) == "4")  # noqa: B023
            mesh.ready("chain", name)
    print(f"with another agent: {outcome.total()} requests, {len(outcome.failures())} failed")
    assert outcome.failures() == []
