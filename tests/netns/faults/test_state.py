"""The mesh's state directory is full under load: what runs goes on, what dies comes back, changes are refused
with a reason; and when there is room again everything works, without a restart."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.netns.faults.conftest import THREE
from tests.netns.faults.envoy import listening
from tests.netns.faults.load import load
from tests.netns.mesh import Mesh, mesh_in, wait_for

URL = "http://echo:8080/"
IDEMPOTENT = ("GET", "PUT", "DELETE")
ALL = (*IDEMPOTENT, "POST")
APP = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: newcomer, namespace: late}
spec: {services: {newcomer: {command: sleep infinity}}}
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Mesh]:
    """The mesh of three on a file system of its own with little room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "small", str(disk)], check=True)
    try:
        with mesh_in(disk / "home") as mesh:
            mesh.up(THREE)
            yield mesh
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextmanager
def full(mesh: Mesh) -> Generator[Path]:
    """There is no room while the block runs, but for what somebody gives back: `fill` takes that too."""
    filling = mesh.home.parent / "filling"
    try:
        fill(filling)
        yield filling
    finally:
        filling.unlink()


def fill(filling: Path) -> None:
    with filling.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC


def ready(mesh: Mesh) -> None:
    for each in ("client", "echo-1", "echo-2", "echo-3"):
        mesh.ready("three", each)


def restarted(mesh: Mesh, name: str) -> None:
    first = wait_for(f"the {name} runs", lambda: mesh.daemon(name))
    os.kill(first, signal.SIGKILL)
    wait_for(f"another {name} runs", lambda: mesh.daemon(name) not in (first, None))
    wait_for("it answers", lambda: mesh.tulle("status", status=None).returncode == 0)
    ready(mesh)


def another(mesh: Mesh, first: int) -> bool:
    try:
        now = mesh.proxy_process("three", "echo-1")
    except ValueError:
        return False
    return now != first and listening(mesh, "three", "echo-1")


def test_a_full_state_directory_stops_changes_and_nothing_else(small: Mesh) -> None:
    ready(small)
    with load(small, "client.three", URL, *ALL) as outcome:
        with full(small) as filling:
            refused = small.apply(APP, status=1).stderr
            assert "Make room on the disk" in refused
            assert "late" not in small.tulle("get", "apps", "-A", status=None).stdout
            envoy = small.proxy_process("three", "echo-1")
            os.kill(envoy, signal.SIGKILL)
            wait_for("another Envoy serves", lambda: another(small, envoy))
            first = small.program_process("three", "echo-2", "echo.py")
            assert first
            os.kill(first, signal.SIGKILL)
            wait_for(
                "another program runs",
                lambda: small.program_process("three", "echo-2", "echo.py") not in (first, None),
            )
            ready(small)
            restarted(small, "agent")
            restarted(small, "controlplane")
            fill(filling)  # a control plane that starts puts its log into its file
            assert "Make room on the disk" in small.apply(APP, status=1).stderr
        daemons = {each: small.daemon(each) for each in ("agent", "controlplane")}
        small.apply(APP)
        small.ready("late", "newcomer")
        kept = small.home / "agent" / "cache" / "late%2Fnewcomer.ads"
        wait_for("what it was given is on disk", kept.exists)
        assert {each: small.daemon(each) for each in daemons} == daemons, "nothing had to be started again"
    print(f"a full state directory: {len(outcome.failures())} of {outcome.total()} failed")
    assert outcome.failures(*IDEMPOTENT) == []
    for daemon in ("agent", "controlplane", "supervisor"):
        assert "Traceback" not in (small.layout.logs / f"{daemon}.log").read_text(), daemon
