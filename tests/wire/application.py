"""Small local servers that stand for unmodified programs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import h11


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def free_ports(count: int) -> list[int]:
    """As many of them, no two the same."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextlib.asynccontextmanager
async def http_application(
    name: str,
    answers: Iterable[tuple[str, str]] = (),
    status: Callable[[h11.Request], Awaitable[int]] | None = None,
) -> AsyncIterator[int]:
    """An HTTP/1.1 server that tells what it received: `{"server", "path", "headers"}`. Yields its port.

    `answers`: headers that each of its responses has besides. `status`: decides what the response is, and
    when; 200 at once without it.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(65536))
                elif isinstance(event, h11.Request):
                    body = _account(name, event)
                    code = await status(event) if status is not None else 200
                elif isinstance(event, h11.EndOfMessage):
                    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
                    headers += answers
                    writer.write(connection.send(h11.Response(status_code=code, headers=headers)) or b"")
                    writer.write(connection.send(h11.Data(data=body)) or b"")
                    writer.write(connection.send(h11.EndOfMessage()) or b"")
                    await writer.drain()
                    connection.start_next_cycle()
                elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                    return
        except (ConnectionError, h11.RemoteProtocolError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _account(name: str, request: h11.Request) -> bytes:
    headers = {key.decode(): value.decode() for key, value in request.headers}
    return json.dumps({"server": name, "path": request.target.decode(), "headers": headers}).encode()


@contextlib.asynccontextmanager
async def greeting_application(greeting: bytes) -> AsyncIterator[int]:
    """A server that speaks first, then echoes. Yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(greeting)
            while received := await reader.read(65536):
                writer.write(received)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
