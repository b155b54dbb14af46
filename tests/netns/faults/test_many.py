"""Two hundred workloads on one machine, sixty of them with a proxy.

A proxy takes 28 MB of memory and half a second of processor to start: two hundred of those are a benchmark.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.netns.faults.load import hold, inhabitants, processor_seconds
from tests.netns.faults.test_process import daemon
from tests.netns.mesh import PROGRAMS, Mesh, mesh_in, wait_for

PROXIED, BARE = 60, 140
IDLE_SECONDS = 5.0
CLUSTER = "outbound|8080||echo.many.svc.cluster.local"
MANY = f"""
apiVersion: tulle.dev/v1
kind: App
metadata: {{name: many, namespace: many}}
spec:
  services:
    client: {{command: sleep infinity}}
    echo:
      port: 8080
      protocol: http
      command: python3 {PROGRAMS}/echo.py 8080
      readiness: {{http: /healthz, period: 200ms}}
      replicas: 2
    proxied: {{command: sleep infinity, replicas: {PROXIED - 3}}}
    bare: {{command: sleep infinity, replicas: {BARE}, proxy: none}}
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    file = tmp_path_factory.mktemp("many") / "many.yaml"
    file.write_text(MANY)
    with mesh_in(file.with_name("home")) as mesh:
        mesh.up(file, options=("--timeout", "170"))
        yield mesh


def healthy(mesh: Mesh) -> int:
    (endpoints,) = [mesh.endpoints("client.many", CLUSTER)]
    return len(endpoints)


def test_two_hundred_workloads_are_ready_and_cost_nothing_while_nothing_happens(many: Mesh) -> None:
    workloads = many.status()["workloads"]
    assert len(workloads) == PROXIED + BARE
    assert all(each["ready"] for each in workloads)
    states = [each["proxy"]["state"] for each in workloads]
    assert (states.count("synced"), states.count("none")) == (PROXIED, BARE)
    daemons = {name: daemon(many, name) for name in ("controlplane", "agent")}
    before = {name: processor_seconds(pid) for name, pid in daemons.items()}
    hold(IDLE_SECONDS)
    for name, pid in daemons.items():
        spent = processor_seconds(pid) - before[name]
        print(f"{name}: {spent / IDLE_SECONDS:.1%} of a processor with {PROXIED + BARE} idle workloads")
        assert spent < IDLE_SECONDS / 4


def test_an_endpoint_that_goes_and_comes_reaches_its_callers(many: Mesh) -> None:
    wait_for("both answer", lambda: healthy(many) == 2)
    before = many.workload("many", "echo-1")["restarts"]
    (program,) = inhabitants(many, "echo-1", "python3 /", namespace="many")
    os.kill(program, signal.SIGSTOP)
    try:
        wait_for("its caller knows", lambda: healthy(many) == 1)
    finally:
        os.kill(program, signal.SIGCONT)
    wait_for("its caller knows", lambda: healthy(many) == 2)
    assert many.workload("many", "echo-1")["restarts"] == before
    assert many.request("client.many", "http://echo:8080/")["status"] == 200
