"""Load on a mesh while something is done to it, with every failure counted."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.netns.mesh import TULLE, Mesh, program
from tests.netns.traces import processes

RATE = 300.0
"""Requests each second: what the promises of docs/design/failure.md are made at."""


@dataclass
class Outcome:
    """What became of the requests of each method; complete when the load has ended."""

    methods: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def total(self, *methods: str) -> int:
        return sum(self.methods[each]["total"] for each in methods or self.methods)

    def most(self, method: str) -> int:
        """How many were under way at once."""
        return self.methods[method]["most"]

    def failures(self, *methods: str) -> list[str]:
        wanted = methods or tuple(self.methods)
        return [
            f"{each} at {at:.3f} s: {text}" for each in wanted for at, text in self.methods[each]["failures"]
        ]

    @property
    def slowest_seconds(self) -> float:
        return max(each["slowest"] for each in self.methods.values())

    @property
    def outage_seconds(self) -> float:
        """Between the sending of the first request that failed and of the last one."""
        sent = [at for each in self.methods.values() for at, _ in each["failures"]]
        return max(sent) - min(sent) if sent else 0.0


def inhabitants(mesh: Mesh, workload: str, word: str = "", namespace: str = "three") -> set[int]:
    """The processes of a workload, its proxy too; or those of a program."""
    (path,) = mesh.layout.namespaces.glob(f"{namespace}.{workload}.*")
    inside = f"net:[{path.stat().st_ino}]"
    found = {each.pid for each in processes() if each.namespace == inside and word in each.words}
    assert found
    return found


def processor_seconds(pid: int) -> float:
    """What a process has used so far (proc(5), stat fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def hold(seconds: float) -> None:
    """The load goes on for so long."""
    threading.Event().wait(seconds)


@contextmanager
def load(mesh: Mesh, workload: str, url: str, *methods: str, rate: float = RATE) -> Generator[Outcome]:
    """Requests are sent while the block runs."""
    command = [
        "exec",
        workload,
        "--",
        "python3",
        "-c",
        program("load"),
        url,
        str(rate),
        *(methods or ("GET",)),
    ]
    process = subprocess.Popen(
        mesh.command(TULLE, *command),
        env=mesh.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    outcome = Outcome()
    assert process.stdin and process.stdout
    with process:
        try:
            assert process.stdout.readline() == "started\n"
            yield outcome
        finally:
            process.stdin.close()
        outcome.methods.update(json.loads(process.stdout.read()))
