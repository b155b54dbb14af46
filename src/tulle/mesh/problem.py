"""What is wrong with something that people wrote, before it is given a line.

Derived cells return problems beside their values. A problem names a resource and a field, never a line:
lines move when somebody writes a comment, and no derived value may change for that. `locate` puts the
place in when findings are collected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tulle.model.findings import Finding, Severity, finding
from tulle.model.resource import Key, Resource


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


def locate(
    problems: Iterable[Problem], resource: Callable[[Key], Resource[Any] | None]
) -> tuple[Finding, ...]:
    """Findings with file, line and column, sorted and each once. What is gone has no findings."""
    found: set[Finding] = set()
    for each in problems:
        written = resource(each.key)
        if written is not None:
            found.add(finding(written, each.field, each.code, each.severity, each.message, each.remedy))
    return tuple(sorted(found))


def warning(resource: Resource[Any], field: str, code: str, message: str, remedy: str) -> Problem:
    """Something that a person should see to."""
    return Problem(resource.key, field, code, Severity.WARNING, message, remedy)


def info(resource: Resource[Any], field: str, code: str, message: str, remedy: str) -> Problem:
    """Something that a person may want to know."""
    return Problem(resource.key, field, code, Severity.INFO, message, remedy)
