"""Everything that is printed: answers on standard output, progress and complaints on standard error.

Colours only for a terminal and never under NO_COLOR (rich looks at both). What is piped is neither wrapped
nor cut.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tulle.cli.failure import Failure
from tulle.model.findings import Finding, Severity

_WIDE = 10_000


class Format(StrEnum):
    """`-o` of commands that print a table."""

    TABLE = "table"
    JSON = "json"


class ObjectFormat(StrEnum):
    """`-o` of commands that print objects."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def answers() -> Console:
    """Standard output."""
    width = None if sys.stdout.isatty() else _WIDE
    return Console(file=sys.stdout, width=width, highlight=False, soft_wrap=False)


def notes() -> Console:
    """Standard error."""
    width = None if sys.stderr.isatty() else _WIDE
    return Console(file=sys.stderr, width=width, highlight=False, soft_wrap=False)


def answer(text: str | Text) -> None:
    """A line of what was asked for."""
    answers().print(text, markup=False, soft_wrap=True)


def note(text: str | Text) -> None:
    """A line about what is going on."""
    notes().print(text, markup=False, soft_wrap=True)


def raw(text: str) -> None:
    """Text for another program, as it is."""
    sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")


def as_json(value: Any) -> None:
    """One JSON value, indented."""
    raw(json.dumps(value, indent=2, ensure_ascii=False))


def as_yaml(value: Any) -> None:
    """One YAML document in the order of its keys as written."""
    import yaml

    raw(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110))


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, nothing: str = "nothing found"
) -> None:
    """Columns like those of `ps`: easy to read, easy to cut. `nothing` goes to standard error."""
    lines = list(rows)
    if not lines:
        note(nothing)
        return
    cells = [[Text(column, style="bold") for column in columns]]
    cells += [[cell if isinstance(cell, Text) else Text(cell) for cell in line] for line in lines]
    widths = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    console = answers()
    for line in cells:
        row = Text()
        for cell, width in zip(line, widths, strict=True):
            row.append_text(cell).append(" " * (width - cell.cell_len + 2))
        row.rstrip()
        # A terminal that is narrower breaks lines itself, and what is copied from it stays whole.
        console.print(row, soft_wrap=True)


# -- values -----------------------------------------------------------------------------------------

_STATE_STYLES = {
    "synced": "green",
    "ready": "green",
    "yes": "green",
    "pending": "yellow",
    "no": "yellow",
    "disconnected": "yellow",
    "rejected": "red",
    "failed": "red",
}


def state(word: str, text: str = "") -> Text:
    """A state in its colour."""
    return Text(text or word, style=_STATE_STYLES.get(word, ""))


def age(moment: str | None, now: datetime | None = None) -> str:
    """How long ago (`5s`, `12m`, `3h`, `4d`), or how far ahead, an RFC 3339 time is."""
    if not moment:
        return ""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    seconds = int(abs(((now or datetime.now(UTC)) - then).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size or (unit != "m" and seconds >= size):
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def shown(file: str) -> str:
    """A file's name as a person in this folder would write it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def place(file: str, line: int, column: int) -> str:
    """`file:line:column`; empty without a file."""
    return f"{shown(file)}:{line}:{column}" if file else ""


def plural(count: int, noun: str) -> str:
    """`1 proxy`, `2 proxies`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"


# -- complaints -------------------------------------------------------------------------------------

_SEVERITY_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "bold blue"}


def complain(failure: Failure) -> None:
    """`error: what happened`, where, and what to do."""
    note(Text.assemble(("error", "bold red"), ": ", failure.message))
    if failure.where:
        note(f"  at {failure.where}")
    if failure.remedy:
        note(f"  fix: {failure.remedy}")


def findings(
    found: Iterable[Finding], sources: Mapping[str, str] | None = None, *, to: Console | None = None
) -> None:
    """Findings with their source line and a caret under the place. `sources`: texts that are no files."""
    console = to or notes()
    for each in found:
        what = f"{each.kind} {each.namespace}/{each.name}: ".replace(" /", " ") if each.kind else ""
        at = f"{each.field}: " if each.field else ""
        head = Text.assemble(
            (each.severity.value, _SEVERITY_STYLES[each.severity]),
            f": {what}{at}{each.message}",
            (f"  [{each.code}]", "dim"),
        )
        console.print(head, soft_wrap=True)
        if each.file:
            console.print(f"  at {place(each.file, each.line, each.column)}", markup=False, soft_wrap=True)
            for line in _excerpt(each, sources or {}):
                console.print(line, style="dim", markup=False, soft_wrap=True)
        if each.remedy:
            console.print(f"  fix: {each.remedy}", markup=False, soft_wrap=True)


def applied_findings(found: Iterable[Finding], sources: Mapping[str, str] | None = None) -> None:
    """What to see after an apply: what is wrong in full, what merely has no effect in one line."""
    listed = list(found)
    findings([each for each in listed if each.severity is not Severity.INFO], sources)
    fields = {each.field.rpartition(".")[2] for each in listed if each.severity is Severity.INFO}
    if fields:
        named = ", ".join(sorted(field or "a whole document" for field in fields))
        note(f"without effect here: {named} (`tulle analyze` says where and why)")


def _excerpt(finding: Finding, sources: Mapping[str, str]) -> tuple[str, ...]:
    text = sources.get(finding.file)
    if text is None:
        try:
            text = Path(finding.file).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ()
    lines = text.splitlines()
    if not 1 <= finding.line <= len(lines):
        return ()
    line, before = _around(lines[finding.line - 1].replace("\t", " "), finding.column - 1)
    margin = len(str(finding.line))
    return (
        f"  {finding.line} | {line}",
        f"  {' ' * margin} | {' ' * before}^",
    )


_EXCERPT = 100
"""Characters of a line that are shown: JSON may have all of a mesh in one."""


def _around(line: str, column: int) -> tuple[str, int]:
    """The part of a line around a column, and how many characters stand before it there."""
    if len(line) <= _EXCERPT:
        return line, column
    start = max(0, min(column - _EXCERPT // 2, len(line) - _EXCERPT))
    shown = line[start : start + _EXCERPT]
    head, tail = "… " if start else "", " …" if start + _EXCERPT < len(line) else ""
    return f"{head}{shown}{tail}", column - start + len(head)


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding as scripts read it, with the file as a person in this folder would write it."""
    return {**finding.to_json(), "file": shown(finding.file)}


def count_findings(found: Iterable[Finding]) -> str:
    """`2 errors, 1 warning`."""
    severities = [each.severity for each in found]
    parts = [plural(severities.count(each), each.value) for each in Severity if each in severities]
    return ", ".join(parts).replace("infos", "notes").replace("info", "note")
