"""What a measurement found, for people (a table) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.block import Spread
from benchmarks.machine import Machine


@dataclass(frozen=True, slots=True)
class Limit:
    """A number that the mesh promises to keep, on the value itself or on its ratio to the reference."""

    at_most: float
    of: str = "value"
    """`value` or `ratio`"""


@dataclass(frozen=True, slots=True)
class Row:
    """One number."""

    case: str
    metric: str
    unit: str
    value: Spread
    reference: str = ""
    """What `ratio` compares with."""
    ratio: Spread | None = None
    limit: Limit | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the promise is kept; None where there is none."""
        if self.limit is None:
            return None
        measured = self.ratio if self.limit.of == "ratio" else self.value
        return measured is not None and measured.median <= self.limit.at_most


@dataclass(frozen=True, slots=True)
class Report:
    """One measurement."""

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Whatever else is worth keeping in the JSON."""


def show(console: Console, report: Report) -> None:
    """A table and the notes under it."""
    table = Table(title=report.title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("case", "what", "median", "quartiles", "ratio", "to", "promised", "kept"):
        right = name in ("median", "quartiles", "ratio", "promised")
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "case")
    before = ""
    for row in report.rows:
        table.add_row(
            row.case if row.case != before else "",
            row.metric,
            f"{_number(row.value.median)} {row.unit}",
            f"{_number(row.value.low)} – {_number(row.value.high)}" if row.value.blocks > 1 else "",
            f"{row.ratio.median:.2f}" if row.ratio else "",
            row.reference,
            f"≤ {_number(row.limit.at_most)}" if row.limit else "",
            {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[row.kept],
        )
        before = row.case
    console.print(table)
    for note in report.notes:
        console.print(f"  {note}", style="dim", highlight=False)
    console.print()


def write(
    path: Path, machine: Machine, reports: Mapping[str, Report], *, quick: bool, seconds: float
) -> None:
    """One JSON document."""
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": asdict(machine),
        "quick": quick,
        "seconds": round(seconds, 1),
        "measurements": {
            name: {
                "title": each.title,
                "rows": [{**asdict(row), "kept": row.kept} for row in each.rows],
                "notes": each.notes,
                "details": each.details,
            }
            for name, each in reports.items()
        },
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def missed(reports: Sequence[Report]) -> list[str]:
    """The promises that this run did not see kept, in words."""
    return [
        f"{report.title}: {row.case}, {row.metric}"
        for report in reports
        for row in report.rows
        if row.kept is False
    ]


def _number(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
