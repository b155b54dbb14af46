"""How meshes start and end, by themselves, by command and by force."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.mesh import Mesh, mesh_in, program, terminal, wait_for
from tests.netns.traces import observe, remains
from tulle.app import supervisor

PAIR = Path(__file__).with_name("manifests") / "pair.yaml"
URL = "http://echo:8080/"


def answers(mesh: Mesh) -> bool:
    return mesh.request("client.pair", URL)["status"] == 200


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with mesh_in(tmp_path_factory.mktemp("pair") / "home") as mesh:
        mesh.up(PAIR)
        yield mesh


# -- ends -------------------------------------------------------------------------------------------


def test_down_leaves_nothing_and_may_be_said_twice(mesh: Mesh) -> None:
    before = observe(mesh.layout)
    mesh.up(PAIR)
    assert answers(mesh)
    seen = observe(mesh.layout)
    assert len(seen.namespaces) == 4, "the hub and three workloads"
    mesh.down()
    assert remains(mesh.layout, before, seen) == []
    log = (mesh.layout.logs / "agent.log").read_text()
    assert not [words for words in ("Exception ignored", "never awaited", "Traceback") if words in log], log
    assert "no mesh is running" in mesh.tulle("down").stderr
    assert mesh.tulle("status", status=1).stderr.startswith("error: ")


def test_ctrl_c_leaves_nothing(mesh: Mesh) -> None:
    before = observe(mesh.layout)
    with terminal(mesh, "up", PAIR) as up:
        up.until("until Ctrl-C")
        assert answers(mesh)
        seen = observe(mesh.layout)
        up.interrupt()
        status, said = up.end()
    assert (status, "Traceback" in said) == (0, False), said
    assert remains(mesh.layout, before, seen) == []


def test_ctrl_c_while_it_starts_leaves_nothing(mesh: Mesh) -> None:
    before = observe(mesh.layout)
    with terminal(mesh, "up", PAIR) as up:
        up.until("waiting for")
        seen = observe(mesh.layout)
        up.interrupt()
        status, said = up.end()
    assert (status, "Traceback" in said) == (130, False), said
    assert remains(mesh.layout, before, seen) == []


def test_a_killed_foreground_up_takes_the_mesh_with_it(mesh: Mesh) -> None:
    before = observe(mesh.layout)
    with terminal(mesh, "up", PAIR) as up:
        up.until("until Ctrl-C")
        seen = observe(mesh.layout)
        up.process.kill()
        wait_for("the supervisor has ended", lambda: supervisor.running(mesh.home) is None)
    assert remains(mesh.layout, before, seen) == []


def test_a_killed_supervisor_is_cleaned_up_by_the_next_up(mesh: Mesh) -> None:
    before = observe(mesh.layout)
    mesh.up(PAIR)
    first = observe(mesh.layout)
    pid = supervisor.running(mesh.home)
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_for("it is gone", lambda: supervisor.running(mesh.home) is None)
    assert remains(mesh.layout, before, first), "it left what it kept"
    mesh.up(PAIR)
    assert answers(mesh)
    second = observe(mesh.layout)
    assert not first.processes & second.processes
    mesh.down()
    assert remains(mesh.layout, before, second) == []


def test_a_killed_supervisor_is_cleaned_up_by_down(mesh: Mesh) -> None:
    before = observe(mesh.layout)
    mesh.up(PAIR)
    seen = observe(mesh.layout)
    pid = supervisor.running(mesh.home)
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_for("it is gone", lambda: supervisor.running(mesh.home) is None)
    mesh.down()
    assert remains(mesh.layout, before, seen) == []


def test_two_meshes_run_side_by_side(mesh: Mesh, tmp_path: Path) -> None:
    mesh.up(PAIR)
    with mesh_in(tmp_path / "other") as other:
        other.up(PAIR)
        for each in (mesh, other):
            assert answers(each)
            assert [workload["namespace"] for workload in each.status()["workloads"]] == ["pair"] * 3
        addresses = [
            {workload["address"] for workload in each.status()["workloads"]} for each in (mesh, other)
        ]
        # An ordinary user's meshes meet nowhere, so that the same addresses are no harm.
        assert mesh.layout.rootless or not addresses[0] & addresses[1]
    assert answers(mesh), "the other one is down, this one stays"


def test_a_watched_file_is_followed(mesh: Mesh) -> None:
    file = mesh.home.parent / "app.yaml"
    text = PAIR.read_text().replace("../programs", str(PAIR.parent.parent / "programs"))
    file.write_text(text.replace("replicas: 2", "replicas: 1"))
    with terminal(mesh, "up", file, "--watch") as up:
        up.until("until Ctrl-C")
        file.write_text(text)
        up.until("applied the changed files")
        mesh.ready("pair", "echo-2")
        file.write_text("kind: [")
        assert "error" in up.until("error")
        assert answers(mesh), "what is wrong changes nothing"
        up.interrupt()
        assert up.end()[0] == 0


# -- faults -----------------------------------------------------------------------------------------


ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: echo, namespace: pair}
spec:
  parentRefs: [{group: "", kind: Service, name: echo}]
  rules:
  - matches: [{path: {value: /new}}]
    backendRefs: [{name: nobody, port: 1}]
  - backendRefs: [{name: echo, port: 8080}]
"""


def test_a_killed_control_plane_costs_no_request_and_comes_back(pair: Mesh) -> None:
    with pair.steady("client.pair", URL, rate=200) as outcome:
        for _ in range(2):
            first = pair.daemon("controlplane")
            os.kill(first, signal.SIGKILL)
            wait_for("it was started again", lambda: pair.daemon("controlplane") not in (None, first))  # noqa: B023
            wait_for("it answers", lambda: pair.tulle("status", status=None).returncode == 0)
            with pair.applied(ROUTE):
                assert pair.request("client.pair", f"{URL}new")["status"] == 500
            assert pair.request("client.pair", f"{URL}new")["status"] == 200
    assert outcome["failures"] == []
    assert outcome["total"] > 200
    assert {each["proxy"]["state"] for each in pair.status()["workloads"]} == {"synced"}


def test_a_killed_agent_costs_no_request_and_finds_its_processes_again(pair: Mesh) -> None:
    before = {each["name"]: each["restarts"] for each in pair.status()["workloads"]}
    started = pair.execute("echo-1.pair", "stat", "-c", "%Y", "/proc/1").stdout
    with pair.steady("client.pair", URL, rate=200) as outcome:
        first = pair.daemon("agent")
        os.kill(first, signal.SIGKILL)
        wait_for("it was started again", lambda: pair.daemon("agent") not in (None, first))
        for name in before:
            pair.ready("pair", name)
    assert outcome["failures"] == []
    assert {each["name"]: each["restarts"] for each in pair.status()["workloads"]} == before
    assert pair.execute("echo-1.pair", "stat", "-c", "%Y", "/proc/1").stdout == started
    with pair.applied(DEPLOYMENT):
        pair.ready("pair", "late")


def test_a_killed_proxy_comes_back(pair: Mesh) -> None:
    envoy = pair.proxy_process("pair", "client")
    os.kill(envoy, signal.SIGKILL)
    wait_for("its calls are answered again", lambda: answers(pair))
    assert pair.proxy_process("pair", "client") != envoy
    pair.ready("pair", "client")


def test_a_killed_workload_comes_back(pair: Mesh) -> None:
    before = pair.workload("pair", "echo-1")["restarts"]
    with pair.steady("client.pair", URL, rate=100) as outcome:
        pair.execute("echo-1.pair", "python3", "-c", program("end"), "echo.py", status=None)
        wait_for("it was started again", lambda: pair.workload("pair", "echo-1")["restarts"] > before)
        pair.ready("pair", "echo-1")
    assert outcome["failures"] == []


# -- changes ----------------------------------------------------------------------------------------

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: late, namespace: pair}
spec:
  selector: {matchLabels: {app: late}}
  template:
    metadata: {labels: {app: late}}
    spec: {containers: [{name: sleep, command: [sleep, infinity]}]}
"""


def names(mesh: Mesh) -> set[str]:
    return {each["name"] for each in mesh.status()["workloads"]}


def test_an_applied_deployment_runs_and_a_deleted_one_stops(pair: Mesh) -> None:
    pair.apply(DEPLOYMENT)
    pair.ready("pair", "late")
    assert pair.execute("late.pair", "true").returncode == 0
    namespaces = observe(pair.layout).namespaces
    pair.apply(DEPLOYMENT.replace("spec:\n  selector", "spec:\n  replicas: 2\n  selector"))
    pair.ready("pair", "late-2")
    assert names(pair) >= {"late-1", "late-2"} and "late" not in names(pair)
    pair.tulle("delete", "deployment", "late", "-n", "pair")
    wait_for("it is gone", lambda: not names(pair) & {"late-1", "late-2"})
    wait_for("its namespaces too", lambda: observe(pair.layout).namespaces < namespaces)
    assert pair.json("get", "deployment", "-n", "pair")["items"] == []
    assert pair.tulle("get", "deployment", "late", "-n", "pair", status=1).stderr.startswith("error: ")


def test_one_bad_document_stops_the_whole_set(pair: Mesh) -> None:
    bad = (
        DEPLOYMENT
        + "---\n"
        + DEPLOYMENT.replace("name: late", "name: bad").replace("containers", "containerz")
    )
    refused = pair.apply(bad, status=1)
    assert "containerz" in refused.stderr and "nothing was changed" in refused.stderr
    assert pair.json("get", "deployment", "-n", "pair")["items"] == []
    assert not names(pair) & {"late", "bad"}


def test_a_dry_run_changes_nothing(pair: Mesh) -> None:
    pair.tulle("apply", "-f", "-", "--dry-run", text=DEPLOYMENT)
    assert pair.json("get", "deployment", "-n", "pair")["items"] == []


def test_up_on_a_running_mesh_applies(pair: Mesh, tmp_path: Path) -> None:
    file = tmp_path / "late.yaml"
    file.write_text(DEPLOYMENT)
    pair.up(file)
    assert pair.workload("pair", "late")["ready"]
    pair.delete(DEPLOYMENT)
    wait_for("it is gone", lambda: "late" not in names(pair))


# -- exec and run -----------------------------------------------------------------------------------


def test_the_home_is_its_owners_alone(pair: Mesh) -> None:
    """Whatever the umask: everything that stands in it says who runs here, and some of it is secret."""
    folders = [pair.home, *(each for each in pair.home.iterdir() if each.is_dir())]
    assert {
        str(each): oct(each.stat().st_mode & 0o777) for each in folders if each.stat().st_mode & 0o077
    } == {}


def test_exec_passes_input_output_and_status(pair: Mesh) -> None:
    done = pair.execute("client.pair", "sh", "-c", "cat; echo no >&2; exit 7", text="through\n", status=7)
    assert (done.stdout, done.stderr) == ("through\n", "no\n")
    assert pair.tulle("exec", "echo", "-n", "pair", "--", "hostname").stdout == "echo-1\n"
    assert pair.tulle("exec", "pair/echo-2", "--", "hostname").stdout == "echo-2\n"
    assert "not-there" in pair.execute("client.pair", "not-there", status=127).stderr


def test_run_joins_and_leaves(pair: Mesh) -> None:
    command = ["run", "--service", "hello", "--port", "8000", "--protocol", "http", "-n", "pair"]
    with terminal(pair, *command, "--", "python3", "-c", program("echo"), "8000") as run:
        run.until("echoes on port 8000")
        called = wait_for(
            "it is called by its name",
            lambda: (answer := pair.request("client.pair", "http://hello:8000/"))["status"] == 200 and answer,
        )
        assert json.loads(called["body"])["name"] == "hello"
        assert "URI=spiffe://cluster.local/ns/pair/sa/client" in called["body"]
        assert pair.workload("pair", "hello")["proxy"]["state"] == "synced"
        run.interrupt()
        run.end()
    wait_for("it has left", lambda: "hello" not in names(pair))


def test_run_ends_as_its_command_ends(pair: Mesh) -> None:
    command = ["run", "--service", "brief", "--port", "8000", "-n", "pair", "--"]
    assert pair.tulle(*command, "sh", "-c", "echo said; exit 7", status=7).stdout == "said\n"
    wait_for("it has left", lambda: "brief" not in names(pair))


def test_a_running_program_calls_the_mesh(pair: Mesh) -> None:
    curl = shutil.which("curl")
    assert curl
    command = ["run", "--service", "caller", "--port", "8000", "-n", "pair", "--", curl, "-sS", URL]
    assert json.loads(pair.tulle(*command).stdout)["headers"]["host"] == "echo:8080"
