"""What workloads of an ordinary user's mesh reach outside of it, with pasta and without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.netns.mesh import PROGRAMS, Mesh, mesh_in, wait_for
from tests.netns.person import Person, person

TOWN = Path(__file__).with_name("manifests") / "town.yaml"
MACHINE = "192.0.2.1"
"""The address of the machine on its network."""
PORT = 8400
NETWORK = f"""
ip link set lo up
ip link add lan type veth peer name far
ip address add {MACHINE}/24 dev lan
ip link set lan up
ip link set far up
ip route add default via 192.0.2.254
exec "$@"
"""
WITHOUT_PASTA = 'mount --bind /dev/null "$(command -v pasta)" && exec "$@"'
NOTHING_OUTSIDE = "workloads reach nothing outside of the mesh: install pasta"


@pytest.fixture(scope="module")
def machine() -> Iterator[int]:
    """A machine with a network of its own: the process id of its server, which listens on all addresses."""
    server = [sys.executable, str(PROGRAMS / "echo.py"), str(PORT)]
    with subprocess.Popen(["unshare", "--net", "sh", "-ec", NETWORK, "sh", *server]) as process:
        try:
            listening = ["nsenter", f"--target={process.pid}", "--net", "ss", "-Hlt", f"sport = {PORT}"]
            wait_for("its server listens", lambda: process.poll() or subprocess.check_output(listening))
            yield process.pid
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def somebody(machine: int) -> Iterator[Person]:
    with person() as somebody:
        yield replace(somebody, before=("nsenter", f"--target={machine}", "--net", "--"))


def answered(mesh: Mesh, address: str) -> bool:
    """Whether a workload gets an answer from the server of that machine."""
    command = ("curl", "-sS", "-m", "10", "-w", "%{http_code}", f"http://{address}:{PORT}/")
    return mesh.execute("client.town", *command, status=None).stdout.endswith("200")


def uplink(mesh: Mesh) -> str:
    """The address beyond the hub's own end."""
    pid = mesh.daemon("agent")
    command = ["nsenter", f"--target={pid}", "--user", "--preserve-credentials", "--net", "ip", "route"]
    words = subprocess.check_output(command, text=True).split()
    return words[words.index("default") + 2]


def test_a_workload_reaches_the_network_by_pasta_and_not_what_listens_on_loopback(somebody: Person) -> None:
    with mesh_in(somebody.folder / "home", somebody) as mesh:
        said = mesh.tulle("up", TOWN, "-d", timeout=180)
        assert "outside of the mesh" not in said.stdout + said.stderr + mesh.tulle("status").stderr
        wait_for("the way out is open", lambda: answered(mesh, MACHINE))
        hub = mesh.execute("client.town", "cat", "/etc/resolv.conf").stdout.split()[1]
        assert not answered(mesh, hub), "the hub is not this machine"
        assert not answered(mesh, uplink(mesh)), "its gateway is not this machine's loopback"


def test_without_pasta_it_says_so_and_the_mesh_works(somebody: Person) -> None:
    hidden = ("unshare", "--mount", "sh", "-c", WITHOUT_PASTA, "sh")
    lacking = replace(somebody, before=(*somebody.before, *hidden))
    with mesh_in(somebody.folder / "lacking", lacking) as mesh:
        said = mesh.tulle("up", TOWN, "-d", timeout=180)
        assert NOTHING_OUTSIDE in said.stderr
        assert NOTHING_OUTSIDE in mesh.tulle("status").stderr
        assert mesh.request("client.town", "http://echo/")["status"] == 200
        assert not answered(mesh, MACHINE)
