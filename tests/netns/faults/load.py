"""Load on a mesh while something is done to it, with every failure counted."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.netns.mesh import TULLE, Mesh, program

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
        [str(TULLE), *command], env=mesh.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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
