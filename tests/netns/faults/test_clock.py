"""Somebody sets the machine's clock by a day, in either direction and back, at 300 requests/s.

CLOCK_REALTIME has no namespace: a library that the dynamic linker loads before all others, in a mount
namespace of the mesh's own, moves it for the control plane, the agent and every Envoy alike.
"""

from __future__ import annotations

import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from tests.netns.faults.conftest import THREE
from tests.netns.faults.load import RATE, load
from tests.netns.faults.test_process import ALL, NAMES, URL, all_ready, restarts, tell
from tests.netns.mesh import PROGRAMS, Mesh, mesh_in, wait_for

DAY_SECONDS = 86_400
REISSUED_SECONDS = 10.0
_OFFSET = Path("/etc/tulle-test-clock")


class Clock:
    """The wall clock of one mount namespace."""

    def __init__(self, offset: Path) -> None:
        self._offset = offset
        self.seconds = 0
        self.set(0)

    def set(self, seconds: int) -> None:
        """So many seconds after the machine's own."""
        self.seconds = seconds
        with self._offset.open("r+b" if self._offset.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))

    def now(self) -> float:
        return time.time() + self.seconds


@contextmanager
def own_clock(folder: Path) -> Iterator[tuple[Clock, tuple[str, ...]]]:
    """A clock, and how to run a command under it."""
    library = folder / "clock.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", f'-DCLOCK_OFFSET="{_OFFSET}"', "-o", library, PROGRAMS / "clock.c"],
        check=True,
    )
    upper = folder / "upper"
    for each in (upper, folder / "work"):
        each.mkdir()
    (upper / "clock.so").write_bytes(library.read_bytes())
    (upper / "clock.so").chmod(0o755)
    (upper / "ld.so.preload").write_text("/etc/clock.so\n")
    clock = Clock(upper / _OFFSET.name)
    (upper / _OFFSET.name).chmod(0o644)
    mount = f"mount -t overlay overlay -o lowerdir=/etc,upperdir={upper},workdir={folder}/work /etc"
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-ec", f"{mount}; echo mounted; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin and holder.stdout
        try:
            assert holder.stdout.readline() == "mounted\n"
            yield clock, ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--")
        finally:
            holder.stdin.close()


@pytest.fixture(scope="module")
def clocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mesh, Clock]]:
    folder = tmp_path_factory.mktemp("clock")
    with own_clock(folder) as (clock, through), mesh_in(folder / "home", through=through) as mesh:
        mesh.up(THREE)
        yield mesh, clock


def expiries(mesh: Mesh) -> dict[str, float]:
    """When the certificate of each proxy ends, by the clock of the mesh."""
    found = {each["name"]: each["proxy"]["certificateExpires"] for each in mesh.status()["workloads"]}
    return {name: datetime.fromisoformat(said).timestamp() for name, said in found.items() if said}


def renewed(mesh: Mesh, clock: Clock) -> bool:
    """Whether every proxy has a certificate that was made after the clock was set."""
    ends = expiries(mesh)
    most = clock.now() + DAY_SECONDS
    return ends.keys() == set(NAMES) and all(most - 120 < each <= most + 60 for each in ends.values())


@pytest.mark.parametrize(
    ("seconds", "stranger"),
    [(DAY_SECONDS + 60, "echo-1"), (0, "echo-2"), (-DAY_SECONDS, "echo-3"), (0, "echo-1")],
)
def test_when_the_clock_jumps_everything_is_issued_anew_and_connections_live(
    clocked: tuple[Mesh, Clock], seconds: int, stranger: str
) -> None:
    mesh, clock = clocked
    before = restarts(mesh)
    with load(mesh, "client.three", URL, *ALL) as outcome:
        began = time.monotonic()
        clock.set(seconds)
        wait_for("every proxy has a new certificate", lambda: renewed(mesh, clock))
        took = time.monotonic() - began
        all_ready(mesh)
        # Who was not connected yet has to shake hands with the new certificates.
        assert mesh.request(f"{stranger}.three", URL)["status"] == 200
    tell(f"clock set to {seconds:+d} s, issued anew after {took:.1f} s", outcome)
    # Proxies that are connected stay so; who connects anew before that has a certificate of another time.
    assert outcome.outage_seconds <= took
    assert len(outcome.failures()) < RATE * took
    assert restarts(mesh) == before
