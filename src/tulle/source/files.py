"""Files and folders as a source: what people keep under version control, read again on change.

Read by the composition roots (`up --watch`) and by whatever works offline on files.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import watchfiles

from tulle.model.distinct import distinct
from tulle.model.findings import Finding, Severity
from tulle.model.parse import MAXIMUM_BYTES, parse
from tulle.model.resource import Resource

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
"""Of the files that are read from folders. A file that is named itself may have any."""


@dataclass(frozen=True)
class Loaded:
    """What the files say. With an error among the findings, what is valid is still there."""

    resources: tuple[Resource[Any], ...]
    findings: tuple[Finding, ...]
    files: tuple[Path, ...]


def load(paths: Sequence[Path], namespace: str | None = None) -> Loaded:
    """Read files, and folders with all that is in them (hidden files left out), in the order of their names.

    `namespace` is for documents that name none. Files are named by their absolute paths: the processes of an
    App start in the folder of its file.
    """
    resources: list[Resource[Any]] = []
    findings: list[Finding] = []
    files: dict[Path, None] = {}
    for path in paths:
        found = list(documents(path))
        if not found:
            findings.append(_missing(path))
        files |= dict.fromkeys(found)
    for file in files:
        text = _text(file)
        if isinstance(text, Finding):
            findings.append(text)
            continue
        read, wrong = parse(text, str(file), namespace)
        resources += read
        findings += wrong
    kept, doubles = distinct(resources)
    return Loaded(tuple(kept), tuple(sorted(findings + doubles)), tuple(files))


def documents(path: Path) -> Iterator[Path]:
    """The files that a path stands for, by their absolute paths; none if there is nothing to read."""
    path = path.absolute()
    if not path.is_dir():
        if path.exists():
            yield path
        return
    for each in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in each.relative_to(path).parts)
        if each.suffix in SUFFIXES and each.is_file() and not hidden:
            yield each


async def changes(
    paths: Sequence[Path], stop: asyncio.Event, namespace: str | None = None
) -> AsyncIterator[Loaded]:
    """What the files say after each change, until `stop` is set. What was read before is for the caller."""
    # A file's folder is watched: editors replace a file, and a watch on the file would stay with the old one.
    folders = {path.absolute() if path.is_dir() else path.absolute().parent for path in paths}
    before = load(paths, namespace)
    async for _ in watchfiles.awatch(*folders, stop_event=stop, step=20, debounce=200, recursive=True):
        now = load(paths, namespace)
        if now != before:
            before = now
            yield now


def _text(file: Path) -> str | Finding:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        return _finding(
            file, 1, 1, "unreadable-file", f"it cannot be read: {error.strerror}", "Check its permissions."
        )
    if len(content) > MAXIMUM_BYTES:
        return _finding(file, 1, 1, "too-large", f"it has more than {MAXIMUM_BYTES} bytes", "Split the file.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        return _finding(file, line, column, "invalid-encoding", "it is not UTF-8 text", "Save it as UTF-8.")


def _missing(path: Path) -> Finding:
    if path.is_dir():
        message = "the folder has no .yaml, .yml or .json file"
        return _finding(path, 0, 0, "no-documents", message, "Name the files themselves.")
    return _finding(path, 0, 0, "no-such-file", "there is no such file or folder", "Check the path.")


def _finding(file: Path, line: int, column: int, code: str, message: str, remedy: str) -> Finding:
    return Finding(str(file.absolute()), line, column, code, Severity.ERROR, message, remedy)
