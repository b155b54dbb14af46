"""The control plane and the agent are out of file descriptors, at 300 requests/s."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.netns.faults.load import hold, load, processor_seconds
from tests.netns.faults.test_process import ALL, URL, all_ready, daemon, restarts, tell
from tests.netns.mesh import Mesh, wait_for

SPARE = 3
CONNECTIONS = 60
OUT_SECONDS = 4.0


@contextmanager
def few_files(pid: int) -> Generator[None]:
    """It may open hardly any more than it has."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + SPARE, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("name", ["controlplane", "agent"])
def test_a_daemon_without_descriptors_fails_no_request_and_comes_back(three: Mesh, name: str) -> None:
    before = restarts(three)
    layout, pid = three.layout, daemon(three, name)
    doors = [layout.controlplane_socket, layout.api_socket, layout.join_socket]
    if name == "agent":
        doors = [layout.agent_socket, layout.resolver_socket]
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    assert soft == hard
    with load(three, "client.three", URL, *ALL) as outcome:
        with few_files(pid), ExitStack() as connections:
            for number in range(CONNECTIONS):
                knocking = connections.enter_context(socket.socket(socket.AF_UNIX))
                knocking.setblocking(False)
                knocking.connect(os.fspath(doors[number % len(doors)]))
            began = processor_seconds(pid)
            hold(OUT_SECONDS)
            spent = processor_seconds(pid) - began
        wait_for("it answers again", lambda: three.tulle("status", status=None).returncode == 0)
        all_ready(three)
        assert three.execute("client.three", "true").returncode == 0
    tell(f"the {name} out of descriptors, {spent:.2f} s of processor in {OUT_SECONDS:.0f} s", outcome)
    assert outcome.failures() == []
    assert spent < OUT_SECONDS / 2, "it waits, and does not try again and again"
    assert daemon(three, name) == pid
    assert restarts(three) == before
