"""Labels as Istio's resources write them (pkg/config/labels, Instance.Validate; pkg/config/validation)."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from tulle.model.schema import problem

_PART = r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_NAME = re.compile(rf"({_PART}(\.{_PART})*/)?{_QUALIFIED}")
_VALUE = re.compile(rf"({_QUALIFIED})?")


def _check_written(labels: dict[str, str]) -> dict[str, str]:
    for name, value in labels.items():
        prefix, _, plain = name.rpartition("/")
        if not _NAME.fullmatch(name) or len(prefix) > 253 or len(plain) > 63:
            raise problem(
                "invalid-label",
                f"“{name}” is not the name of a label",
                remedy="Write [DNS-NAME/]NAME, NAME with at most 63 letters, digits, “-”, “_” and “.”.",
                field=f"[{name}]",
            )
        if not _VALUE.fullmatch(value):
            raise problem(
                "invalid-label",
                f"“{value}” is not the value of a label",
                remedy="Write letters, digits, “-”, “_” and “.”; begin and end with a letter or digit.",
                field=f"[{name}]",
            )
    return labels


def _check_selected(labels: dict[str, str]) -> dict[str, str]:
    for name, value in labels.items():
        if not name or "*" in name + value:
            raise problem(
                "invalid-label",
                f"“{name}: {value}” is not a label: there are no wildcards",
                remedy="Write whole labels.",
                field=f"[{name}]",
            )
    return labels


WrittenLabels = Annotated[dict[str, str], AfterValidator(_check_written)]
"""Labels that workloads or endpoints have."""
SelectedLabels = Annotated[dict[str, str], AfterValidator(_check_selected)]
"""A selector: what is written in it and no workload can have selects nothing."""
