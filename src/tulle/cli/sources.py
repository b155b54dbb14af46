"""The documents of `-f PATH..`: files, folders and standard input, as text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tulle.api.contract import BODY_LIMIT, Change, Document, Target
from tulle.cli.failure import Failure, usage

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
STANDARD_INPUT = "-"


class Unreadable(Failure):
    """One of the files is not there, or is no text."""

    def __init__(self, path: Path, message: str, remedy: str) -> None:
        self.path = path
        super().__init__(message, remedy=remedy)


def read(
    paths: Sequence[str], *, absolute: bool = True, namespace: str | None = None
) -> tuple[Document, ...]:
    """Every document file, in the order given; a folder's files in the order of their names, with its
    subfolders. Raises Failure.

    Names of files are made absolute for the mesh: the folder of an App's file is where its processes start.
    Standard input is then `-` in the current folder. `namespace` is what `-n` says.
    """
    if not paths:
        raise usage("no files given", "name files or folders with -f, or `-f -` for standard input")
    documents: list[Document] = []
    for path in paths:
        if path == STANDARD_INPUT:
            name = str(Path.cwd() / STANDARD_INPUT) if absolute else STANDARD_INPUT
            documents.append(Document(file=name, text=sys.stdin.read(), namespace=namespace))
        else:
            documents += [_document(each, absolute, namespace) for each in files(Path(path))]
    size = sum(len(each.text.encode()) for each in documents)
    if size > BODY_LIMIT:
        limit = BODY_LIMIT // 1024 // 1024
        raise Failure(
            f"these files are larger than {limit} MiB together", remedy="apply them in several steps"
        )
    return tuple(documents)


def files(path: Path) -> list[Path]:
    """The document files that a path names. Raises Failure."""
    if path.is_file() or path.is_fifo():
        return [path]
    if not path.is_dir():
        raise Unreadable(path, f"there is no file or folder {path}", "check the path")
    found = sorted(
        each
        for each in path.rglob("*")
        if each.suffix in SUFFIXES and each.is_file() and not _hidden(each.relative_to(path))
    )
    if not found:
        raise Failure(
            f"the folder {path} has no .yaml, .yml or .json file", remedy="name the files themselves"
        )
    return found


def target(change: Change) -> Target:
    """The object that a change was about."""
    return Target(group=change.group, kind=change.kind, namespace=change.namespace, name=change.name)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _document(path: Path, absolute: bool, namespace: str | None) -> Document:
    try:
        name = str(path.absolute() if absolute else path)
        return Document(file=name, text=path.read_text(encoding="utf-8"), namespace=namespace)
    except UnicodeDecodeError as error:
        raise Unreadable(path, f"{path} is not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    except OSError as error:
        raise Unreadable(path, f"cannot read {path}: {error.strerror}", "check its permissions") from error
