"""The mesh of this machine as a process: starts its supervisor, ends it, and cleans up what a crash left.

What is said to a person meanwhile is `cli/up.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tulle.agent import cleanup, enclosure
from tulle.agent.enclosure import Caller
from tulle.agent.envoy import program
from tulle.agent.layout import Layout
from tulle.agent.process import ProcessError
from tulle.agent.program import PACKAGES, missing
from tulle.app import supervisor
from tulle.app.settings import UpOptions
from tulle.kit import durable

_DOWN_SECONDS = 60.0
_ROOM_BYTES = 1024 * 1024
"""Less than any mesh writes."""
_POLL_SECONDS = 0.05
_ADMINISTRATION = ("/usr/local/sbin", "/usr/sbin", "/sbin")


class LocalError(Exception):
    """The mesh of this machine cannot be started or ended; `remedy` and `where` are for a person."""

    def __init__(self, message: str, *, remedy: str = "", where: Path | None = None) -> None:
        self.remedy = remedy
        self.where = where
        super().__init__(message)


class LocalMesh:
    """A supervisor that this process has started."""

    def __init__(self, paths: Layout, options: UpOptions) -> None:
        """Start it. In the foreground it ends with this process, however that ends."""
        self._layout = paths
        for folder in (paths.home, paths.logs):
            durable.private_folder(folder)
        command = [sys.executable, "-m", "tulle.app.supervisor", "--home", str(options.home)]
        command += ["--trust-domain", options.trust_domain]
        command += ["--images", str(options.images.absolute())] if options.images else []
        command += [] if options.detach else ["--until-eof"]
        environment = dict(os.environ)
        if paths.rootless:
            command = [*enclosure.command(*command)]
            environment |= enclosure.environment(Caller(os.getuid(), os.getgid()))
        with (paths.logs / "supervisor.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if options.detach else subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def alive(self) -> bool:
        """Whether the supervisor still runs."""
        return self._process.poll() is None

    def wait_for(self, condition: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait for the control plane to come up. Raises LocalError when it does not."""
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            if not self.alive():
                raise self.failure()
            if time.monotonic() > deadline:
                raise LocalError(
                    f"the control plane did not start within {timeout_seconds:g} s",
                    remedy="look at its log, or wait longer with --timeout",
                    where=self._layout.logs / "controlplane.log",
                )
            time.sleep(_POLL_SECONDS)

    def failure(self) -> LocalError:
        """Why the supervisor ended."""
        log = self._layout.logs / "supervisor.log"
        try:
            return LocalError((self._layout.home / supervisor.FAILURE).read_text().strip(), where=log)
        except OSError:
            return LocalError("the mesh's supervisor ended unexpectedly", where=log)

    def end(self) -> None:
        """Take the mesh down and wait until nothing is left."""
        if self.alive():
            self._process.terminate()
            try:
                self._process.wait(_DOWN_SECONDS)
            except subprocess.TimeoutExpired:
                raise _stuck(self._layout) from None


def preflight(home: Path) -> None:
    """What this machine lacks, said before anything is touched. Raises LocalError."""
    add_administration_to_path()
    need_room(home)
    for each in PACKAGES:
        if shutil.which(each) is None:
            raise LocalError(missing(each))
    if os.geteuid() != 0 and (found := enclosure.obstacle()):
        raise LocalError(found[0], remedy=found[1])
    try:
        program()
    except ProcessError as error:
        raise LocalError(str(error)) from error


def add_administration_to_path() -> None:
    """`nft` and `ip` stand in folders that an ordinary user's PATH does not have."""
    path = os.environ.get("PATH", "").split(":")
    os.environ["PATH"] = ":".join([*path, *(each for each in _ADMINISTRATION if each not in path)])


def need_room(home: Path) -> None:
    """Raises LocalError where a mesh could not keep its state: said now, since later no log would take it."""
    probe = home / "room"
    try:
        durable.private_folder(home)
        probe.write_bytes(bytes(_ROOM_BYTES))
    except OSError as error:
        raise LocalError(
            f"cannot write to {home}: {error.strerror}",
            remedy="make room there, or set $TULLE_HOME to another place",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def stop(paths: Layout) -> bool:
    """Ask the supervisor of a home to end, and wait for it. False: there is none. Raises LocalError."""
    pid = supervisor.running(paths.home)
    if pid is None:
        return False
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError:
        raise LocalError("this mesh belongs to another user", remedy="run the command with sudo") from None
    except ProcessLookupError:
        return True
    deadline = time.monotonic() + _DOWN_SECONDS
    while supervisor.running(paths.home) is not None:
        if time.monotonic() > deadline:
            raise _stuck(paths)
        time.sleep(_POLL_SECONDS)
    return True


def leftovers(paths: Layout) -> tuple[str, ...]:
    """What an earlier mesh of this home left behind, in words."""
    return asyncio.run(cleanup.leftovers(paths))


def clean(paths: Layout) -> None:
    """Remove what an earlier mesh of this home left behind."""
    asyncio.run(cleanup.clean(paths))


def _stuck(paths: Layout) -> LocalError:
    return LocalError(f"the mesh did not end within {_DOWN_SECONDS:g} s", where=paths.logs / "supervisor.log")
