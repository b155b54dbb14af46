"""An ASGI application on a Unix socket that only its owner can open.

Read by `api/server.py` and `agent/api.py`. The socket's mode is 0600 before anyone can connect (uvicorn's own
`uds` option makes it 0666 and changes it afterwards), and signals stay with the composition root.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import uvicorn

from tulle.kit.unix_socket import SocketError, listen

__all__ = ["Application", "SocketError", "listen", "serve"]

Application = Callable[..., Awaitable[None]]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


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
        # How often in a row asyncio tries to accept, also when it is out of descriptors.
        backlog=128,
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
