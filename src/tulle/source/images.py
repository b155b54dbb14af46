"""The file of `--images`: what command stands for a container image, where a manifest names none.

    docker.io/library/nginx*: nginx -g 'daemon off;'
    redis*: [redis-server, "{args}"]

Read by the composition root and by the command line; the World keeps the pairs in its settings.
"""

from __future__ import annotations

import shlex
from typing import Any

from tulle.model.document import Document, step
from tulle.model.findings import Finding, Severity
from tulle.model.parse import read
from tulle.model.resource import Place

Images = tuple[tuple[str, tuple[str, ...]], ...]
"""(image pattern with shell wildcards, command), in the order as written; the first match holds."""


def parse(text: str, file: str) -> tuple[Images, tuple[Finding, ...]]:
    """The pairs of the file's text, and what is wrong with it. A pair with an error is left out."""
    documents, findings = read(text, file)
    images: list[tuple[str, tuple[str, ...]]] = []
    for document in documents:
        for pattern, written in document.value.items():
            try:
                images.append((pattern, _command(written)))
            except ValueError as error:
                findings.append(_finding(document, pattern, file, str(error)))
    return tuple(images), tuple(sorted(findings))


def _command(written: Any) -> tuple[str, ...]:
    words = shlex.split(written) if isinstance(written, str) else written
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("a command is a string or a list of strings")
    if not words or not words[0]:
        raise ValueError("the command is empty")
    return tuple(words)


def _finding(document: Document, pattern: str, file: str, message: str) -> Finding:
    place = document.places.get(step("", pattern)) or document.places.get("") or Place(file, 1, 1)
    return Finding(
        place.file,
        place.line,
        place.column,
        "invalid-image-command",
        Severity.ERROR,
        f"image {pattern}: {message}",
        "Write PATTERN: COMMAND ARGUMENTS, for example nginx*: nginx -g 'daemon off;'",
        field=pattern,
    )
