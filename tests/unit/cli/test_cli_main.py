"""How commands end: statuses, sentences, no traceback ever."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.unit.api.fake import FakeMesh, finding, served
from tests.unit.cli.conftest import Tulle
from tulle.agent.layout import Layout
from tulle.app import supervisor
from tulle.cli import client, output, status
from tulle.cli.failure import Failure

TULLE = [sys.executable, "-m", "tulle.cli.main"]


def test_without_a_mesh_every_command_says_so(tulle: Tulle, layout: Layout) -> None:
    for command in (["status"], ["get", "svc"], ["analyze"], ["logs", "x"], ["proxy", "routes", "x"]):
        done = tulle(*command)
        assert done.status == 1, command
        assert "error: no mesh is running here: the control plane does not listen" in done.err, command
        assert "fix: start one: `tulle up PATH...`" in done.err


def test_a_socket_of_another_user_is_explained(
    tulle: Tulle, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout.api_socket.touch()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    done = tulle("status")
    assert done.err == "error: this mesh belongs to another user\n  fix: run the command with sudo\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "error: no such command 'nonsense'\n  fix: see `tulle --help`\n"),
        (["status", "--nonsense"], "error: no such option: --nonsense\n  fix: see `tulle status --help`\n"),
        (["get"], "error: missing argument 'KIND [NAME]'"),
        (["get", "svc", "-o", "xml"], "'xml' is not one of 'table', 'json', 'yaml'"),
        (["apply"], "error: no files given\n  fix: name files or folders with -f"),
        (["apply", "-f", "-", "--timeout", "soon"], "error: 'soon' is not a duration"),
        (["run", "-s", "x", "-p", "70000", "--", "true"], "less than or equal to 65535"),
        (["get", "svc", "x", "-A"], "error: -A goes with neither -n nor a name"),
        (["analyze", "--only-schema"], "error: --only-schema looks at files"),
        (["logs", "a/b/c"], "error: 'a/b/c' is no name of a workload"),
        (["up", "--watch", "-d"], "error: --watch needs the foreground"),
        (["controlplane", "--workload-subnet", "10.0.0.0/99"], "error: '10.0.0.0/99' is no IPv4 subnet"),
    ],
)
def test_wrong_usage_ends_with_2(
    tulle: Tulle, mesh: FakeMesh, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    done = tulle(*arguments)
    assert done.status == 2, done.err
    assert message in done.err
    assert done.out == ""


def test_help_teaches(tulle: Tulle) -> None:
    menu = tulle("--help")
    assert menu.status == 0
    for word in ("up", "demo", "apply", "status", "proxy", "Start here", "Exit status"):
        assert word in menu.out
    for command in (
        "up",
        "down",
        "demo",
        "run",
        "exec",
        "apply",
        "delete",
        "get",
        "status",
        "logs",
        "analyze",
    ):
        shown = tulle(command, "--help")
        assert shown.status == 0, command
        assert "Example" in shown.out, command
    assert tulle("--version").out.startswith("tulle ")


def test_a_mistake_of_ours_leaves_no_traceback_on_the_screen(
    tulle: Tulle, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("[bold]a mistake")

    monkeypatch.setattr(client, "mesh", broken)
    done = tulle("status")
    log = layout.home / "logs" / "cli-error.log"
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        f"error: ZeroDivisionError: [bold]a mistake\n  this is a fault in tulle; its details are in {log}\n"
    )
    assert "Traceback" in log.read_text()


def test_a_mistake_is_told_even_when_it_cannot_be_written_down(
    tulle: Tulle, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a mistake")

    layout.home.write_text("a file where the folder should be")
    monkeypatch.setattr(client, "mesh", broken)
    assert "its details could not be written" in tulle("status").err


def test_ctrl_c_is_quiet(tulle: Tulle, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "mesh", interrupted)
    done = tulle("status")
    assert (done.status, done.out, done.err) == (130, "", "")


def test_ctrl_c_while_modules_are_imported_is_quiet(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*TULLE, "status"], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_nothing_is_imported_before_ctrl_c_is_seen_to() -> None:
    program = "import sys; before = set(sys.modules); import tulle; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tulle"]


def test_a_reader_that_has_enough_is_no_error(layout: Layout) -> None:
    """`tulle ... | head` with a reader that is already gone."""
    environment = {**os.environ, "TULLE_HOME": str(layout.home)}
    process = subprocess.Popen(
        [*TULLE, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) in (1, 128 + signal.SIGPIPE)
    assert said == b""


def test_what_is_piped_has_no_colour_and_is_not_cut(tulle: Tulle, mesh: FakeMesh) -> None:
    done = tulle("status", "--wide")
    assert "\x1b" not in done.out + done.err
    assert "…" not in done.out


def test_findings_of_the_running_mesh(tulle: Tulle, mesh: FakeMesh) -> None:
    assert tulle("analyze").err == "nothing found\n"
    mesh.warn = (finding(file="/nowhere.yaml"),)
    done = tulle("analyze")
    assert done.status == 1
    assert "error: HTTPRoute shop/r: spec.x: there is no field" in done.out
    assert "  at /nowhere.yaml:3:5" in done.out
    assert done.err == "1 error\n"


def test_values_are_never_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["NAME"], [["[/not a tag]"], ["[red]x"]])
    output.complain(Failure("[/x]", where="[bold]:1:1", remedy="[/y]"))
    out, err = capsys.readouterr()
    assert "[/not a tag]" in out
    assert "[red]x" in out
    assert err == "error: [/x]\n  at [bold]:1:1\n  fix: [/y]\n"


def test_a_control_plane_that_goes_away_is_said_so(tulle: Tulle, layout: Layout) -> None:
    with served(FakeMesh(), layout.api_socket):
        assert tulle("status").status == 0
    assert tulle("status").err.startswith("error: no mesh is running here")


def test_a_control_plane_that_is_being_started_again_is_waited_for(layout: Layout) -> None:
    with ExitStack() as stack:
        started: list[object] = []

        def kept() -> bool:
            if not started:
                started.append(stack.enter_context(served(FakeMesh(), layout.api_socket)))
            return True

        assert client.Client(layout.api_socket, kept).status().control_plane


def test_a_control_plane_that_does_not_come_back_is_said_to_be_away(
    layout: Layout, tulle: Tulle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_RETURN_SECONDS", 0.0)
    kept = supervisor.claim(layout.home)
    assert kept is not None
    try:
        first, then, *_ = tulle("status").err.splitlines()
        assert first == "waiting for the control plane to come back; what runs goes on as it is"
        assert then == "error: the control plane is away and has not come back yet"
    finally:
        os.close(kept)
    assert tulle("status").err.startswith("error: no mesh is running here")


def test_whoever_waits_for_a_start_is_told_at_once(layout: Layout) -> None:
    asked: list[None] = []
    assert not client.Client(layout.api_socket, lambda: not asked.append(None)).is_ready()
    assert len(asked) == 1, "for the words, not for waiting"


def test_times_and_numbers_in_words() -> None:
    assert output.age(None) == ""
    assert output.plural(1, "proxy") == "1 proxy"
    assert output.plural(2, "proxy") == "2 proxies"
    assert output.plural(0, "error") == "0 errors"
    assert status.short_identity("spiffe://td/ns/shop/sa/a") == "shop/a"
    assert status.short_identity("spiffe://td/host/h") == "spiffe://td/host/h"
    assert output.shown(str(Path.cwd() / "a" / "b.yaml")) == "a/b.yaml"
    assert output.shown("/elsewhere/b.yaml") == "/elsewhere/b.yaml"
