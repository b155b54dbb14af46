"""More connections than a proxy has descriptors for, and as many as it shall carry."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from tests.netns.mesh import ROOT, TULLE, Mesh, mesh_in, program, wait_for
from tulle.agent.bootstrap import connection_limit

CROWD = ROOT / "tests" / "netns" / "manifests" / "crowd.yaml"
URL = "http://echo:8080/"
FEW_FILES = 1024
MANY = min(10_000, connection_limit(resource.getrlimit(resource.RLIMIT_NOFILE)[1]) * 4 // 5)
"""Ten thousand, or where the hard limit of descriptors is too low for that 80 % of what it allows."""
MOST_BYTES_FOR_ONE = 64 * 1024
"""What a pooled connection may cost its proxy."""


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh whose processes may have few files open."""
    home = tmp_path_factory.mktemp("narrow") / "home"
    with mesh_in(home, through=("prlimit", f"--nofile={FEW_FILES}:{FEW_FILES}")) as mesh:
        mesh.up(CROWD)
        yield mesh


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh whose processes may have as many files open as this machine allows."""
    with mesh_in(tmp_path_factory.mktemp("wide") / "home") as mesh:
        mesh.up(CROWD)
        yield mesh


class Crowd:
    """`programs/crowd.py`, step by step."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def told(self) -> dict[str, int]:
        """What became of the next number of connections, which stay open."""
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())

    def go_on(self) -> None:
        """To the next number; after the last one all are closed."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()


@contextmanager
def crowd(mesh: Mesh, workload: str, url: str, *numbers: int) -> Generator[Crowd]:
    command = ["exec", workload, "--", "python3", "-c", program("crowd"), url, *map(str, numbers)]
    with subprocess.Popen(
        mesh.command(TULLE, *command),
        env=mesh.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Crowd(process)
        finally:
            assert process.stdin
            process.stdin.close()


def allocated_bytes(mesh: Mesh, name: str) -> int:
    """What a proxy has asked its allocator for and not given back (Envoy's admin interface, /memory)."""
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(os.fspath(mesh.layout.admin_socket("crowd", name)))
        admin.sendall(b"GET /memory HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\n\r\n")
        with admin.makefile("rb") as answer:
            content = answer.read()
    return int(json.loads(content[content.index(b"{") : content.rindex(b"}") + 1])["allocated"])


@pytest.mark.parametrize("workload", ["stranger.crowd", "client.crowd"])
def test_more_connections_than_descriptors_are_refused_and_the_others_answered(
    narrow: Mesh, workload: str
) -> None:
    """The stranger meets the limit of the server's proxy, the client that of its own."""
    limit = connection_limit(FEW_FILES)
    proxies = [narrow.proxy_process("crowd", name) for name in ("client", "echo")]
    with crowd(narrow, workload, URL, limit // 2, limit * 2, limit * 2) as connections:
        assert connections.told() == {"answered": limit // 2, "refused": 0, "open": limit // 2}
        connections.go_on()
        told = connections.told()
        print(f"limit {limit}, {limit * 2} connections: {told}")
        assert limit * 3 // 4 <= told["answered"] <= limit
        assert told["refused"] == limit * 2 - told["answered"]
        connections.go_on()
        assert connections.told()["answered"] >= told["answered"] - 8, "those that were open stay so"
        connections.go_on()
    assert narrow.request(workload, URL)["status"] == 200
    with crowd(narrow, workload, URL, limit // 2) as connections:
        assert connections.told()["answered"] == limit // 2, "as before"
    assert [narrow.proxy_process("crowd", name) for name in ("client", "echo")] == proxies


def test_ten_thousand_pooled_connections_through_one_proxy(wide: Mesh) -> None:
    wide.request("client.crowd", URL)
    before = allocated_bytes(wide, "client")
    with crowd(wide, "client.crowd", URL, MANY, MANY) as connections:
        assert connections.told() == {"answered": MANY, "refused": 0, "open": MANY}
        connections.go_on()
        assert connections.told() == {"answered": MANY, "refused": 0, "open": MANY}, "once more, on the same"
        held = allocated_bytes(wide, "client")
        each = (held - before) / MANY
        print(f"{MANY} pooled connections: {(held - before) / 2**20:.0f} MiB, {each / 1024:.1f} KiB each")
        assert each <= MOST_BYTES_FOR_ONE
        connections.go_on()
    wait_for(
        "the memory is given back",
        lambda: allocated_bytes(wide, "client") - before < (held - before) / 10,
    )
