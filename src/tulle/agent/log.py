"""Reading the output of a workload or a proxy, as its keeper wrote it: FILE, before it FILE.1, FILE.2, ..."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from io import BufferedReader
from pathlib import Path

FOLLOW_SECONDS = 0.2
"""How often a followed file is looked at. A person reads it; nothing waits for it."""
_CHUNK = 64 * 1024


async def read(path: Path, *, follow: bool = False, tail: int | None = None) -> AsyncIterator[bytes]:
    """What was written, oldest first (`tail`: its last lines only); with `follow` also what is written
    from now on, through rotations, until the reader goes away. A file that does not exist yet is empty."""
    newest = _Newest(path)
    try:
        if tail is None:
            for older in await asyncio.to_thread(_rotated, path):
                for chunk in _chunks(older):
                    yield chunk
        else:
            yield await asyncio.to_thread(_last_lines, path, newest, tail)
        while True:
            fresh = await asyncio.to_thread(newest.read)
            if fresh:
                yield fresh
            elif follow:
                await asyncio.sleep(FOLLOW_SECONDS)
            else:
                return
    finally:
        newest.close()


class _Newest:
    """The file that is being written. When it was rotated away, its rest is read before the next one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BufferedReader | None = None

    def read(self) -> bytes:
        """What came since the last call; empty if nothing."""
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return b""
        fresh = self._file.read(_CHUNK)
        if fresh or self._is_current(self._file):
            return fresh
        fresh = self._file.read(_CHUNK)  # written between the last read and the rotation
        if not fresh:
            self.close()
        return fresh

    def _is_current(self, file: BufferedReader) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            return True

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _rotated(path: Path) -> list[Path]:
    """FILE.9 before FILE.1."""
    numbered = [
        (int(each.name.rpartition(".")[2]), each)
        for each in path.parent.glob(f"{path.name}.*")
        if each.name.rpartition(".")[2].isdigit()
    ]
    return [each for _, each in sorted(numbered, reverse=True)]


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except FileNotFoundError:
        return  # rotated out of existence meanwhile


def _last_lines(path: Path, newest: _Newest, count: int) -> bytes:
    """Rotation bounds the files, so they are read as a whole."""
    chunks = [chunk for older in _rotated(path) for chunk in _chunks(older)]
    while fresh := newest.read():
        chunks.append(fresh)
    lines = b"".join(chunks).splitlines(keepends=True)
    return b"".join(lines[-count:]) if count else b""
