"""The last good configuration of each node on disk, so that a host starts and serves while the control
plane is away. Written by the agent's upstream, read when the agent starts.

A file is a line that names the format, the hash of what follows, and the resources. It may hold private
keys of gateways, so only the agent's user can read it (0600 in a 0700 folder).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import structlog

from tulle.ads import wire
from tulle.ads.resource import Resource
from tulle.kit import durable
from tulle.kit.holdoff import HoldOff

_FORMAT = b"tulle-ads 1\n"
_SUFFIX = ".ads"
_LONGEST_NAME = 200  # file systems end at 255 bytes, and a temporary name is longer than the final one
_log = structlog.get_logger("tulle.ads")


class CorruptError(ValueError):
    """A file is not what was written: truncated, damaged, or of a format that this version does not know."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}; it is left out and will be written again")
        self.path = path
        self.reason = reason


class Disk:
    """One file for each node. Writes are atomic, durable, and coalesced: only the newest content counts."""

    def __init__(
        self, directory: Path, quiet: float = 0.5, limit: float = 5.0, again_seconds: float = 5.0
    ) -> None:
        """A content is on disk when nothing new came for `quiet` seconds, after `limit` in any case. What a
        full disk refused is tried every `again_seconds`."""
        self._directory = durable.private_folder(directory)
        self._pending: dict[str, tuple[Resource, ...] | None] = {}
        self._holdoff = HoldOff(quiet, limit)
        self._idle = asyncio.Event()
        self._idle.set()
        self._again_seconds = again_seconds
        self._problem = ""

    def load(self, node: str) -> tuple[Resource, ...] | None:
        """What was saved for a node, or None if nothing was. Raises CorruptError."""
        path = self._path(node)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        if not content.startswith(_FORMAT):
            raise CorruptError(path, "not in a format that this version knows")
        body = content[len(_FORMAT) :]
        size = hashlib.sha256().digest_size
        if len(body) < size or hashlib.sha256(body[size:]).digest() != body[:size]:
            raise CorruptError(path, "truncated or damaged")
        try:
            return wire.parse_resources(body[size:])
        except wire.MalformedError as error:
            raise CorruptError(path, str(error)) from error

    def save(self, node: str, resources: Iterable[Resource]) -> None:
        """Have `run` write the content of a node soon."""
        self._schedule(node, tuple(resources))

    def remove(self, node: str) -> None:
        """Have `run` delete what was saved for a node."""
        self._schedule(node, None)

    async def flushed(self) -> None:
        """Return when all that was asked for is on disk."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled. What cannot be written is told once, and tried until it can."""
        while True:
            await self._holdoff.settled()
            pending, self._pending = self._pending, {}
            refused: dict[str, tuple[Resource, ...] | None] = {}
            problem = ""
            for node, resources in pending.items():
                try:
                    await asyncio.to_thread(self._write, node, resources)
                except OSError as error:
                    refused[node] = resources
                    problem = str(error)
            self._tell(problem)
            self._pending = refused | self._pending
            if refused:
                asyncio.get_running_loop().call_later(self._again_seconds, self._holdoff.touch)
            elif not self._pending:
                self._idle.set()

    def _tell(self, problem: str) -> None:
        if problem and not self._problem:
            _log.error("cannot keep the configuration on disk", reason=problem)
        elif self._problem and not problem:
            _log.info("the configuration is kept on disk again")
        self._problem = problem

    def _schedule(self, node: str, resources: tuple[Resource, ...] | None) -> None:
        self._pending[node] = resources
        self._idle.clear()
        self._holdoff.touch()

    def _write(self, node: str, resources: tuple[Resource, ...] | None) -> None:
        path = self._path(node)
        if resources is None:
            path.unlink(missing_ok=True)
            return
        body = wire.encode_resources(resources)
        durable.replace(path, _FORMAT + hashlib.sha256(body).digest() + body)

    def _path(self, node: str) -> Path:
        name = quote(node, safe="")
        if len(name) > _LONGEST_NAME:
            name = hashlib.sha256(node.encode()).hexdigest()
        return self._directory / f"{name}{_SUFFIX}"
