"""What is wrong with something that people wrote, before it is given a line.

Derived cells return problems beside their values. A problem names a resource and a field, never a line:
lines move when somebody writes a comment, and no derived value may change for that. `locate` puts the
place in when findings are collected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from tulle.model.findings import Finding
from tulle.model.resource import Key, Resource

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A finding without its place."""

    key: Key
    field: str
    """Path of the field within the resource (`spec.rules[0].backendRefs[1]`); "" is the document."""
    code: str
    severity: Severity
    message: str
    remedy: str = ""


def locate(problems: Iterable[Problem], resource: Callable[[Key], Resource[Any] | None]) -> tuple[Finding, ...]:
    """Findings with file, line and column, sorted and each once."""
    found: set[Finding] = set()
    for problem in problems:
        written = resource(problem.key)
        place = written.place(problem.field) if written is not None else None
        found.add(
            Finding(
                code=problem.code,
                severity=problem.severity,
                file=place.file if place else "",
                line=place.line if place else 0,
                column=place.column if place else 0,
                kind=problem.key.kind,
                namespace=problem.key.namespace,
                name=problem.key.name,
                field=problem.field,
                message=problem.message,
                remedy=problem.remedy,
            )
        )
    return tuple(sorted(found))
