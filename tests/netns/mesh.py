"""A mesh for a test: the real command line, with a home of its own, and nothing left of it afterwards."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.netns.person import Person
from tests.netns.traces import Traces, mounted, observe, processes, remains
from tulle.agent.layout import Layout, layout

TULLE = Path(sys.executable).with_name("tulle")
ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).with_name("programs")
everybody: Person | None = None
"""Whose every mesh is that nobody else is named for (`--as-user`)."""
PATIENCE_SECONDS = 60.0
"""How long a condition may take before the test says that it never came true."""


def wait_for(what: str, condition: Callable[[], object], patience: float = PATIENCE_SECONDS) -> Any:
    """Wait until the condition gives something true, and return it."""
    deadline = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {patience:.0f} s (last: {found!r})")
        time.sleep(0.05)


def program(name: str) -> str:
    """The source of one of `programs/`, for `python3 -c`: a workload may not see where this test stands."""
    return (PROGRAMS / f"{name}.py").read_text()


@dataclass
class Mesh:
    """Runs `tulle` commands under one $TULLE_HOME."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    person: Person | None = None
    """Whose mesh it is; None: root's."""
    through: tuple[str, ...] = ()
    """What commands are run by: `nsenter` with its options."""

    @property
    def layout(self) -> Layout:
        return layout(self.home, self.person.uid if self.person else 0, self.env)

    def command(self, *arguments: str | Path) -> list[str]:
        """A command line of whoever has the mesh."""
        words = [str(each) for each in arguments]
        return [*self.through, *(self.person.command(*words) if self.person else words)]

    @property
    def env(self) -> dict[str, str]:
        path = f"{TULLE.parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
        own = self.person.environment if self.person else {}
        return {
            **os.environ,
            **own,
            "TULLE_HOME": str(self.home),
            "PATH": path,
            "NO_COLOR": "1",
            **self.environment,
        }

    def tulle(
        self, *arguments: str | Path, status: int | None = 0, text: str = "", timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; `status` None accepts any exit status. No command ever shows a traceback."""
        done = subprocess.run(
            self.command(TULLE, *arguments),
            env=self.env,
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        command = f"tulle {' '.join(map(str, arguments))}"
        said = f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr or arguments[0] in ("exec", "run"), said
        if status is not None:
            assert done.returncode == status, f"{said}\n{self.diagnosis()}"
        return done

    def up(self, *paths: Path | str, options: tuple[str, ...] = ()) -> None:
        self.tulle("up", *paths, "-d", *options, timeout=180)

    def down(self) -> None:
        self.tulle("down")

    def apply(self, documents: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        return self.tulle("apply", "-f", "-", text=documents, status=status)

    def delete(self, documents: str) -> None:
        self.tulle("delete", "-f", "-", text=documents)

    @contextmanager
    def applied(self, documents: str) -> Iterator[None]:
        """The documents are there while the block runs."""
        self.apply(documents)
        try:
            yield
        finally:
            self.delete(documents)

    def execute(
        self, workload: str, *command: str, status: int | None = 0, text: str = "", timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a workload (`name` or `name.namespace`)."""
        return self.tulle("exec", workload, "--", *command, status=status, text=text, timeout=timeout)

    def run_program(self, workload: str, name: str, *arguments: str) -> Any:
        """What one of `programs/` prints (JSON) when a workload runs it."""
        return json.loads(self.execute(workload, "python3", "-c", program(name), *arguments).stdout or "null")

    def requests(self, workload: str, *requests: Mapping[str, Any] | str) -> list[dict[str, Any]]:
        """Send requests as a workload: URLs, or what `programs/requests.py` takes."""
        written = [{"url": each} if isinstance(each, str) else each for each in requests]
        return self.run_program(workload, "requests", json.dumps(written))

    def request(self, workload: str, url: str, **options: Any) -> dict[str, Any]:
        return self.requests(workload, {"url": url, **options})[0]

    @contextmanager
    def steady(self, workload: str, url: str, rate: float = 50) -> Iterator[dict[str, Any]]:
        """Requests go on while the block runs; afterwards the yielded mapping has `total` and `failures`."""
        command = ["exec", workload, "--", "python3", "-c", program("steady"), url, str(rate)]
        process = subprocess.Popen(
            self.command(TULLE, *command),
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        outcome: dict[str, Any] = {}
        assert process.stdin and process.stdout
        with process:
            try:
                assert process.stdout.readline() == "started\n"
                yield outcome
            finally:
                process.stdin.close()
            outcome.update(json.loads(process.stdout.read()))

    def run(self, *command: str) -> str:
        """What a program of this machine prints; it must end with 0."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.tulle(*arguments, "-o", "json").stdout)

    def status(self) -> dict[str, Any]:
        return self.json("status")

    def workload(self, namespace: str, name: str) -> dict[str, Any]:
        for workload in self.status()["workloads"]:
            if (workload["namespace"], workload["name"]) == (namespace, name):
                return workload
        raise AssertionError(f"no workload {namespace}/{name}")

    def ready(self, namespace: str, name: str) -> dict[str, Any]:
        """Wait until a workload is there, ready, and its proxy in sync."""

        def found() -> dict[str, Any] | None:
            for each in self.status()["workloads"]:
                if (each["namespace"], each["name"]) == (namespace, name):
                    return each if each["ready"] and each["proxy"]["state"] in ("synced", "none") else None
            return None

        return wait_for(f"{namespace}/{name} is ready", found)

    def synced(self) -> None:
        """Wait until every proxy has what it should have: after a restart of the control plane they come back
        one by one."""

        def all_are() -> bool:
            return {each["proxy"]["state"] for each in self.status()["workloads"]} <= {"synced", "none"}

        wait_for("every proxy is in sync", all_are)

    def local(self, namespace: str, gateway: str) -> str:
        """Where a gateway's first listener is reached on this machine: 127.0.0.1:PORT."""

        def address() -> str | None:
            for each in self.status()["gateways"]:
                if each["namespace"] == namespace and gateway in (each["name"], each["workload"]):
                    return next((listener["local"] for listener in each["listeners"]), None)
            return None

        return wait_for(f"the gateway {namespace}/{gateway} is open on this machine", address)

    def endpoints(self, workload: str, cluster: str) -> list[dict[str, Any]]:
        """The endpoints of one cluster in a workload's Envoy."""
        return [each for each in self.json("proxy", "endpoints", workload) if each["cluster"] == cluster]

    def daemon(self, name: str) -> int | None:
        """The process id of the control plane or the agent."""
        found = (
            each.pid
            for each in processes()
            if f"TULLE_HOME={self.home}" in each.environment and f"tulle.cli.main {name} " in each.words
        )
        return next(found, None)

    def proxy_process(self, namespace: str, name: str) -> int:
        """The process id of a workload's Envoy."""
        (path,) = mounted(self.layout).glob(f"{namespace}.{name}.*")
        (envoy,) = (
            each.pid
            for each in processes()
            if each.namespace == f"net:[{path.stat().st_ino}]" and each.words.split(" ")[0].endswith("envoy")
        )
        return envoy

    def program_process(self, namespace: str, name: str, word: str) -> int | None:
        """The process id of a workload's program whose command line holds a word."""
        (path,) = self.layout.namespaces.glob(f"{namespace}.{name}.*")
        inside = (each for each in processes() if each.namespace == f"net:[{path.stat().st_ino}]")
        return next((each.pid for each in inside if word in each.words and "keeper" not in each.words), None)

    def diagnosis(self) -> str:
        """The ends of the mesh's own logs: what a failed test shows."""
        found: list[str] = []
        for log in sorted((self.home / "logs").glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-15:]
            found.append(f"--- {log.relative_to(self.home)}\n" + "\n".join(lines))
        return "\n".join(found)


@contextmanager
def mesh_in(home: Path, person: Person | None = None, through: tuple[str, ...] = ()) -> Iterator[Mesh]:
    """A mesh that is down again afterwards, with nothing left of it on this machine."""
    if person is None and everybody is not None:
        # A test's own folder is closed to others.
        person, home = everybody, everybody.folder / f"{home.parent.name}-{home.name}"
    mesh = Mesh(home, person=person, through=through)
    before = observe(mesh.layout)
    seen = Traces()
    try:
        yield mesh
        seen = observe(mesh.layout)
    finally:
        mesh.down()
    left = remains(mesh.layout, before, seen)
    assert not left, left


class Terminal:
    """A command that runs, and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)

    def until(self, text: str, patience: float = PATIENCE_SECONDS) -> str:
        """Wait for a line that holds the text, and return the line."""
        deadline = time.monotonic() + patience
        try:
            while True:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
                self._said.append(line)
                if text in line:
                    return line
        except queue.Empty:
            raise AssertionError(f"it never said “{text}”:\n" + "".join(self._said)) from None

    def close(self) -> None:
        self._reader.join(PATIENCE_SECONDS)

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends it to the whole foreground process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self, seconds: float = 60) -> tuple[int, str]:
        """Wait for its end: (exit status, everything that it printed)."""
        status = self.process.wait(seconds)
        self._reader.join()
        while not self._lines.empty():
            self._said.append(self._lines.get())
        return status, "".join(self._said)


@contextmanager
def terminal(mesh: Mesh, *arguments: str | Path) -> Iterator[Terminal]:
    """`tulle ARGUMENTS` as a person has it in a terminal: in a process group of its own."""
    process = subprocess.Popen(
        mesh.command(TULLE, *arguments),
        env=mesh.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        shown = Terminal(process)
        try:
            yield shown
        finally:
            process.kill()
            shown.close()
