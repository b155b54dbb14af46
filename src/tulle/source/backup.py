"""The copy of the store's file: kept beside it by `database.py`, read when the file is damaged.

Made by SQLite's own backup (sqlite.org/backup.html) when the store is opened, after the file was checked.
From then on each transaction is repeated in it: that costs what the change costs, not what the store holds.
What spoils a page of the one is never copied into the other.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from tulle.kit import durable

Statement = tuple[str, Sequence[Sequence[Any]]]
"""SQL, and the rows that it is executed with."""

_AGAIN_SECONDS = 10.0
"""Before a copy that could not be written is made anew: that costs what the store holds."""
_log = structlog.get_logger(__name__)


def backup_of(path: Path) -> Path:
    """Where the copy of a store stands."""
    return path.with_name(f"{path.name}.backup")


def companions(path: Path) -> tuple[Path, ...]:
    """What SQLite has beside a file, as far as it is there: its log and the index of that."""
    found = (Path(f"{path}{suffix}") for suffix in ("-wal", "-shm"))
    return tuple(each for each in found if each.exists())


def connect(path: Path, synchronous: str) -> sqlite3.Connection:
    """Open a file for this process alone. Raises sqlite3.Error."""
    # Transactions are begun by hand, so that nothing is begun by itself.
    connection = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def transact(connection: sqlite3.Connection, statements: Iterable[Statement]) -> None:
    """All of it, or nothing. Raises sqlite3.Error."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for sql, rows in statements:
            connection.executemany(sql, rows)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # some errors have rolled back by themselves
            connection.execute("ROLLBACK")
        raise


def duplicate(source: sqlite3.Connection, path: Path) -> None:
    """Put what a connection holds at `path` (0600), atomically. Raises OSError, sqlite3.Error."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        for each in (fresh, *companions(fresh)):
            each.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(fresh)) as target:
            source.backup(target)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        for each in companions(path):  # of the file before: it would be played into this one
            each.unlink(missing_ok=True)
        fresh.replace(path)
        durable.sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise


@dataclass(frozen=True)
class Recovery:
    """A damaged file was replaced by its copy."""

    problem: str
    """What was wrong with it."""
    copy: Path
    """What it was recovered from."""
    written: str
    """When that was written last, RFC 3339."""
    kept: Path | None
    """The damaged file, under its new name; None: there was none."""
    resources: int
    """How many the copy had."""

    def __str__(self) -> str:
        kept = f", the damaged file is kept as {self.kept}" if self.kept is not None else ""
        return (
            f"the store was damaged ({self.problem}); {self.resources} resources were recovered from "
            f"{self.copy}, written {self.written}{kept}"
        )


class Backup:
    """Follows one open file. What goes wrong here is logged, and fails nobody."""

    def __init__(
        self, path: Path, source: sqlite3.Connection, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._source = source
        self._now = now
        self._connection: sqlite3.Connection | None = None
        self._again = 0.0
        self._make()

    def write(self, statements: Iterable[Statement]) -> None:
        """Repeat a transaction of the file."""
        if self._connection is None:
            if self._now() >= self._again:
                self._make()
            return
        try:
            transact(self._connection, statements)
        except sqlite3.Error as error:
            self._fail(error)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _make(self) -> None:
        try:
            duplicate(self._source, self._path)
            # NORMAL: a power cut may take its last changes, which the file has, and never its consistency.
            self._connection = connect(self._path, "NORMAL")
        except (OSError, sqlite3.Error) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.close()
        self._again = self._now() + _AGAIN_SECONDS
        _log.warning("the store's copy is behind", path=str(self._path), error=str(error))
