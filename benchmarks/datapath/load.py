"""A load generator as a child in a network namespace; what it sends and what comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.mesh import Failure, inside

_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go."""

    address: str
    port: int
    host: str
    """The Host header."""
    body: int
    """Bytes of an answer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one block. Times are in seconds."""

    requests: int
    p50: float
    p99: float
    own_cpu: float
    """What the generator itself spent on a request."""


class Generator:
    """Sends from inside one network namespace."""

    def __init__(self, namespace: str) -> None:
        program = str(Path(__file__).with_name("generator.py"))
        self._process = subprocess.Popen(
            inside(namespace, [sys.executable, "-I", "-S", program]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, target: Target, rate: float, seconds: float) -> Outcome:
        """One block. Raises Failure if a single request of it failed: a broken path costs less."""
        order = {
            "address": target.address,
            "port": target.port,
            "host": target.host,
            "body": target.body,
            "rate": rate,
            "seconds": seconds,
            "connections": _CONNECTIONS,
        }
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise Failure(f"the load generator ended while it called {target.address}:{target.port}")
        found: dict[str, Any] = json.loads(line)
        if found["failed"]:
            raise Failure(
                f"{found['failed']} of {found['requests']} requests to {target.address}:{target.port} failed"
            )
        own = found["own_cpu_seconds"] / found["requests"]
        return Outcome(int(found["requests"]), found["p50"], found["p99"], own)

    def __enter__(self) -> Generator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.kill()
