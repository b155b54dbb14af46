"""The control plane that is measured, its fleet of simulated proxies, and the floor below both.

The control plane is the process that `tulle up` starts, kept running by the supervisor's own code, reached
over mTLS on its Unix socket. The proxies are simulated in a process of their own (`fleet.py`). As many are
connected to `floor.py`.
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
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.mesh import Failure
from benchmarks.process import private_bytes
from benchmarks.push.world import HOST, TRUST_DOMAIN, documents, route
from tulle.ads.resource import ENDPOINT, ROUTE
from tulle.agent.credentials import Credentials
from tulle.agent.join import join
from tulle.agent.layout import Layout, layout
from tulle.api.contract import Document
from tulle.app.daemon import Daemon, keep_running
from tulle.cli.client import Client
from tulle.identity import authority, spiffe, token
from tulle.kit.clock import SystemClock

PER_CONNECTION = 10
"""Proxies of one host share its agent's connection."""
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.005
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Change:
    """One change, from the moment at which it was told to the last acknowledgement."""

    seconds: float
    turn: float
    """Of it, the seconds from the beginning of resolving until everything was put together for sending."""
    cpu: float
    """Of the control plane."""
    fleet_cpu: float
    messages: int
    bytes: int
    serialised: int
    floor: float
    """Seconds to the last acknowledgement of as many messages of the same size on the floor."""
    floor_cpu: float


class Child:
    """A process that takes orders, lines of JSON, and answers each."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str, *arguments: str) -> Child:
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, *arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
                limit=2**24,
            )
        )

    async def order(self, order: str, **arguments: Any) -> dict[str, Any]:
        """Raises Failure if the process has ended."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"order": order, **arguments}).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise Failure("a process of the benchmark ended; what it said stands above")
        return json.loads(line)

    async def end(self) -> None:
        self._process.kill()
        await self._process.wait()


class Subject:
    """The control plane that is measured."""

    def __init__(self, paths: Layout, window: Path, fleet: Child, floor: Child, floor_fleet: Child) -> None:
        self._client = Client(paths.api_socket)
        self._window = window
        self._fleet = fleet
        self._floor = floor
        self._floor_fleet = floor_fleet
        self._nodes: list[str] = []
        self._connected = 0

    async def declare(self) -> None:
        """Apply the documents, and have the host report that all runs."""
        await asyncio.to_thread(self._apply, documents())
        await asyncio.to_thread(self._apply, route(50))
        status = await asyncio.to_thread(self._client.status)
        workloads = sorted((each.namespace, each.name) for each in status.workloads)
        self._nodes = [f"{namespace}/{name}" for namespace, name in workloads]
        await self._fleet.order("host", workloads=workloads)

    async def connect(self, size: int) -> None:
        """So many proxies in all, and in sync."""
        nodes = self._nodes[self._connected : size]
        for fleet in (self._fleet, self._floor_fleet):
            await fleet.order("connect", nodes=nodes, per_connection=PER_CONNECTION)
        self._connected = size
        await self._in_sync()
        await self._floor.order("connected", streams=size)

    async def memory(self) -> float:
        """Of the control plane, in bytes."""
        return float(private_bytes((await self._look())["pid"]))

    async def floor_memory(self) -> float:
        """Of the floor, in bytes."""
        return float(private_bytes(int((await self._floor.order("connected", streams=0))["pid"])))

    async def changes(self, repeats: int) -> dict[str, list[Change]]:
        """Interleaved: an endpoint, a route, an endpoint, ... The first of each warms up. An odd number, so
        that the endpoint that comes and goes is there at the end."""
        assert repeats % 2
        found: dict[str, list[Change]] = {"endpoint": [], "route": []}
        for number in range(repeats + 1):
            ready = number % 2 == 1
            found["endpoint"].append(await self._change(ENDPOINT, partial(self._flip, ready)))
            found["route"].append(await self._change(ROUTE, partial(self._shift, 10 + number)))
        return {kind: each[1:] for kind, each in found.items()}

    async def storm(self) -> dict[str, float]:
        """Seconds from a kill -9 of the control plane: until a new process begins, until it hears of the
        first proxy, until the first and until all of them are in sync."""
        before = await self._look()
        killed = time.monotonic()
        os.kill(before["pid"], signal.SIGKILL)
        now = await self._in_sync(lambda found: found["pid"] != before["pid"])
        return {
            "begun": now["started_at"] - killed,
            "serving": now["serving_at"] - killed,
            "first": now["first_at"] - killed,
            "all": now["settled_at"] - killed,
            "cpu": now["cpu_seconds"],
        }

    # -- one change --------------------------------------------------------------------------------

    async def _change(self, type_url: str, cause: Callable[[], Awaitable[float]]) -> Change:
        await self._fleet.order("reset")
        fleet_before = await self._fleet.order("count")
        before = await self._look()
        began = await cause()
        fleet = await self._fleet.order(
            "wait", type_url=type_url, messages=self._connected, seconds=_PATIENCE_SECONDS
        )
        now = await self._in_sync()
        floor = await self._floor.order("push", size=fleet["bytes"] // self._connected)
        return Change(
            seconds=now["settled_at"] - began,
            turn=sum(now["turn_seconds"][before["turns"] :]),
            cpu=now["cpu_seconds"] - before["cpu_seconds"],
            fleet_cpu=fleet["cpu_seconds"] - fleet_before["cpu_seconds"],
            messages=now["messages"] - before["messages"],
            bytes=now["bytes"] - before["bytes"],
            serialised=now["serialised"] - before["serialised"],
            floor=floor["seconds"],
            floor_cpu=floor["cpu"],
        )

    async def _flip(self, ready: bool) -> float:
        namespace, name = self._nodes[0].split("/")
        return (await self._fleet.order("flip", namespace=namespace, name=name, ready=ready))["at"]

    async def _shift(self, weight: int) -> float:
        began = time.monotonic()
        await asyncio.to_thread(self._apply, route(weight))
        return began

    def _apply(self, text: str) -> None:
        self._client.apply((Document(file="benchmark.yaml", text=text),))

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
async def subject() -> AsyncIterator[Subject]:
    """A control plane with everything declared, and fleets that are not connected yet."""
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="tulle-benchmark-", ignore_cleanup_errors=True)
        )
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        paths = layout(home, os.geteuid(), os.environ)
        stack.callback(_clean, paths)
        window = home / "window.sock"
        await _control_plane(home, paths, window, stack)
        credentials = Credentials(home / "agent")
        joined = token.parse((home / "token").read_text().strip())
        await join(f"unix:{paths.join_socket}", HOST, credentials, joined)
        floor_socket = home / "floor.sock"
        given = ("--credentials", str(credentials.folder))
        _certify_floor(home, credentials.folder)
        children = [
            await Child.start("benchmarks.push.fleet", "--socket", str(paths.controlplane_socket), *given),
            await Child.start("benchmarks.push.floor", "--socket", str(floor_socket), *given),
            await Child.start("benchmarks.push.fleet", "--socket", str(floor_socket), *given),
        ]
        for child in children:
            stack.push_async_callback(child.end)
        made = Subject(paths, window, *children)
        await made.declare()
        yield made


async def _control_plane(home: Path, paths: Layout, window: Path, stack: contextlib.AsyncExitStack) -> None:
    command = [sys.executable, "-m", "benchmarks.push.controlplane", "--host", HOST]
    command += ["--join-token-file", str(home / "token"), "--trust-domain", TRUST_DOMAIN]
    environment = {"TULLE_HOME": str(home), "TULLE_BENCHMARK_WINDOW": str(window), "PYTHONPATH": str(_ROOT)}
    log = home / "controlplane.log"
    running = asyncio.create_task(keep_running(Daemon("controlplane", command, log, environment)))

    async def end() -> None:
        running.cancel()
        await asyncio.wait([running])

    stack.push_async_callback(end)
    client = Client(paths.api_socket)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not await asyncio.to_thread(client.is_ready):
        if time.monotonic() > deadline:
            raise Failure(f"the control plane does not start: {log.read_text()[-1500:]}")
        await asyncio.sleep(0.05)


def _certify_floor(home: Path, folder: Path) -> None:
    """The floor shows a certificate like the control plane's."""
    signer = authority.open_or_create(home / "controlplane" / "authority", TRUST_DOMAIN, SystemClock())
    svid = signer.own(spiffe.controlplane(TRUST_DOMAIN), [spiffe.controlplane_name(TRUST_DOMAIN)])
    (folder / "serving.pem").write_bytes(svid.chain_pem)
    (folder / "serving.key").write_bytes(svid.key_pem)


def _clean(paths: Layout) -> None:
    for socket in (paths.api_socket, paths.join_socket, paths.controlplane_socket):
        socket.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        paths.run.rmdir()
