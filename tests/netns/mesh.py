"""A mesh for a test: the real command line, with a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TULLE = Path(sys.executable).with_name("tulle")
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


@dataclass
class Mesh:
    """Runs `tulle` commands under one $TULLE_HOME."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        path = f"{TULLE.parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
        return {**os.environ, "TULLE_HOME": str(self.home), "PATH": path, "NO_COLOR": "1", **self.environment}

    def tulle(
        self, *arguments: str | Path, status: int | None = 0, text: str = "", timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; `status` None accepts any exit status."""
        done = subprocess.run(
            [str(TULLE), *map(str, arguments)],
            env=self.env,
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if status is not None:
            assert done.returncode == status, (
                f"tulle {' '.join(map(str, arguments))} ended with {done.returncode}\n"
                f"{done.stdout}\n{done.stderr}\n{self.diagnosis()}"
            )
        return done

    def up(self, *paths: Path | str, options: tuple[str, ...] = ()) -> None:
        self.tulle("up", *paths, "-d", *options, timeout=180)

    def down(self) -> None:
        self.tulle("down")

    def apply(self, documents: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        return self.tulle("apply", "-f", "-", text=documents, status=status)

    def execute(
        self, workload: str, *command: str, status: int | None = 0, text: str = "", timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a workload (`name` or `name.namespace`)."""
        return self.tulle("exec", workload, "--", *command, status=status, text=text, timeout=timeout)

    def json(self, *arguments: str) -> Any:
        return json.loads(self.tulle(*arguments, "-o", "json").stdout)

    def status(self) -> dict[str, Any]:
        return self.json("status")

    def workload(self, namespace: str, name: str) -> dict[str, Any]:
        for workload in self.status()["workloads"]:
            if (workload["namespace"], workload["name"]) == (namespace, name):
                return workload
        raise AssertionError(f"no workload {namespace}/{name}")

    def diagnosis(self) -> str:
        """The ends of the mesh's own logs: what a failed test shows."""
        found: list[str] = []
        for log in sorted(self.home.glob("**/*.log")):
            lines = log.read_text(errors="replace").splitlines()[-15:]
            found.append(f"--- {log.relative_to(self.home)}\n" + "\n".join(lines))
        return "\n".join(found)
