"""The SQLite file under `store.py`: rows, transactions, the copy, and what is done about a damaged file.

WAL, one writer (a second process is refused), everything that is acknowledged is on the disk. Beside the file
stands its copy, `NAME.backup` (`backup.py`).
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tulle.model.resource import Key
from tulle.source.backup import (
    Backup,
    Recovery,
    Statement,
    backup_of,
    companions,
    connect,
    duplicate,
    transact,
)
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

_PUT = "INSERT OR REPLACE INTO resource VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM resource WHERE api_group = ? AND kind = ? AND namespace = ? AND name = ?"
_REMEMBER = "INSERT OR REPLACE INTO memory VALUES (?, ?)"
_FORGET = "DELETE FROM memory WHERE name = ?"
_MISSING, _EMPTY = "it is not there", "it is empty"
_SERIAL = "serial"
"""The number of the last transaction: a file with a lower one than its copy has lost some."""


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


class Database:
    """One open file, and its copy."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recovery: Recovery | None = None
        self._connection = self._open()
        self.revision: int = self.recall("revision") or 0
        self._serial: int = self.recall(_SERIAL) or 0
        self._backup = Backup(backup_of(path), self._connection)

    def rows(self) -> Iterator[Row]:
        """All rows, sorted by key."""
        return _rows(self._connection)

    def write(self, revision: int, put: Iterable[Row] = (), delete: Iterable[Key] = ()) -> None:
        """One transaction. Raises StoreError."""
        rows = [_values(row) for row in put]
        gone = [_columns(key) for key in delete]
        self._write((_PUT, rows), (_DELETE, gone), (_REMEMBER, [("revision", json.dumps(revision))]))
        self.revision = revision

    def recall(self, name: str) -> Any:
        row = self._connection.execute("SELECT value FROM memory WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def recall_all(self, prefix: str) -> dict[str, Any]:
        """What is remembered under names that begin so, by the rest of the name."""
        rows = self._connection.execute(
            "SELECT name, value FROM memory WHERE name >= ? AND name < ? ORDER BY name",
            (prefix, prefix + chr(sys.maxunicode)),
        )
        return {name[len(prefix) :]: json.loads(value) for name, value in rows}

    def remember(self, values: Mapping[str, Any]) -> None:
        """One transaction; None: forget it. Raises StoreError."""
        kept = [(name, json.dumps(value)) for name, value in values.items() if value is not None]
        gone = [(name,) for name, value in values.items() if value is None]
        self._write((_REMEMBER, kept), (_FORGET, gone))

    def close(self) -> None:
        self._backup.close()
        self._connection.close()

    def _write(self, *statements: Statement) -> None:
        """In the file, then in the copy. A copy that cannot follow is no failure: it is made anew later."""
        serial = self._serial + 1
        statements = (*statements, (_REMEMBER, [(_SERIAL, str(serial))]))
        try:
            transact(self._connection, statements)
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error
        self._serial = serial
        self._backup.write(statements)

    # -- opening ---------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        problem = _problem(self.path)
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
        copy = backup_of(self.path)
        if not copy.exists() or _damage(copy):
            state = "is damaged too" if copy.exists() else "is not there"
            raise StoreDamagedError(
                f"{self.path} is damaged ({problem}), and its copy {state}",
                f"Move {self.path} away to begin empty, and apply your files again.",
            )
        written = max(each.stat().st_mtime for each in (copy, *companions(copy)))
        kept = _unused(self.path.with_name(f"{self.path.name}.damaged"))
        damaged = self.path.exists()
        try:
            # Also its log: that would be played into the file that takes its place.
            for each in (*companions(self.path), *([self.path] if damaged else ())):
                each.rename(f"{kept}{each.name.removeprefix(self.path.name)}")
            with closing(_connect(copy)) as source:
                resources = source.execute("SELECT count(*) FROM resource").fetchone()[0]
                duplicate(source, self.path)
        except (OSError, sqlite3.Error) as error:
            raise _explained(error, self.path) from error
        moment = datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds")
        self.recovery = Recovery(problem, copy, moment, kept if damaged else None, resources)


def _make(path: Path) -> None:
    """An empty file that only its owner can read: it may hold Secrets."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDONLY, 0o600))
    except OSError as error:
        kind = StoreFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
        raise kind(
            f"{path} cannot be made: {error.strerror}",
            f"Check the room and the permissions in {path.parent}.",
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return connect(path, "FULL")
    except sqlite3.Error as error:
        raise _explained(error, path) from error


def _problem(path: Path) -> str:
    """What is wrong with the store's file; '' for a whole one, and for one that never held anything."""
    copy = backup_of(path)
    problem = _damage(path) if path.exists() else _MISSING
    if problem in (_MISSING, _EMPTY) and not copy.exists():
        return ""
    return problem or _lost(path, copy)


def _damage(path: Path) -> str:
    """What is wrong with a file's content; '' for a whole one. Raises StoreError."""
    try:
        with closing(connect(path, "FULL")) as connection:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
            if verdict != "ok":
                return str(verdict).splitlines()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                return _EMPTY
            if version == SCHEMA:
                for _ in _rows(connection):  # pages have no checksums: a row may hold anything
                    pass
                for (value,) in connection.execute("SELECT value FROM memory"):
                    json.loads(value)
    except sqlite3.OperationalError as error:
        raise _explained(error, path) from error
    except sqlite3.DatabaseError as error:
        return str(error)
    except (ValueError, TypeError, LookupError):
        return "a row cannot be read"
    return ""


def _lost(path: Path, copy: Path) -> str:
    """Whether the copy knows of more than the file: one whose log was truncated is whole, and older."""
    if not copy.exists() or _damage(copy):
        return ""
    lost = _serial(copy) - _serial(path)
    return f"its last changes are missing: {lost}" if lost > 0 else ""


def _serial(path: Path) -> int:
    """The number of the last transaction of a file that is whole."""
    with closing(_connect(path)) as connection:
        row = connection.execute("SELECT value FROM memory WHERE name = ?", (_SERIAL,)).fetchone()
    return int(row[0]) if row is not None else 0


def _explained(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    text = str(error)
    if "is full" in text or "disk I/O" in text or "No space" in text:
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


def _unused(path: Path) -> Path:
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _values(row: Row) -> tuple[Any, ...]:
    return (
        *_columns(row.key),
        row.revision,
        row.generation,
        row.created,
        encode(row.document),
        encode_places(row.places),
    )


def _columns(key: Key) -> tuple[str, str, str, str]:
    return key.group, key.kind, key.namespace, key.name
