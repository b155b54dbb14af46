"""What is wrong with what people wrote: values, never exceptions.

Made by `parse.py` and by `mesh/`; shown by `analyze`, `apply`, `up` and the resources' status.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from tulle.model.resource import Resource


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that a person should know, at its place, with what to do about it."""

    file: str
    line: int
    column: int
    code: str
    """In kebab-case; documented and stable."""
    severity: Severity
    message: str
    remedy: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    field: str = ""
    """The path of the field, such as 'spec.rules[0].backendRefs[1].port'; '' for the whole resource."""

    def to_json(self) -> dict[str, Any]:
        """The shape that `analyze -o json` prints."""
        values = asdict(self)
        return {name: values[name] for name in _ORDER} | {"severity": self.severity.value}

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: " if self.file else ""
        what = (
            f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}: " if self.kind else ""
        )
        at = f"{self.field}: " if self.field else ""
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{where}{self.severity}: {what}{at}{self.message}.{remedy} [{self.code}]"


_ORDER = (
    "code",
    "severity",
    "file",
    "line",
    "column",
    "kind",
    "namespace",
    "name",
    "field",
    "message",
    "remedy",
)


def finding(
    resource: Resource[object], field: str, code: str, severity: Severity, message: str, remedy: str = ""
) -> Finding:
    """A finding at a field of a resource."""
    place = resource.place(field)
    return Finding(
        file=place.file,
        line=place.line,
        column=place.column,
        code=code,
        severity=severity,
        message=message,
        remedy=remedy,
        kind=resource.key.kind,
        namespace=resource.key.namespace,
        name=resource.key.name,
        field=field,
    )


def has_errors(findings: Iterable[Finding]) -> bool:
    return any(each.severity is Severity.ERROR for each in findings)
