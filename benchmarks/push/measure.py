"""Declares a mesh of a thousand workloads, connects simulated proxies to its real control plane, and changes it.

The control plane is the process that `tulle up` starts, kept running by the supervisor's own code, reached over
mTLS on its Unix socket. The proxies are simulated in a process of their own (`fleet.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import block
from benchmarks.block import spread
from benchmarks.mesh import Failure
from benchmarks.process import private_bytes
from benchmarks.report import Limit, Report, Row
from tulle.ads.resource import ENDPOINT, ROUTE
from tulle.agent.credentials import Credentials
from tulle.agent.join import join
from tulle.agent.layout import Layout, layout
from tulle.api.contract import Document
from tulle.app.daemon import Daemon, keep_running
from tulle.cli.client import Client
from tulle.identity import token

_SIZES = (10, 100, 1000)
_SERVICES, _REPLICAS = 100, 10
_PER_CONNECTION = 10
"""Proxies of one host share its agent's connection."""
_NAMESPACE = "fleet"
_TRUST_DOMAIN = "cluster.local"
_HOST = "local"
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.005
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Change:
    """One change, from the moment at which it was told to the last acknowledgement."""

    seconds: float
    turn: float
    """Of it, the seconds that resolving and translating took."""
    cpu: float
    """Of the control plane."""
    fleet_cpu: float
    messages: int
    bytes: int
    serialised: int


def measure(*, quick: bool, say: Callable[[str], None]) -> Report:
    return asyncio.run(_measure(quick, say))


async def _measure(quick: bool, say: Callable[[str], None]) -> Report:
    repeats = 5 if quick else 15
    rows: list[Row] = []
    memory: dict[float, float] = {}
    details: dict[str, Any] = {}
    say(f"push: declaring {_SERVICES * _REPLICAS} workloads")
    async with _subject() as subject:
        for size in _SIZES:
            await subject.connect(size)
            memory[size] = await subject.memory()
            say(f"push: {size} proxies, {repeats} changes of each kind")
            changes = await subject.changes(repeats)
            for kind, found in changes.items():
                rows += _rows(f"{kind}, {size} proxies", found, size)
                details[f"{kind} {size}"] = [_plain(each) for each in found]
        say("push: kill -9 and back")
        storms = [await subject.storm() for _ in range(1 if quick else 3)]
        details["storms"] = storms
    largest = _SIZES[-1]
    per_proxy = block.slope(memory) / 1000
    rows.append(
        Row("memory", "control plane, per connected proxy", "kB", spread([per_proxy]), limit=Limit(50))
    )
    rows.append(Row("memory", f"control plane, {largest} proxies", "MB", spread([memory[largest] / 1e6])))
    rows.append(
        Row(
            f"kill -9, {largest} proxies",
            "all in sync again",
            "s",
            spread([s["all"] for s in storms]),
            limit=Limit(3),
        )
    )
    rows.append(
        Row(f"kill -9, {largest} proxies", "first in sync again", "s", spread([s["first"] for s in storms]))
    )
    return Report(
        title="Control plane",
        rows=tuple(rows),
        notes=(
            f"{_SERVICES} services of {_REPLICAS} workloads each; {_PER_CONNECTION} proxies a connection, mTLS "
            "over the control plane's Unix socket; every proxy subscribes to everything",
            "from the report of an agent, or the API's apply, to the last acknowledgement that the control plane took",
        ),
        details={"memory": memory, **details},
    )


def _rows(case: str, changes: list[Change], size: int) -> list[Row]:
    limit = Limit(100) if size == _SIZES[-1] and case.startswith("endpoint") else None
    return [
        Row(case, "last ACK", "ms", spread([each.seconds * 1e3 for each in changes]), limit=limit),
        Row(case, "of it resolve and translate", "ms", spread([each.turn * 1e3 for each in changes])),
        Row(case, "CPU of the control plane", "ms", spread([each.cpu * 1e3 for each in changes])),
        Row(case, "CPU of the proxies' process", "ms", spread([each.fleet_cpu * 1e3 for each in changes])),
        Row(case, "messages", "", spread([float(each.messages) for each in changes])),
        Row(case, "bytes", "kB", spread([each.bytes / 1e3 for each in changes])),
        Row(case, "serialisations", "", spread([float(each.serialised) for each in changes])),
    ]


def _plain(one: Change) -> dict[str, float]:
    return {name: round(getattr(one, name), 6) for name in Change.__dataclass_fields__}


class _Subject:
    """The control plane that is measured, and its fleet."""

    def __init__(self, paths: Layout, window: Path, fleet: asyncio.subprocess.Process) -> None:
        self._client = Client(paths.api_socket)
        self._window = window
        self._fleet = fleet
        self._nodes: list[str] = []
        self._connected = 0

    async def declare(self) -> None:
        """Apply the documents, and have the host report that all runs."""
        await asyncio.to_thread(self._apply, _documents())
        await asyncio.to_thread(self._apply, _route(50))
        status = await asyncio.to_thread(self._client.status)
        workloads = sorted((each.namespace, each.name) for each in status.workloads)
        self._nodes = [f"{namespace}/{name}" for namespace, name in workloads]
        await self._order("host", workloads=workloads)

    async def connect(self, size: int) -> None:
        """So many proxies in all, and in sync."""
        await self._order(
            "connect", nodes=self._nodes[self._connected : size], per_connection=_PER_CONNECTION
        )
        self._connected = size
        await self._in_sync()

    async def memory(self) -> float:
        """Of the control plane, in bytes."""
        return float(private_bytes((await self._look())["pid"]))

    async def changes(self, repeats: int) -> dict[str, list[Change]]:
        """Interleaved: an endpoint, a route, an endpoint, ... The first of each warms up."""
        found: dict[str, list[Change]] = {"endpoint": [], "route": []}
        for number in range(repeats + 1):
            found["endpoint"].append(await self._change(ENDPOINT, lambda: self._flip(ready=number % 2 == 1)))
            found["route"].append(await self._change(ROUTE, lambda: self._shift(10 + number)))
        if repeats % 2 == 0:
            await self._change(ENDPOINT, lambda: self._flip(ready=True))
        return {kind: each[1:] for kind, each in found.items()}

    async def storm(self) -> dict[str, float]:
        """Seconds from a kill -9 of the control plane until the first and until all proxies are in sync."""
        before = await self._look()
        killed = time.monotonic()
        os.kill(before["pid"], signal.SIGKILL)
        now = await self._in_sync(lambda found: found["pid"] != before["pid"])
        return {
            "start": now["started_at"] - killed,
            "serving": now["serving_at"] - killed,
            "first": now["first_at"] - killed,
            "all": now["settled_at"] - killed,
        }

    # -- one change --------------------------------------------------------------------------------

    async def _change(self, type_url: str, cause: Callable[[], Any]) -> Change:
        await self._order("reset")
        fleet_before = await self._order("count")
        before = await self._look()
        began = await cause()
        fleet = await self._order(
            "wait", type_url=type_url, messages=self._connected, seconds=_PATIENCE_SECONDS
        )
        now = await self._in_sync()
        return Change(
            seconds=now["settled_at"] - began,
            turn=sum(now["turn_seconds"][before["turns"] :]),
            cpu=now["cpu_seconds"] - before["cpu_seconds"],
            fleet_cpu=fleet["cpu_seconds"] - fleet_before["cpu_seconds"],
            messages=now["messages"] - before["messages"],
            bytes=now["bytes"] - before["bytes"],
            serialised=now["serialised"] - before["serialised"],
        )

    async def _flip(self, *, ready: bool) -> float:
        namespace, name = self._nodes[0].split("/")
        return (await self._order("flip", namespace=namespace, name=name, ready=ready))["at"]

    async def _shift(self, weight: int) -> float:
        began = time.monotonic()
        await asyncio.to_thread(self._apply, _route(weight))
        return began

    # -- the other processes -----------------------------------------------------------------------

    def _apply(self, text: str) -> None:
        self._client.apply((Document(file="benchmark.yaml", text=text),))

    async def _order(self, order: str, **arguments: Any) -> dict[str, Any]:
        assert self._fleet.stdin
        assert self._fleet.stdout
        self._fleet.stdin.write(json.dumps({"order": order, **arguments}).encode() + b"\n")
        line = await self._fleet.stdout.readline()
        if not line:
            raise Failure("the simulated proxies ended; what they said stands above")
        return json.loads(line)

    async def _look(self) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(self._window)
        try:
            return json.loads(await reader.read())
        finally:
            writer.close()

    async def _in_sync(self, condition: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """Wait until all that are connected are in sync. Raises Failure."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        found: dict[str, Any] = {}
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, json.JSONDecodeError):
                found = await self._look()
                if found["synced"] == self._connected and condition(found):
                    return found
            await asyncio.sleep(_POLL_SECONDS)
        raise Failure(
            f"{found.get('synced', 0)} of {self._connected} proxies in sync after {_PATIENCE_SECONDS:g} s"
        )


@contextlib.asynccontextmanager
async def _subject() -> AsyncIterator[_Subject]:
    """A control plane with everything declared, and a fleet that is not connected yet."""
    with tempfile.TemporaryDirectory(prefix="tulle-benchmark-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        paths = layout(home, os.geteuid(), os.environ)
        window, token_file = home / "window.sock", home / "token"
        environment = {
            "TULLE_HOME": str(home),
            "TULLE_BENCHMARK_WINDOW": str(window),
            "PYTHONPATH": str(_ROOT),
        }
        command = [sys.executable, "-m", "benchmarks.push.controlplane", "--host", _HOST]
        command += ["--join-token-file", str(token_file), "--trust-domain", _TRUST_DOMAIN]
        daemon = Daemon("controlplane", command, home / "controlplane.log", environment)
        running = asyncio.create_task(keep_running(daemon))
        fleet: asyncio.subprocess.Process | None = None
        try:
            await _ready(Client(paths.api_socket), daemon.log)
            credentials = Credentials(home / "agent")
            await join(
                f"unix:{paths.join_socket}", _HOST, credentials, token.parse(token_file.read_text().strip())
            )
            fleet = await _fleet(paths, credentials, environment)
            subject = _Subject(paths, window, fleet)
            await subject.declare()
            yield subject
        finally:
            if fleet is not None:
                fleet.kill()
                await fleet.wait()
            running.cancel()
            await asyncio.wait([running])
            for socket in (paths.api_socket, paths.join_socket, paths.controlplane_socket):
                socket.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                paths.run.rmdir()


async def _ready(client: Client, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not await asyncio.to_thread(client.is_ready):
        if time.monotonic() > deadline:
            raise Failure(f"the control plane does not start: {log.read_text()[-1500:]}")
        await asyncio.sleep(0.05)


async def _fleet(
    paths: Layout, credentials: Credentials, environment: dict[str, str]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.push.fleet", "--socket", str(paths.controlplane_socket)),
        *("--credentials", str(credentials.folder), "--trust-domain", _TRUST_DOMAIN),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
        limit=2**24,
    )


def _documents() -> str:
    services = "".join(
        f"    service-{number}: {{port: 9080, protocol: http, command: 'true', replicas: {_REPLICAS}}}\n"
        for number in range(_SERVICES)
    )
    return (
        "apiVersion: tulle.dev/v1\nkind: App\n"
        f"metadata: {{name: fleet, namespace: {_NAMESPACE}}}\nspec:\n  services:\n{services}"
    )


def _route(weight: int) -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: split, namespace: {_NAMESPACE}}}
spec:
  parentRefs: [{{group: "", kind: Service, name: service-0, port: 9080}}]
  rules:
  - backendRefs:
    - {{name: service-0, port: 9080, weight: {weight}}}
    - {{name: service-1, port: 9080, weight: {100 - weight}}}
"""
