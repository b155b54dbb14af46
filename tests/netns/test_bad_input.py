"""What is wrong gets an answer: where, what, what to do, status 1, and nothing half done."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.netns.mesh import TULLE, Mesh, mesh_in, terminal, wait_for
from tulle.app import supervisor

PAIR = Path(__file__).with_name("manifests") / "pair.yaml"
URL = "http://echo:8080/"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mesh, str]]:
    """A mesh that has to go on, whatever it is told; and the join token that its agent has used."""
    with mesh_in(tmp_path_factory.mktemp("running") / "home") as mesh:
        mesh.up(PAIR)
        yield mesh, (mesh.home / "join-token").read_text().strip()
        assert mesh.request("client.pair", URL)["status"] == 200
        assert {each["proxy"]["state"] for each in mesh.status()["workloads"]} == {"synced"}


@pytest.fixture
def running(started: tuple[Mesh, str]) -> Mesh:
    return started[0]


def app(name: str, service: str) -> str:
    return f"""apiVersion: tulle.dev/v1
kind: App
metadata: {{name: {name}, namespace: bad}}
spec:
  services:
    {name}: {{{service}}}
"""


# -- documents --------------------------------------------------------------------------------------

DOCUMENTS = {
    "malformed YAML": ("kind: App\nmetadata: {name: x\n", "3:1", "yaml", "bracket"),
    "unknown kind": ("apiVersion: v1\nkind: Sevice\nmetadata: {name: x}\n", "2:1", "“Sevice”", "Service"),
    "unknown field": (app("x", "comand: sleep 1, command: sleep 1"), "6:", "“comand”", "command"),
    "wrong type": (app("x", "command: sleep 1, port: eighty"), "6:", "spec.services.x.port", "number"),
    "out of range": (app("x", "command: sleep 1, port: 70000"), "6:", "spec.services.x.port", ""),
    "no command": (app("x", "port: 80"), "6:", "spec.services.x", "command"),
    "one name twice": (
        "apiVersion: tulle.dev/v1\nkind: App\nmetadata: {name: x}\nspec:\n  services:\n"
        "    web-v1: {command: sleep 1}\n    web: {command: sleep 1, versions: {v1: {}}}\n",
        "7:",
        "“web-v1”",
        "Rename",
    ),
    "one name in two documents": (
        app("web", "command: sleep 1")
        + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: bad}\n"
        + "spec: {containers: [{name: a, command: [sleep, infinity]}]}\n",
        "",
        "workload called web",
        "Rename",
    ),
    "exclusive fields": (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec:\n"
        "  hosts: [x]\n  http:\n  - route: [{destination: {host: x}}]\n    redirect: {uri: /}\n",
        "",
        "spec.http[0]",
        "",
    ),
}


@pytest.mark.parametrize("what", DOCUMENTS)
def test_a_document_that_is_wrong_starts_nothing(mesh: Mesh, tmp_path: Path, what: str) -> None:
    text, line, message, remedy = DOCUMENTS[what]
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    refused = mesh.tulle("up", file, "-d", status=1)
    assert f"{file}:{line}" in refused.stderr
    assert message.lower() in refused.stderr.lower()
    [*_, fix] = re.findall(r"^  fix: (.+)$", refused.stderr, re.MULTILINE)
    assert remedy in refused.stderr and fix
    assert supervisor.running(mesh.home) is None
    assert not mesh.layout.run.exists()


@pytest.mark.parametrize("what", DOCUMENTS)
def test_a_document_that_is_wrong_changes_nothing(running: Mesh, what: str) -> None:
    text, line, message, _ = DOCUMENTS[what]
    revision = running.status()["controlPlane"]["revision"]
    good = app("good", "command: sleep 1")
    refused = running.apply(f"{text}---\n{good}", status=1)
    assert f"-:{line}" in refused.stderr and message.lower() in refused.stderr.lower()
    assert running.json("get", "app", "-n", "bad")["items"] == []
    assert running.status()["controlPlane"]["revision"] == revision


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--nonsense"),
        ("nonsense",),
        ("apply",),
        ("exec", "client.pair"),
        ("get",),
        ("get", "nonsense"),
        ("up", "--timeout", "soon"),
        ("run", "--service", "x", "--port", "70000", "--", "true"),
        ("proxy", "nonsense", "client.pair"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(running: Mesh, arguments: tuple[str, ...]) -> None:
    refused = running.tulle(*arguments, status=2)
    assert refused.stderr.startswith("error: ")
    assert "  fix: " in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "not-there.yaml", "-d"),
        ("apply", "-f", "not-there.yaml"),
        ("exec", "nobody", "--", "true"),
        ("logs", "nobody"),
        ("proxy", "routes", "nobody"),
        ("get", "app", "nobody"),
        ("delete", "app", "nobody"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_named(running: Mesh, arguments: tuple[str, ...]) -> None:
    refused = running.tulle(*arguments, status=1)
    assert refused.stderr.startswith("error: ")
    assert "nobody" in refused.stderr or "not-there.yaml" in refused.stderr
    assert "  fix: " in refused.stderr


def test_without_a_mesh_commands_say_how_to_start_one(mesh: Mesh) -> None:
    for arguments in (("status",), ("get", "app"), ("exec", "x", "--", "true"), ("logs", "x")):
        refused = mesh.tulle(*arguments, status=1)
        assert refused.stderr.startswith("error: ") and "tulle up" in refused.stderr


# -- programs ---------------------------------------------------------------------------------------

PROGRAMS = {
    "it does not exist": ("command: not-a-program --flag", "not-a-program"),
    "it ends at once": ("command: sh -c 'echo no such database >&2; exit 3'", "exit status 3"),
    "its port is taken": (
        "command: python3 -m http.server 15006, port: 15006, readiness: {tcp: 81}",
        "Address already in use",
    ),
    "its probe fails": (
        "command: sleep infinity, port: 80, readiness: {http: /, period: 200ms}",
        "readiness",
    ),
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_a_program_that_does_not_run_is_named_with_its_reason(
    running: Mesh, tmp_path: Path, what: str
) -> None:
    service, reason = PROGRAMS[what]
    file = tmp_path / "app.yaml"
    file.write_text(app("faulty", service))
    try:
        failed = running.tulle("up", file, "-d", "--timeout", "4s", status=1)
        assert "bad/faulty" in failed.stderr and reason in failed.stderr
        wait_for("the status says it", lambda: reason in running.workload("bad", "faulty")["message"])
    finally:
        running.tulle("delete", "-f", file)


def test_what_a_program_said_last_is_shown(running: Mesh) -> None:
    with running.applied(app("faulty", PROGRAMS["it ends at once"][0])):
        wait_for(
            "the status says it",
            lambda: "no such database" in running.workload("bad", "faulty")["message"],
        )
        assert "no such database" in running.tulle("logs", "faulty", "-n", "bad").stdout


def test_a_taken_port_of_this_machine_is_not_taken_again(running: Mesh) -> None:
    """A gateway asks for the loopback port of its number; somebody has it."""
    gateway = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: taken, namespace: pair}
spec: {gatewayClassName: tulle, listeners: [{name: http, port: PORT, protocol: HTTP}]}
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with running.applied(gateway.replace("PORT", str(port))):
            running.ready("pair", "taken-istio")
            host, _, local = running.local("pair", "taken").partition(":")
            assert (host, local != str(port)) == ("127.0.0.1", True)
            socket.create_connection((host, int(local)), timeout=10).close()


LISTENERS = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: pair}
spec:
  gatewayClassName: tulle
  listeners:
  - {name: http, port: 8090, protocol: HTTP}
"""
ANOTHER = "  - {name: more, port: 8091, protocol: HTTP}\n"
ROUTE = """---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: front, namespace: pair}
spec: {parentRefs: [{name: front}], rules: [{backendRefs: [{name: echo, port: 8080}]}]}
"""


@contextmanager
def occupied(namespace: Path, port: int) -> Iterator[None]:
    """Somebody else has a port in a network namespace."""
    listen = f"import socket; s = socket.create_server(('0.0.0.0', {port})); print(flush=True); s.accept()"
    command = ["nsenter", f"--net={namespace}", "--", "python3", "-c", listen]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        try:
            yield
        finally:
            holder.kill()


@pytest.mark.root_only("from this machine only loopback ports lead into an ordinary user's mesh")
def test_an_envoy_that_refuses_is_named_with_the_line_and_keeps_what_it_had(running: Mesh) -> None:
    with running.applied(LISTENERS + ROUTE):
        address = running.ready("pair", "front-istio")["address"]
        (namespace,) = running.layout.namespaces.glob("pair.front-istio.*")
        with occupied(namespace, 8091):
            refused = running.apply(LISTENERS + ANOTHER + ROUTE, status=1)
            assert "the proxy of pair/front-istio refused" in refused.stderr
            assert "Address already in use" in refused.stderr and "Gateway pair/front" in refused.stderr
            assert re.search(r"^  at -:\d+:\d+$", refused.stderr, re.MULTILINE)
            assert "  fix: " in refused.stderr
            proxy = running.workload("pair", "front-istio")["proxy"]
            assert proxy["state"] == "rejected" and "Address already in use" in proxy["error"]
            assert proxy["because"]["kind"] == "Gateway"
            written = running.json("get", "gateway", "front", "-n", "pair")
            assert len(written["spec"]["listeners"]) == 2, "it is stored"
            (programmed,) = (each for each in written["status"]["conditions"] if each["type"] == "Programmed")
            assert programmed["status"] == "False" and "Address already in use" in programmed["message"]
            answer = running.run("curl", "-sS", f"http://{address}:8090/")
            assert '"name": "echo-' in answer, "the last good configuration holds"
        running.apply(LISTENERS + ROUTE)
        assert running.ready("pair", "front-istio")["proxy"]["state"] == "synced"


# -- the machine ------------------------------------------------------------------------------------


def test_a_missing_nft_is_named_with_its_package(mesh: Mesh) -> None:
    hidden = 'for each in $(which -a nft); do mount --bind /dev/null "$each"; done; exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", hidden, "sh", *mesh.command(TULLE, "up", PAIR, "-d")]
    refused = subprocess.run(command, env=mesh.env, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert re.search(r"^error: .*\bnft\b.*nftables", line)
    assert supervisor.running(mesh.home) is None
    assert not mesh.layout.run.exists()


@contextmanager
def disk(path: Path, size: str) -> Iterator[Path]:
    """A file system of that size."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> None:
    """Leave no room on a file system."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass


@pytest.mark.root_only("the disk is one that root mounts")
def test_a_full_disk_starts_nothing(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "64k") as full, mesh_in(full / "home") as mesh:
        fill(full / "filler")
        refused = mesh.tulle("up", PAIR, "-d", status=1)
        assert "No space left" in refused.stderr and str(mesh.home) in refused.stderr
        assert "  fix: " in refused.stderr
        assert supervisor.running(mesh.home) is None


@pytest.mark.root_only("the disk is one that root mounts")
def test_a_disk_that_fills_up_refuses_changes_and_serves_on(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "64m") as full, mesh_in(full / "home") as mesh:
        mesh.up(PAIR)
        fill(full / "filler")
        refused = mesh.apply(app("more", "command: sleep infinity"), status=1)
        assert "disk is full" in refused.stderr and "  fix: " in refused.stderr
        assert mesh.json("get", "app", "-n", "bad")["items"] == []
        assert mesh.request("client.pair", URL)["status"] == 200
        (full / "filler").unlink()
        mesh.apply(app("more", "command: sleep infinity"))
        mesh.ready("bad", "more")


# -- state ------------------------------------------------------------------------------------------

STATE = {
    "store": "controlplane/store.db",
    "key": "controlplane/authority/authority.pem",
    "hosts": "controlplane/enrolment.json",
}


@pytest.mark.parametrize("what", STATE)
def test_a_control_plane_with_a_damaged_file_names_it_and_does_not_start(
    mesh: Mesh, tmp_path: Path, what: str
) -> None:
    with terminal(mesh, "controlplane", "--join-token-file", tmp_path / "token") as plane:
        plane.until("serves")
        plane.process.send_signal(signal.SIGTERM)
        assert plane.end()[0] == 0
    path = mesh.home / STATE[what]
    assert path.exists()
    for copy in path.parent.glob(f"{path.name}*"):
        copy.write_bytes(b"garbage" * 1000)
    refused = mesh.tulle("controlplane", status=1)
    assert refused.stderr.startswith("error: ") and str(path) in refused.stderr


def test_a_damaged_store_comes_back_from_its_copy(running: Mesh) -> None:
    plane = running.daemon("controlplane")
    assert plane
    os.kill(plane, signal.SIGSTOP)
    store = running.home / STATE["store"]
    store.write_bytes(b"garbage" * 10_000)
    os.kill(plane, signal.SIGKILL)
    wait_for("it was started again", lambda: running.daemon("controlplane") not in (None, plane))
    wait_for("it answers", lambda: running.tulle("status", status=None).returncode == 0)
    assert [each["metadata"]["name"] for each in running.json("get", "app", "-A")["items"]] == ["pair"]
    running.synced()


# -- strangers --------------------------------------------------------------------------------------

GARBAGE = {
    "bytes": os.urandom(4096),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": bytes.fromhex("16030100ff010000fb0303") + b"\0" * 244,
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 1000,
    "nothing": b"",
}
SOCKETS = [
    "api.sock",
    "controlplane.sock",
    "join.sock",
    "agent.sock",
    "dns.sock",
    "proxy/pair.client/xds.sock",
]


@pytest.mark.parametrize("name", SOCKETS)
def test_garbage_on_a_socket_changes_nothing(running: Mesh, name: str) -> None:
    before = running.status()
    daemons = [running.daemon("controlplane"), running.daemon("agent")]
    for garbage in GARBAGE.values():
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(10)
            stranger.connect(str(running.layout.run / name))
            stranger.sendall(garbage)
            stranger.shutdown(socket.SHUT_WR)
            try:
                while stranger.recv(4096):
                    pass
            except ConnectionResetError:
                pass
    assert [running.daemon("controlplane"), running.daemon("agent")] == daemons
    after = running.status()
    assert [each["proxy"]["state"] for each in after["workloads"]] == ["synced"] * 3
    assert after["controlPlane"]["revision"] == before["controlPlane"]["revision"]
    assert running.request("client.pair", URL)["status"] == 200


def test_an_agent_with_a_token_that_is_wrong_or_used_is_refused(
    started: tuple[Mesh, str], tmp_path: Path
) -> None:
    running, used = started
    secret, _, root = used.partition(".")
    log = running.home / "logs" / "controlplane.log"
    known = len(log.read_text())
    targets = ["--join", f"unix:{running.layout.join_socket}"]
    targets += ["--controlplane", f"unix:{running.layout.controlplane_socket}"]
    for name, token, reason in (
        ("wrong", f"{'A' * len(secret)}.{root}", "refused"),
        ("used", used, "refused"),
        ("other", f"{secret}.{'0' * len(root)}", "another root"),
        ("none", "no token at all", "token"),
    ):
        stranger = replace(running, home=tmp_path / name)
        refused = stranger.tulle("agent", *targets, "--join-token-file", "-", text=f"{token}\n", status=1)
        assert refused.stderr.splitlines()[-1].startswith("error: ") and reason in refused.stderr
    logged = [line for line in log.read_text()[known:].splitlines() if "refused a peer" in line]
    assert len(logged) == 1 and "unknown join token" in logged[0], logged
    assert [each["name"] for each in running.status()["controlPlane"]["hosts"]] == ["local"]
