"""The SQLite file under `store.py`: rows, transactions, the copy, and what is done about a damaged file.

WAL, one writer (a second process is refused), everything that is acknowledged is on the disk. After each
change a copy is put beside the file, as `NAME.backup`.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from tulle.model.resource import Key
from tulle.source.row import Row, decode, decode_places, encode, encode_places

SCHEMA = 1
"""Rises with each change of the tables below; an older program refuses a newer file."""

_TABLES = """
CREATE TABLE resource (
    api_group TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    revision INTEGER NOT NULL, generation INTEGER NOT NULL, created TEXT NOT NULL,
    document TEXT NOT NULL, places TEXT NOT NULL,
    PRIMARY KEY (api_group, kind, namespace, name)
) WITHOUT ROWID;
CREATE TABLE memory (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

_log = structlog.get_logger(__name__)


class StoreError(Exception):
    """The store cannot do it. Nothing was changed."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class StoreFullError(StoreError):
    """There is no room on the disk."""


class StoreBusyError(StoreError):
    """Another process has the file open."""


class StoreDamagedError(StoreError):
    """The file is damaged, and so is its copy, or there is none."""


class StoreVersionError(StoreError):
    """A later version of the program made the file."""


@dataclass(frozen=True)
class Recovery:
    """A damaged file was replaced by its copy."""

    problem: str
    """What was wrong with it."""
    kept: Path
    """The damaged file, under its new name."""
    resources: int
    """How many the copy had."""

    def __str__(self) -> str:
        return (
            f"the store was damaged ({self.problem}); {self.resources} resources were recovered from a copy, "
            f"the damaged file is kept as {self.kept}"
        )


class Database:
    """One open file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recovery: Recovery | None = None
        self._connection = self._open()
        self.revision: int = self.recall("revision") or 0

    def rows(self) -> Iterator[Row]:
        """All rows, sorted by key."""
        return _rows(self._connection)

    def write(self, revision: int, put: Iterable[Row] = (), delete: Iterable[Key] = ()) -> None:
        """One transaction. Raises StoreError."""
        with self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO resource VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        *_columns(row.key),
                        row.revision,
                        row.generation,
                        row.created,
                        encode(row.document),
                        encode_places(row.places),
                    )
                    for row in put
                ),
            )
            self._connection.executemany(
                "DELETE FROM resource WHERE api_group = ? AND kind = ? AND namespace = ? AND name = ?",
                (_columns(key) for key in delete),
            )
            self._remember("revision", revision)
        self.revision = revision
        self._back_up()

    def recall(self, name: str) -> Any:
        row = self._connection.execute("SELECT value FROM memory WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def recall_all(self, prefix: str) -> dict[str, Any]:
        """name -> value, of the names that begin so, sorted."""
        rows = self._connection.execute(
            "SELECT name, value FROM memory WHERE name >= ? AND name < ? ORDER BY name",
            (prefix, prefix + chr(sys.maxunicode)),
        )
        return {name: json.loads(value) for name, value in rows}

    def remember(self, values: Mapping[str, Any]) -> None:
        """In one transaction; None is forgotten. Raises StoreError."""
        with self._transaction():
            for name, value in values.items():
                if value is None:
                    self._connection.execute("DELETE FROM memory WHERE name = ?", (name,))
                else:
                    self._remember(name, value)

    def close(self) -> None:
        self._connection.close()

    def _remember(self, name: str, value: Any) -> None:
        self._connection.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (name, json.dumps(value)))

    @contextmanager
    def _transaction(self) -> Generator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):  # some errors have rolled back by themselves
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise _explained(error, self.path) from error
            raise

    # -- opening ---------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        problem = _damage(self.path)
        if problem:
            self._recover(problem)
        _make(self.path)
        connection = _connect(self.path)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA:
                raise StoreVersionError(
                    f"{self.path} was made by a later version of Tulle",
                    "Use that version, or move the file away to begin empty.",
                )
            if version == 0:
                connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
        except sqlite3.Error as error:
            connection.close()
            raise _explained(error, self.path) from error
        except StoreError:
            connection.close()
            raise
        return connection

    def _recover(self, problem: str) -> None:
        backup = _backup_of(self.path)
        if not backup.exists() or _damage(backup):
            state = "is damaged too" if backup.exists() else "is not there"
            raise StoreDamagedError(
                f"{self.path} is damaged ({problem}), and its copy {state}",
                f"Move {self.path} away to begin empty, and apply your files again.",
            )
        kept = _unused(self.path.with_name(f"{self.path.name}.damaged"))
        self.path.rename(kept)
        for suffix in ("-wal", "-shm"):
            companion = Path(f"{self.path}{suffix}")
            if companion.exists():
                companion.rename(f"{kept}{suffix}")
        source, target = _connect(backup), _connect(self.path)
        with source, target:
            source.backup(target)
        resources = target.execute("SELECT count(*) FROM resource").fetchone()[0]
        source.close()
        target.close()
        self.recovery = Recovery(problem, kept, resources)

    def _back_up(self) -> None:
        """Replace the copy. A failure is no failure of the change, which is on the disk already."""
        backup = _backup_of(self.path)
        fresh = backup.with_name(f"{backup.name}.new")
        try:
            fresh.unlink(missing_ok=True)
            _make(fresh)
            copy = sqlite3.connect(fresh)
            try:
                self._connection.backup(copy)
            finally:
                copy.close()
            with fresh.open("rb") as file:
                os.fsync(file.fileno())
            fresh.replace(backup)
        except (OSError, StoreError, sqlite3.Error) as error:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            _log.warning("the store's copy could not be made", path=str(backup), error=str(error))


def _make(path: Path) -> None:
    """An empty file that only its owner can read: it may hold Secrets."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    except OSError as error:
        kind = StoreFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
        raise kind(
            f"{path} cannot be made: {error.strerror}",
            f"Check the room and the permissions in {path.parent}.",
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    # Transactions are begun by hand, so that nothing is begun by itself.
    connection = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        connection.close()
        raise _explained(error, path) from error
    return connection


def _damage(path: Path) -> str:
    """What is wrong with a file; '' for a whole one, and for none."""
    if not path.exists():
        return ""
    if path.stat().st_size == 0 and _backup_of(path).exists():
        return "the file is empty"
    connection = sqlite3.connect(path, timeout=1, isolation_level=None)
    try:
        verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict == "ok" and connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA:
            for _ in _rows(connection):  # pages have no checksums: a row may hold anything
                pass
    except sqlite3.OperationalError as error:
        raise _explained(error, path) from error
    except sqlite3.DatabaseError as error:
        return str(error)
    except (ValueError, TypeError, LookupError):
        return "a row cannot be read"
    finally:
        connection.close()
    return "" if verdict == "ok" else str(verdict).splitlines()[0]


def _explained(error: sqlite3.Error, path: Path) -> StoreError:
    text = str(error)
    if "is full" in text or "disk I/O" in text:
        return StoreFullError(
            f"{path} cannot be written: {text}", f"Make room on the disk that holds {path.parent}."
        )
    if "locked" in text:
        return StoreBusyError(
            f"{path} is in use by another process", "Stop the other control plane (`tulle down`)."
        )
    if "malformed" in text or "not a database" in text:
        return StoreDamagedError(f"{path} is damaged: {text}", "Start the control plane again to recover it.")
    return StoreError(f"{path}: {text}", "Check that the folder is there and that it may be written.")


def _rows(connection: sqlite3.Connection) -> Iterator[Row]:
    query = (
        "SELECT api_group, kind, namespace, name, revision, generation, created, document, places "
        "FROM resource ORDER BY 1, 2, 3, 4"
    )
    for *key, revision, generation, created, document, places in connection.execute(query):
        yield Row(Key(*key), revision, generation, created, decode(document), decode_places(places))


def _backup_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.backup")


def _unused(path: Path) -> Path:
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _columns(key: Key) -> tuple[str, str, str, str]:
    return key.group, key.kind, key.namespace, key.name
