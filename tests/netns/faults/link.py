"""The agent's way to the control plane, as bad as a network can be: a relay in the place of the socket.

What stands for lost packets is a relay that does not read: the bytes stay where they are, nobody hears of an
end, and the sender's buffers fill. A network device with `netem` would be the same for TCP, but not every
kernel has it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

CHUNK_BYTES = 16 * 1024


class _Passage:
    """Bytes pass while it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.vanished = False


class Link:
    """Relays connections from one Unix socket to another. Its methods may be called from any thread."""

    def __init__(self, here: Path, there: Path) -> None:
        self._here, self._there = here, there
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link")
        self._passage = _Passage()
        self._tasks: set[asyncio.Task[None]] = set()
        self._delay_seconds = 0.0
        self._bytes_per_second = 0.0
        self.accepted = 0
        """Connections so far."""

    def start(self) -> None:
        self._thread.start()
        self._ask(self._serve())

    def stop(self) -> None:
        self._ask(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Nothing passes from now on, and nobody is told."""
        self._ask(self._set(False))

    def mend(self) -> None:
        """What waited goes on."""
        self._ask(self._set(True))

    def lose(self) -> None:
        """The connections of now never carry a byte again, and do not end; new ones work."""
        self._ask(self._vanish())

    def slow(self, delay_seconds: float, bytes_per_second: float) -> None:
        """From now on each chunk takes as long as the delay, and its size at that rate. 0, 0: no time."""
        self._delay_seconds, self._bytes_per_second = delay_seconds, bytes_per_second

    def _ask(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)  # type: ignore[arg-type]

    async def _serve(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self._here)
        whose = self._there.stat()
        os.chown(self._here, whose.st_uid, whose.st_gid)

    async def _set(self, is_open: bool) -> None:
        if is_open:
            self._passage.open.set()
        else:
            self._passage.open.clear()

    async def _vanish(self) -> None:
        self._passage.open.clear()
        self._passage.vanished = True
        self._passage = _Passage()

    async def _end(self) -> None:
        self._server.close()
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        passage = self._passage
        try:
            await passage.open.wait()
            inner_reader, inner_writer = await asyncio.open_unix_connection(self._there)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass(passage, reader, inner_writer))
                    group.create_task(self._pass(passage, inner_reader, writer))
            finally:
                inner_writer.close()
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _pass(
        self, passage: _Passage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if self._bytes_per_second:
                await asyncio.sleep(self._delay_seconds + len(chunk) / self._bytes_per_second)
            await passage.open.wait()
            writer.write(chunk)
            await writer.drain()
        await passage.open.wait()  # an end is a packet too
        raise ConnectionResetError


@contextmanager
def link_at(socket: Path) -> Generator[Link]:
    """A link in the place of a listening socket while the block runs; who is connected already stays so."""
    behind = socket.with_name("behind.sock")
    socket.rename(behind)
    link = Link(socket, behind)
    link.start()
    try:
        yield link
    finally:
        link.stop()
        socket.unlink(missing_ok=True)
        behind.rename(socket)
