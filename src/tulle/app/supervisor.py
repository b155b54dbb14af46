"""The local supervisor: what `tulle up` leaves running. It makes the hub and keeps the daemons running.

    host's network          hub's network namespace         one namespace per workload
    ──────────────          ───────────────────────         ──────────────────────────
    supervisor              agent ───DNS, xDS, SDS─────────> Envoy, the program itself
    control plane <──mTLS──   │                                │
    resolver      <──DNS──────┘                                │
    relay (127.0.0.1) ──Unix socket──> gateways ───────────────┘

Run as `python -m tulle.app.supervisor --home HOME [--until-eof]`. It ends on SIGTERM, or with `--until-eof`
when its standard input ends (the foreground `tulle up` has gone, however it went), and then takes everything
down. If it is itself killed, workloads and proxies go on serving, and the next `up` or `down` cleans up.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path
from typing import Any

import structlog

from tulle.agent import cleanup, enclosure, inner_socket, namespace, outside, uplink
from tulle.agent.envoy import program
from tulle.agent.host import invoking_user
from tulle.agent.layout import Layout, LayoutError, layout
from tulle.agent.neighbour import note_home
from tulle.agent.network import Network, NetworkError, choose_subnets
from tulle.app import relay
from tulle.app.daemon import Daemon, keep_running
from tulle.app.log import configure
from tulle.app.settings import DEFAULT_TRUST_DOMAIN
from tulle.kit import durable

_log = structlog.get_logger("tulle.supervisor")

HOST = "local"
FAILURE = "failure"
"""File in the home that tells the `up` that started us why it did not work."""
_SUBNET_LOCK = "subnet.lock"


class Supervisor:
    """One mesh on this machine."""

    def __init__(self, paths: Layout, trust_domain: str, images: Path | None) -> None:
        self._layout = paths
        self._trust_domain = trust_domain
        self._relay = paths.run / "relay"
        self._files = invoking_user(os.environ).unnested
        self._images = images

    async def run(self, stop: asyncio.Event) -> None:
        """Bring the mesh's own processes up and keep them until `stop`; then leave nothing behind.

        Raises NetworkError when the mesh cannot have its network.
        """
        try:
            await cleanup.clean(self._layout)
            _forget(self._layout)
            self._make_folders()
            network = await self._make_network()
            sockets = await inner_socket.nameserver(self._layout.hub, str(network.hub))
            await self._keep(network, sockets, stop)
        finally:
            await cleanup.clean(self._layout)
            _forget(self._layout)

    def _make_folders(self) -> None:
        for path in (self._layout.home, self._layout.run, self._layout.logs):
            durable.private_folder(path)
        note_home(self._layout)
        relay.prepare(self._relay)
        if self._files.uid != os.geteuid():
            # Under sudo the relay is the person's, as the proxies are: it has to get to its own files and to
            # the gateways' sockets. Nobody can list this folder, and everything in it has its own mode.
            self._layout.run.chmod(0o711)
            for path in (self._relay, *self._relay.iterdir()):
                os.chown(path, self._files.uid, self._files.gid)

    async def _make_network(self) -> Network:
        async with _exclusively(self._layout.run.parent / _SUBNET_LOCK):
            network = choose_subnets(await uplink.host_routes())
            await namespace.create_hub(self._layout.hub, network)
            if not self._layout.rootless:
                await uplink.connect(self._layout, network)
            elif outside.available():
                await outside.connect(self._layout, network)
        return network

    async def _keep(
        self, network: Network, nameserver: tuple[socket.socket, ...], stop: asyncio.Event
    ) -> None:
        daemons = self._daemons(network, tuple(each.fileno() for each in nameserver))
        work: list[Coroutine[Any, Any, object]] = [keep_running(each) for each in daemons]
        tasks = [asyncio.create_task(each) for each in (*work, stop.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _daemons(self, network: Network, nameserver: tuple[int, ...]) -> list[Daemon]:
        """`nameserver`: the sockets that workloads ask. They are ours, so that a question waits in them
        while the agent is started again, and is not refused."""
        paths = self._layout
        common = ["--host", HOST, "--join-token-file", str(paths.home / "join-token")]
        common += ["--workload-subnet", str(network.workloads), "--service-subnet", str(network.services)]
        tulle = [sys.executable, "-m", "tulle.cli.main"]
        images = ["--images", str(self._images)] if self._images else []
        commands = {
            "controlplane": [
                *(*tulle, "controlplane", *common, "--trust-domain", self._trust_domain),
                *("--relay", str(self._relay), *images),
            ],
            "agent": [
                *("nsenter", f"--net={paths.hub}", "--", *tulle, "agent", *common),
                *("--nameserver", ",".join(map(str, nameserver))),
            ],
            "resolver": [
                sys.executable,
                "-m",
                "tulle.agent.resolver",
                "--socket",
                str(paths.resolver_socket),
            ],
            "relay": [
                *("setpriv", f"--reuid={self._files.uid}", f"--regid={self._files.gid}"),
                # In a user namespace nobody can change their groups.
                *("--keep-groups" if paths.rootless else "--clear-groups", "--no-new-privs"),
                *("--bounding-set=-all", "--inh-caps=-all"),
                *(str(program()), "-c", str(relay.bootstrap_path(self._relay)), "--disable-hot-restart"),
                *("--concurrency", "1", "--log-level", "warning"),
            ],
        }
        if paths.rootless and outside.available():
            commands["uplink"] = [*outside.command(paths, network)]
        environment = {"TULLE_HOME": str(paths.home)}
        return [
            Daemon(
                name,
                command,
                paths.logs / f"{name}.log",
                environment,
                nameserver if name == "agent" else (),
            )
            for name, command in commands.items()
        ]


def _forget(paths: Layout) -> None:
    """Keys, certificates and what was applied: a new mesh starts from the files that it is given, not from
    what an earlier one was told. The logs stay."""
    for directory in ("controlplane", "agent"):
        shutil.rmtree(paths.home / directory, ignore_errors=True)
    (paths.home / "join-token").unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def _exclusively(lock: Path) -> AsyncGenerator[None]:
    """Two meshes that start together must not choose the same subnet."""
    lock.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with lock.open("a") as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        yield


def claim(home: Path) -> int | None:
    """Become the only supervisor of a home: a descriptor to keep open, or None if there is one already."""
    durable.private_folder(home)
    descriptor = os.open(home / "supervisor", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def running(home: Path) -> int | None:
    """The process id of the supervisor of a home, or None.

    The lock says whether it lives, so that a number that was left behind is never taken for a process.
    """
    try:
        with (home / "supervisor").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                number, whole, _ = file.read().partition(b"\n")
                return int(number) if whole and number.isdigit() else _holder(file.fileno())
    except OSError:
        pass
    return None


def _holder(descriptor: int) -> int | None:
    """Who holds a file's lock, by the kernel's list (proc_locks(5)), where the number in it was damaged."""
    inode = str(os.fstat(descriptor).st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        _, kind, _, _, pid, file, *_ = line.split()
        if kind == "FLOCK" and file.rpartition(":")[2] == inode:
            return int(pid)
    return None


async def _main(home: Path, until_eof: bool, trust_domain: str, images: Path | None) -> int:
    (home / FAILURE).unlink(missing_ok=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if until_eof:
        loop.add_reader(sys.stdin, lambda: os.read(0, 4096) or (loop.remove_reader(0), stop.set()))
    try:
        paths = layout(home, enclosure.owner(os.environ, os.geteuid()), os.environ)
        await Supervisor(paths, trust_domain, images).run(stop)
    except (NetworkError, LayoutError, OSError) as error:
        _log.error("the mesh could not be started", error=str(error))
        with contextlib.suppress(OSError):  # the log has it too
            durable.replace(home / FAILURE, f"{error}\n".encode())
        return 1
    return 0


def main() -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="tulle supervisor")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--until-eof", action="store_true")
    parser.add_argument("--trust-domain", default=DEFAULT_TRUST_DOMAIN)
    parser.add_argument("--images", type=Path)
    options = parser.parse_args()
    configure()
    if claim(options.home) is None:
        print("another supervisor runs this mesh", file=sys.stderr)
        return 1
    return asyncio.run(_main(options.home, options.until_eof, options.trust_domain, options.images))


if __name__ == "__main__":
    sys.exit(main())
