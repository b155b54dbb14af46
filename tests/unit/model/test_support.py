"""The page that says what is supported says what the models do."""

from __future__ import annotations

from pathlib import Path

from tulle.model.kinds import find
from tulle.model.support import Row, markdown, rows

PAGE = Path(__file__).parents[3] / "docs/reference/support.md"


def test_the_page_is_that_of_the_models() -> None:
    assert PAGE.read_text() == markdown(), "run `make golden`, and read the difference"


def test_every_field_has_its_row_at_every_depth() -> None:
    kind = find("networking.istio.io", "VirtualService")
    assert kind is not None
    found = {row.path: row.support for row in rows(kind)}
    assert found["spec.http[].route[].weight"] == "honoured"
    assert found["spec.http[].match[].headers.{}.exact"] == "honoured"
    assert found["spec.http[].match[].statPrefix"] == "honoured"


def test_what_means_nothing_says_why() -> None:
    kind = find("", "Pod")
    assert kind is not None
    reasons = [row for row in rows(kind) if row.support.startswith("no effect")]
    assert Row("spec.containers[].resources", reasons[0].support).support.startswith("no effect: ")
    assert all(len(row.support) > len("no effect: ") for row in reasons)
