"""A mesh of the benchmark's own: the real command line with a home in a temporary folder, down afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from benchmarks import process
from tulle.agent.layout import Layout, layout
from tulle.api.contract import Document, Status, WorkloadStatus
from tulle.cli.client import AgentClient, Client

TULLE = Path(sys.executable).with_name("tulle")
_PATIENCE_SECONDS = 60.0


class Failure(Exception):  # noqa: N818  an outcome
    """A measurement could not be made; the text says why."""


class Mesh:
    """One home. Everything in it belongs to the measurement."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @cached_property
    def layout(self) -> Layout:
        return layout(self.home, os.geteuid(), os.environ)

    @cached_property
    def environment(self) -> dict[str, str]:
        path = f"{TULLE.parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
        return {**os.environ, "TULLE_HOME": str(self.home), "PATH": path, "NO_COLOR": "1"}

    @cached_property
    def client(self) -> Client:
        return Client(self.layout.api_socket)

    @cached_property
    def agent(self) -> AgentClient:
        return AgentClient(self.layout.agent_socket)

    def tulle(self, *arguments: str | Path) -> str:
        """What a command prints. Raises Failure when it does not end with 0."""
        done = subprocess.run(
            [str(TULLE), *map(str, arguments)], env=self.environment, capture_output=True, text=True
        )
        if done.returncode:
            raise Failure(f"tulle {arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-1500:]}")
        return done.stdout

    def up(self, documents: str) -> None:
        """Run what the documents describe, and wait until everything is ready."""
        file = self.home / "mesh.yaml"
        self.home.mkdir(parents=True, exist_ok=True)
        file.write_text(documents)
        self.tulle("up", file, "-d")

    def apply(self, documents: str) -> None:
        """Change the mesh, and wait until the proxies have it."""
        self.settle(self.client.apply((Document(file="benchmark.yaml", text=documents),)).revision)

    def settle(self, revision: int) -> None:
        """Wait until every proxy has acknowledged what there is. Raises Failure."""
        last = None
        for progress in self.client.follow(revision, _PATIENCE_SECONDS):
            last = progress
        if last is None or not last.done or last.rejected:
            raise Failure(f"the proxies did not take it: {last}")

    def status(self) -> Status:
        return self.client.status()

    def workload(self, namespace: str, name: str) -> WorkloadStatus:
        for each in self.status().workloads:
            if (each.namespace, each.name) == (namespace, name):
                return each
        raise Failure(f"there is no workload {namespace}/{name}")

    def namespace(self, namespace: str, name: str) -> str:
        """The path of a workload's network namespace."""
        return f"/proc/{self.agent.enter(namespace, name)['pid']}/ns/net"

    def envoys(self, namespace: str, name: str) -> tuple[int, ...]:
        """The process ids of a workload's sidecar."""
        return self.processes(namespace, name, "envoy")

    def processes(self, namespace: str, name: str, program: str) -> tuple[int, ...]:
        """The processes of a program in a workload's network namespace. Raises Failure if there are none."""
        found = process.find(program, str(Path(self.namespace(namespace, name)).readlink()))
        if not found:
            raise Failure(f"no {program} runs in {namespace}/{name}")
        return found

    def daemon(self, name: str) -> int:
        """The process id of `controlplane` or `agent`."""
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_text().split("\0") if entry.name.isdigit() else []
                ours = f"TULLE_HOME={self.home}" in (entry / "environ").read_text().split("\0")
            except OSError:
                continue
            if ours and name in words and "tulle.cli.main" in words:
                return int(entry.name)
        raise Failure(f"the {name} does not run")


@contextmanager
def own_mesh() -> Iterator[Mesh]:
    """A home in a temporary folder. Whatever happens, its mesh is down again after the block."""
    with tempfile.TemporaryDirectory(prefix="tulle-benchmark-", ignore_cleanup_errors=True) as folder:
        mesh = Mesh(Path(folder) / "home")
        try:
            yield mesh
        finally:
            mesh.tulle("down")


def inside(namespace: str, command: Sequence[str]) -> list[str]:
    """The command line of a program of ours in a workload's network namespace. `nsenter` becomes the program,
    so that its process id is the program's."""
    return ["nsenter", f"--net={namespace}", "--", *command]


def wait_until(what: str, condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for a callable to give something true. Raises Failure."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
