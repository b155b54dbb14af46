"""Load on a mesh while something is done to it, with every failure counted."""

from __future__ import annotations

import json
import subprocess
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
        return [
            f"{each}: {one}" for each in methods or self.methods for one in self.methods[each]["failures"]
        ]


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
