"""The API's store: what was applied, kept as it was written, in one SQLite file.

The control plane's composition root opens it, applies to it, and publishes what `watch` tells into the
World's table. `database.py` is the file itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pydantic.alias_generators import to_camel

from tulle.kit.clock import Clock, SystemClock
from tulle.model.admit import admit
from tulle.model.document import Document
from tulle.model.findings import Finding
from tulle.model.resource import Key, Resource
from tulle.source.backup import Recovery
from tulle.source.database import Database
from tulle.source.row import Row

Observe = Callable[["Commit"], None]
Expected = Mapping[Key, str | None]
"""The resourceVersion that a key must have; None: it must not be there. Keys left out may be as they are."""


class Result(StrEnum):
    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    ABSENT = "absent"


@dataclass(frozen=True)
class Change:
    key: Key
    result: Result
    resource: Resource[Any] | None
    """As it is now; None if it is gone."""


@dataclass(frozen=True)
class Commit:
    revision: int
    changes: tuple[Change, ...]


class ConflictError(Exception):
    """Somebody else changed a resource in between: nothing was stored."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"{key} has been changed by somebody else")
        self.key = key


class Store(Protocol):
    """What holds applied resources. Each change is one transaction: all of it, or nothing."""

    def get(self, key: Key) -> Resource[Any] | None: ...

    def list(self) -> tuple[Resource[Any], ...]:
        """Everything, sorted by key."""
        ...

    def put_if(self, resources: Iterable[Resource[Any]], expected: Expected | None = None) -> Commit:
        """Store them. Raises ConflictError and StoreError; then nothing is stored."""
        ...

    def delete_if(self, keys: Iterable[Key], expected: Expected | None = None) -> Commit:
        """Remove them; what is not there is `absent`. Raises as `put_if` does."""
        ...

    def watch(self, observe: Observe) -> Callable[[], None]:
        """Call `observe` after each change, in the changing thread. Returns what ends that."""
        ...


class SqliteStore:
    """The `Store` of one machine. Safe to use from several threads."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        """Open or make the file. Raises StoreError (`database.py`): damaged, in use, of a later version."""
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._observers: list[Observe] = []
        self._database = Database(path)
        self._rows: dict[Key, Row] = {row.key: row for row in self._database.rows()}
        self._resources: dict[Key, Resource[Any]] = {}
        self.findings: tuple[Finding, ...] = ()
        """Of stored documents that this version refuses: they are kept, and not served."""
        for row in self._rows.values():
            resource, findings = _resource(row)
            if resource is None:
                self.findings += tuple(findings)
            else:
                self._resources[row.key] = resource

    @property
    def recovery(self) -> Recovery | None:
        """What had to be done to open a damaged file; None if it was whole."""
        return self._database.recovery

    @property
    def revision(self) -> int:
        """The number of the last change."""
        return self._database.revision

    def get(self, key: Key) -> Resource[Any] | None:
        return self._resources.get(key)

    def list(self) -> tuple[Resource[Any], ...]:
        with self._lock:
            return tuple(self._resources[key] for key in sorted(self._resources))

    def put_if(self, resources: Iterable[Resource[Any]], expected: Expected | None = None) -> Commit:
        with self._lock:
            self._check(expected or {})
            revision = self.revision + 1
            now = datetime.fromtimestamp(self._clock.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            rows: dict[Key, Row] = {}
            results: dict[Key, Result] = {}
            for resource in resources:
                before = self._rows.get(resource.key)
                row, results[resource.key] = _next(resource, before, revision, now)
                if row != before:
                    rows[resource.key] = row
            if rows:
                self._database.write(revision, put=rows.values())
            self._rows |= rows
            for row in rows.values():
                resource, _ = _resource(row)
                assert resource is not None, "what is put was admitted before"
                self._resources[row.key] = resource
            changes = (Change(key, result, self._resources.get(key)) for key, result in results.items())
            return self._tell(Commit(self.revision, tuple(changes)))

    def delete_if(self, keys: Iterable[Key], expected: Expected | None = None) -> Commit:
        with self._lock:
            self._check(expected or {})
            results = {key: Result.DELETED if key in self._rows else Result.ABSENT for key in keys}
            gone = [key for key, result in results.items() if result is Result.DELETED]
            if gone:
                self._database.write(self.revision + 1, delete=gone)
            for key in gone:
                del self._rows[key]
                self._resources.pop(key, None)
            changes = (Change(key, result, None) for key, result in results.items())
            return self._tell(Commit(self.revision, tuple(changes)))

    def watch(self, observe: Observe) -> Callable[[], None]:
        self._observers.append(observe)
        return lambda: self._observers.remove(observe)

    def recall(self, prefix: str) -> dict[str, Any]:
        """What is remembered under names that begin so, by the rest of the name."""
        return self._database.recall_all(prefix)

    def remember(self, values: Mapping[str, Any]) -> None:
        """Keep small values (JSON; None: no more) of the control plane's own by name: all of them or none.
        Raises StoreError."""
        with self._lock:
            self._database.remember(values)

    def close(self) -> None:
        self._database.close()

    def _check(self, expected: Expected) -> None:
        for key, version in expected.items():
            row = self._rows.get(key)
            if (str(row.revision) if row is not None else None) != version:
                raise ConflictError(key)

    def _tell(self, commit: Commit) -> Commit:
        for observe in tuple(self._observers):
            observe(commit)
        return commit


def _next(resource: Resource[Any], before: Row | None, revision: int, now: str) -> tuple[Row, Result]:
    """The row of a resource that is put; and what that means for whoever put it."""
    row = Row(resource.key, revision, 1, now, resource.document, resource.places)
    if before is None:
        return row, Result.CREATED
    row = replace(row, created=before.created, generation=before.generation)
    if _content(before.document) != _content(row.document):
        return replace(row, generation=before.generation + 1), Result.CONFIGURED
    if before.document != row.document:
        return row, Result.CONFIGURED
    # Only lines have moved, or nothing at all: then it is the same row.
    return replace(row, revision=before.revision), Result.UNCHANGED


def _content(document: Mapping[str, Any]) -> dict[str, Any]:
    """What counts for metadata.generation: all but metadata and status."""
    return {name: value for name, value in document.items() if name not in ("metadata", "status")}


def _resource(row: Row) -> tuple[Resource[Any] | None, list[Finding]]:
    """The resource of a row, with what the store adds to its metadata."""
    resource, findings = admit(Document(row.document, row.places), row.key.namespace)
    if resource is None:
        return None, findings
    own = {
        "namespace": row.key.namespace or None,
        "generation": row.generation,
        "creation_timestamp": row.created,
        "resource_version": str(row.revision),
    }
    metadata = resource.metadata.model_copy(update=own)
    written = {to_camel(name): value for name, value in own.items() if value is not None}
    document = {**row.document, "metadata": {**row.document["metadata"], **written}}
    return replace(resource, metadata=metadata, document=document), findings
