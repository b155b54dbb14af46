"""Programs that nobody here wrote, from published forms of their manifests and from the App form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.mesh import Mesh, mesh_in, wait_for

pytestmark = pytest.mark.root_only(
    "its database gives its files to a user that an ordinary user does not have"
)

HTTPBIN = "http://httpbin:8000/status/200"
MANIFESTS = Path(__file__).with_name("manifests")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with mesh_in(tmp_path_factory.mktemp("programs") / "home") as mesh:
        mesh.up(
            MANIFESTS / "kubernetes.yaml",
            MANIFESTS / "app.yaml",
            options=("--images", str(MANIFESTS / "images.yaml")),
        )
        yield mesh


def said(mesh: Mesh, workload: str, *command: str) -> str:
    return mesh.execute(workload, *command).stdout


def sees_identity(text: str) -> bool:
    return "spiffe://cluster.local/ns/programs/sa/shell" in text


def test_nginx_serves_files_from_a_config_map(programs: Mesh) -> None:
    assert said(programs, "shell.programs", "curl", "-sS", "http://web/") == "<h1>Served by nginx</h1>\n"


def test_nginx_as_a_reverse_proxy_calls_on_with_an_identity_of_its_own(programs: Mesh) -> None:
    answer = json.loads(said(programs, "shell.programs", "curl", "-sS", "http://web/httpbin/headers"))
    headers = {name.lower(): value for name, value in answer["headers"].items()}
    assert headers["x-forwarded-client-cert"] == (
        "By=spiffe://cluster.local/ns/programs/sa/httpbin;URI=spiffe://cluster.local/ns/programs/sa/default"
    )


@pytest.mark.parametrize("status", [200, 204, 404, 418, 503])
def test_httpbin_answers_as_it_likes(programs: Mesh, status: int) -> None:
    asked = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"http://httpbin:8000/status/{status}"]
    assert said(programs, "shell.programs", *asked) == str(status)


def test_httpbin_streams_and_compresses(programs: Mesh) -> None:
    lines = said(programs, "shell.programs", "curl", "-sS", "http://httpbin:8000/stream/20").splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(range(20))
    packed = json.loads(
        said(programs, "shell.programs", "curl", "-sS", "--compressed", "http://httpbin:8000/gzip")
    )
    assert packed["gzipped"] is True
    sent = "x" * 100_000
    asked = ["curl", "-sS", "--data-binary", "@-", "http://httpbin:8000/post"]
    answer = json.loads(programs.execute("shell.programs", *asked, text=sent).stdout)
    assert "".join(answer["form"]) == sent


@pytest.mark.parametrize("workload", ["shell.programs", "client.apps"])
def test_redis_keeps_what_it_is_given(programs: Mesh, workload: str) -> None:
    assert said(programs, workload, "redis-cli", "-h", "cache", "set", "book", workload) == "OK\n"
    assert said(programs, workload, "redis-cli", "-h", "cache", "get", "book") == f"{workload}\n"


def test_redis_pipelines_through_both_proxies(programs: Mesh) -> None:
    commands = "".join(f"set key{number} {number}\n" for number in range(1000)) + "dbsize\n"
    answers = programs.execute("client.apps", "redis-cli", "-h", "cache", text=commands).stdout.splitlines()
    assert answers[:1000] == ["OK"] * 1000
    assert int(answers[1000].split()[-1]) >= 1000


def test_mariadb_speaks_first_and_is_understood(programs: Mesh) -> None:
    """Installed by an init container into an emptyDir, filled from a Secret."""
    query = ["mariadb", "--no-defaults", "-h", "books", "-u", "reader", "-popen sesame", "-N", "-B"]
    rows = said(programs, "shell.programs", *query, "-e", "SELECT title, copies FROM books.stock")
    assert rows == "Frankenstein\t7\n"


def test_grpc_calls_streams_and_refusals_pass(programs: Mesh) -> None:
    for target in ("greeter:50051", "greeter.apps.svc.cluster.local:50051"):
        assert programs.run_program("client.apps", "greeted", target) == {
            "hello": "hello Ada",
            "greeted": "Ada",
            "refused": "INVALID_ARGUMENT: say who you are",
            "numbers": [0, 1, 2, 3, 4],
        }


def test_names_lead_from_one_namespace_to_another(programs: Mesh) -> None:
    assert (
        said(programs, "client.apps", "curl", "-sS", "http://web.programs/") == "<h1>Served by nginx</h1>\n"
    )
    listing = said(programs, "shell.programs", "curl", "-sS", "http://files.apps:8000/")
    assert "greeter.py" in listing


def test_environment_of_every_source(programs: Mesh) -> None:
    lines = said(programs, "shell.programs", "env").splitlines()
    env = dict(line.split("=", 1) for line in lines if "=" in line)
    expected = {
        "PLAIN": "written",
        "TWICE": "written twice",
        "PASSWORD": "open sesame",
        "SHADE": "blue",
        "POD": "shell",
        "ADDRESS": programs.workload("programs", "shell")["address"],
        "TIER": "back",
        "FROM_COLOR": "blue",
        "FROM_SIZE": "large",
    }
    assert {name: env.get(name) for name in expected} == expected
    env = dict(
        line.split("=", 1) for line in said(programs, "client.apps", "env").splitlines() if "=" in line
    )
    assert (env["COUNT"], env["VERBOSE"]) == ("3", "true")


def test_mounts_are_read_only_shared_and_private(programs: Mesh) -> None:
    assert said(programs, "shell.programs", "cat", "/etc/settings/motd") == "good morning\n"
    assert said(programs, "shell.programs", "cat", "/scratch/file") == "shared\n"
    programs.execute("shell.programs", "sh", "-c", "echo changed > /etc/settings/motd", status=2)
    said(programs, "shell.programs", "sh", "-c", "echo own > /tmp/tulle-test-own")
    assert not Path("/tmp/tulle-test-own").exists()
    assert not Path("/etc/settings").exists() and not Path("/scratch").exists()
    assert programs.execute("client.apps", "ls", "/tmp/tulle-test-own", status=2).stdout == ""


def test_hostname_and_resolver_are_the_workloads_own(programs: Mesh) -> None:
    address = programs.workload("programs", "shell")["address"]
    assert said(programs, "shell.programs", "hostname") == "shell\n"
    assert said(programs, "shell.programs", "getent", "ahostsv4", "shell").startswith(f"{address} ")
    own = said(programs, "httpbin.programs", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", HTTPBIN)
    assert own == "200", "the Service of a workload's name has other ports than the workload"
    resolver = said(programs, "shell.programs", "cat", "/etc/resolv.conf")
    assert "search programs.svc.cluster.local svc.cluster.local cluster.local" in resolver
    assert "ndots:5" in resolver


def test_a_job_runs_once_to_its_end(programs: Mesh) -> None:
    def phase() -> str:
        return programs.workload("programs", "stocktaking")["phase"]

    wait_for("the job has ended", lambda: phase() == "succeeded")
    log = programs.tulle("logs", "stocktaking", "-n", "programs").stdout
    assert "<h1>Served by nginx</h1>" in log
    assert programs.workload("programs", "stocktaking")["restarts"] == 0


def test_what_has_no_meaning_here_is_said_and_not_refused(programs: Mesh) -> None:
    images = ("--images", str(MANIFESTS / "images.yaml"))
    findings = programs.json("analyze", str(MANIFESTS / "kubernetes.yaml"), *images)["findings"]
    [resources] = [each for each in findings if each["field"].endswith("resources")]
    assert resources["severity"] == "info"
    assert resources["file"].endswith("kubernetes.yaml") and resources["line"] > 1


UNREADY = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: gate, namespace: apps}
spec:
  services:
    gate:
      port: 8000
      protocol: http
      command: python3 -m http.server 8000
      workdir: /tmp
      readiness: {exec: test -e /tmp/open, period: 200ms, failureThreshold: 1}
"""


def test_readiness_opens_and_closes_the_way(programs: Mesh) -> None:
    """The endpoint comes with the first good answer of the probe and goes with the first bad one."""

    def healthy() -> bool:
        found = programs.endpoints("client.apps", "outbound|8000||gate.apps.svc.cluster.local")
        return any(each["healthy"] for each in found)

    with programs.applied(UNREADY):
        wait_for("its probe has failed", lambda: "readiness" in programs.workload("apps", "gate")["message"])
        assert not programs.workload("apps", "gate")["ready"]
        assert programs.request("client.apps", "http://gate:8000/")["status"] == 503
        programs.execute("gate.apps", "touch", "/tmp/open")
        wait_for("it is an endpoint", healthy)
        assert programs.request("client.apps", "http://gate:8000/")["status"] == 200
        programs.execute("gate.apps", "rm", "/tmp/open")
        wait_for("it is no endpoint any more", lambda: not healthy())
        assert programs.request("client.apps", "http://gate:8000/")["status"] == 503


SICK = """
apiVersion: v1
kind: Pod
metadata: {name: sick, namespace: apps}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: sleep
    command: [sh, -c, "touch /tmp/alive; exec sleep infinity"]
    livenessProbe: {exec: {command: [test, -e, /tmp/alive]}, periodSeconds: 1, failureThreshold: 1}
"""


def test_liveness_starts_a_sick_process_again(programs: Mesh) -> None:
    with programs.applied(SICK):
        programs.ready("apps", "sick")
        programs.execute("sick.apps", "rm", "/tmp/alive")
        wait_for("it was started again", lambda: programs.workload("apps", "sick")["restarts"] >= 1)
        programs.ready("apps", "sick")
