"""Start-up: from the command `tulle up` to the first answer through the gateway, and to everything ready."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.block import spread
from benchmarks.mesh import TULLE, Failure, Mesh, own_mesh
from benchmarks.process import cpu_seconds_of_children
from benchmarks.report import Limit, Report, Row
from tulle.cli.client import ApiError

_BOOKSHOP = Path(__file__).parents[1] / "examples" / "bookshop"
_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 60.0


def measure(*, quick: bool, say: Callable[[str], None]) -> Report:
    runs: list[dict[str, float]] = []
    for number in range(1 if quick else 5):
        say(f"start-up: the bookshop, run {number + 1}")
        with own_mesh() as mesh:
            runs.append(_run(mesh))
    limits = {"first answer through the gateway": Limit(10)}
    return Report(
        title="Start-up of the bookshop (11 processes, 11 sidecars, a gateway), from the command's start",
        rows=tuple(
            Row("tulle up", metric, "s", spread([run[metric] for run in runs]), limit=limits.get(metric))
            for metric in runs[0]
        ),
        notes=("each run in a home of its own, with the files of earlier programs in the page cache",),
        details={"runs": runs},
    )


def _run(mesh: Mesh) -> dict[str, float]:
    """Seconds since the command's start at which each thing was seen."""
    children = cpu_seconds_of_children()
    began = time.monotonic()
    command = [str(TULLE), "up", str(_BOOKSHOP), "-d"]
    process = subprocess.Popen(
        command, env=mesh.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        seen = {"control plane answers": _seconds(began, process, mesh.client.is_ready)}
        seen["first answer through the gateway"] = _seconds(began, process, lambda: _answers(mesh))
        said = process.communicate(timeout=_PATIENCE_SECONDS)[1]
        seen["everything ready, the command ends"] = time.monotonic() - began
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise Failure(f"tulle up ended with {process.returncode}: {said.strip()[-500:]}")
    seen["CPU of the command itself"] = cpu_seconds_of_children() - children
    return seen


def _seconds(began: float, process: subprocess.Popen[str], condition: Callable[[], bool]) -> float:
    while not condition():
        if time.monotonic() - began > _PATIENCE_SECONDS or process.poll():
            raise Failure("the bookshop did not come up")
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - began


def _answers(mesh: Mesh) -> bool:
    """Whether the storefront answers through the loopback port of its gateway."""
    try:
        ports = [
            listener.local
            for gateway in mesh.status().gateways
            for listener in gateway.listeners
            if listener.local
        ]
    except ApiError:
        return False
    for local in ports:
        host, _, port = local.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=1)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
    return False
