"""An ASGI application on a Unix socket that only its owner can open.

Read by `api/server.py` and `agent/api.py`. The socket's mode is 0600 before anyone can connect (uvicorn's own
`uds` option makes it 0666 and changes it afterwards), and signals stay with the composition root.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import uvicorn

PATH_LIMIT = 107
"""Bytes of `sun_path` without its terminator (unix(7))."""

Application = Callable[..., Awaitable[None]]


class SocketError(RuntimeError):
    """The socket cannot be opened there; the text says why."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def listen(path: Path) -> socket.socket:
    """Bind a listening socket with mode 0600, in place of one that a dead process left.

    Raises SocketError if another process listens there, or the path is too long.
    """
    if len(os.fsencode(path)) > PATH_LIMIT:
        raise SocketError(f"the socket path {path} is longer than {PATH_LIMIT} bytes")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                path.unlink(missing_ok=True)
        else:
            raise SocketError(f"another process already listens on {path}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A descriptor's mode is what bind(2) creates the file with (unix(7)), so there is no moment
        # in which others could connect, and the process' umask stays alone.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(128)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SocketError(f"cannot listen on {path}: {error.strerror}") from error
    return listener


async def serve(application: Application, path: Path, *, ready: Callable[[], None] | None = None) -> None:
    """Serve until cancelled; `ready` is called when connections are accepted. Removes the socket at its end.

    Raises SocketError.
    """
    listener = listen(path)
    if ready is not None:
        ready()  # the kernel queues connections from listen(2) on
    configuration = uvicorn.Config(
        _quiet(application),
        lifespan="off",
        log_config=None,
        access_log=False,
        http="h11",
        ws="none",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(configuration)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name=f"http {path.name}")
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await asyncio.wait([serving])
        listener.close()
        path.unlink(missing_ok=True)  # noqa: ASYNC240  one local system call


def _quiet(application: Application) -> Application:
    """A client that leaves in the middle of a stream is an everyday matter, not an error."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(ConnectionError):
            await application(scope, receive, send)

    return run
