"""A mesh of an ordinary user, who has no privilege on this machine at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.netns.mesh import PROGRAMS, ROOT, Mesh, mesh_in, wait_for
from tests.netns.person import Person, person
from tests.netns.traces import observe, remains
from tulle.app import supervisor
from tulle.kit.mark import PROXY_MARK

TOWN = Path(__file__).with_name("manifests") / "town.yaml"
FORBID = "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --ambient-caps=-all --inh-caps=-all"


@pytest.fixture(scope="module")
def somebody() -> Iterator[Person]:
    with person() as somebody:
        yield somebody


@pytest.fixture(scope="module")
def town(somebody: Person) -> Iterator[Mesh]:
    """The bookshop, and a town with a server that speaks first."""
    with mesh_in(somebody.folder / "home", somebody) as mesh:
        mesh.up(ROOT / "examples" / "bookshop", TOWN)
        yield mesh


@pytest.fixture
def another(somebody: Person) -> Iterator[Mesh]:
    """A mesh that is not started yet."""
    with mesh_in(somebody.folder / "another", somebody) as mesh:
        yield mesh


def test_nothing_of_it_runs_as_somebody_else(town: Mesh, somebody: Person) -> None:
    for pid, _ in observe(town.layout).processes:
        assert f"\nUid:\t{somebody.uid}\t" in Path(f"/proc/{pid}/status").read_text()


def test_a_gateway_is_reached_by_a_loopback_port(town: Mesh) -> None:
    with urllib.request.urlopen(f"http://{town.local('shop', 'shop')}/", timeout=30) as answer:
        assert answer.status == 200
        assert b"reviews by reviews-v" in answer.read()


def test_calls_between_workloads_have_identities(town: Mesh) -> None:
    answer = json.loads(town.request("client.town", "http://echo/")["body"])
    assert answer["peer"] == "127.0.0.6", "both directions are intercepted"
    assert answer["headers"]["x-forwarded-client-cert"] == (
        "By=spiffe://cluster.local/ns/town/sa/echo;URI=spiffe://cluster.local/ns/town/sa/client"
    )


def test_a_server_that_speaks_first_is_understood(town: Mesh) -> None:
    script = "import socket; print(socket.create_connection(('greeter', 7000)).recv(100).decode())"
    said = town.execute("client.town", "python3", "-c", script).stdout
    assert said.startswith("HELLO greeter 127.0.0.6")


@pytest.mark.parametrize("entered", ["by exec", "from its start"])
def test_a_workload_is_its_user_without_any_right(town: Mesh, somebody: Person, entered: str) -> None:
    arguments = [str(PROXY_MARK), str(town.home), str(town.layout.run)]
    if entered == "by exec":
        told = town.run_program("client.town", "trespass", *arguments)
    else:
        command = ["python3", str(PROGRAMS / "trespass.py"), *arguments]
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "trespass", "namespace": "town"},
            "spec": {
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [{"name": "trespass", "image": "x", "command": command}],
                    }
                }
            },
        }
        with town.applied(json.dumps(job)):
            told = json.loads(wait_for("it has tried", lambda: town.tulle("logs", "trespass.town").stdout))
    assert told == {
        "mark": "refused",
        "rules": "refused",
        "rules as root of another user namespace": "refused",
        "interface": "refused",
        "init's namespaces": "refused",
        "init's files": "refused",
        "uid": somebody.uid,
        "capabilities": "",
        "new privileges": "1",
        "seen": [],
    }


def test_a_process_of_the_users_terminal_joins_the_mesh(town: Mesh, somebody: Person) -> None:
    command = town.command("tulle", "run", "-s", "late", "-p", "8000", "-n", "town", "--", "python3")
    with subprocess.Popen([*command, str(PROGRAMS / "echo.py"), "8000"], env=town.env) as running:
        try:
            town.ready("town", "late")
            answer = json.loads(town.request("client.town", "http://late:8000/")["body"])
            assert answer["peer"] == "127.0.0.6"
        finally:
            running.terminate()
    wait_for("it has left", lambda: "late" not in {each["name"] for each in town.status()["workloads"]})


def test_a_killed_agent_finds_everything_again(town: Mesh) -> None:
    with town.steady("client.town", "http://echo/") as outcome:
        killed = town.daemon("agent")
        assert killed
        os.kill(killed, signal.SIGKILL)
        wait_for("another one is there", lambda: town.daemon("agent") not in (None, killed))
        wait_for("it answers", lambda: town.execute("client.town", "true", status=None).returncode == 0)
        wait_for("it has reported", lambda: all(each["ready"] for each in town.status()["workloads"]))
    assert outcome["total"] > 0
    assert outcome["failures"] == []


def test_a_killed_supervisor_is_cleaned_up_by_the_next(another: Mesh) -> None:
    before = observe(another.layout)
    another.up(TOWN)
    first = observe(another.layout)
    assert len(first.namespaces) == 4, "the hub and three workloads"
    pid = supervisor.running(another.home)
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_for("it is gone", lambda: supervisor.running(another.home) is None)
    another.up(TOWN)
    second = observe(another.layout)
    assert not first.processes & second.processes
    assert second.namespaces
    another.down()
    assert remains(another.layout, before, first) == []
    assert remains(another.layout, before, second) == []


def test_the_demo_runs_where_no_log_in_has_made_a_runtime_directory(somebody: Person) -> None:
    """As after `su`, or in a container."""
    bare = replace(somebody, folder=somebody.folder / "bare")
    bare.folder.mkdir()
    os.chown(bare.folder, bare.uid, bare.uid)
    with mesh_in(bare.folder / "home", bare) as mesh:
        assert mesh.layout.run == mesh.home / "run"
        told = mesh.tulle("demo", timeout=240)
        assert "11 of 11 workloads ready" in told.stdout
        assert told.stdout.count("all answered") == 5
        assert "no call failed" in told.stdout


def test_a_missing_package_that_nobody_may_install_is_named_in_one_line(somebody: Person) -> None:
    command = somebody.command(str(ROOT / "tools" / "packages"), "--programs", "not-there", "nftables")
    done = subprocess.run(command, env=os.environ | somebody.environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "missing: not-there. Run: sudo apt-get install nftables   then try again."
    ]


def test_where_namespaces_are_forbidden_one_line_says_what_to_do(another: Mesh, somebody: Person) -> None:
    numbers = [f"--map-user={somebody.uid}", f"--map-group={somebody.uid}"]
    command = ["unshare", "--user", "--keep-caps", *numbers, "sh", "-c", f'{FORBID} "$@"', "sh"]
    done = subprocess.run(
        another.command(*command, "tulle", "up", str(TOWN)),
        env=another.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: ordinary users may not make namespaces here (user.max_user_namespaces is 0)",
        "  fix: sudo sysctl -w user.max_user_namespaces=15000, or run tulle with sudo",
    ]
