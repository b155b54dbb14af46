"""Patches to a list of named things: filters, routes, virtual hosts (Istio, `envoyfilter/util.go`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def change(sequence: Any, operation: str, value: Any, wanted: Callable[[Any], bool] | None, end: int) -> bool:
    """Apply ADD, INSERT_*, REPLACE or REMOVE to a repeated field. Returns whether anything came of it.

    `wanted`: which element is meant, the first of them; None: no element is asked for, so that what is to be
    inserted stands first or last, and nothing is replaced or removed. `end`: where ADD adds.
    """
    match operation:
        case "ADD":
            sequence.insert(end, value)
            return True
        case "INSERT_FIRST":
            sequence.insert(0, value)
            return True
        case "INSERT_BEFORE" | "INSERT_AFTER" if wanted is None:
            sequence.insert(0 if operation == "INSERT_BEFORE" else len(sequence), value)
            return True
        case _:
            found = [index for index, each in enumerate(sequence) if wanted is not None and wanted(each)]
    if not found:
        return False
    match operation:
        case "INSERT_BEFORE":
            sequence.insert(found[0], value)
        case "INSERT_AFTER":
            sequence.insert(_end_of_run(sequence, found), value)
        case "REPLACE":
            sequence[found[0]].CopyFrom(value)
        case "REMOVE":
            for index in reversed(found):
                del sequence[index]
        case _:
            return False
    return True


def _end_of_run(sequence: Any, found: list[int]) -> int:
    """Behind the first that was found, and behind its twins: a route of one name is written down more than
    once, for different requests (`xds/route.py`)."""
    at = found[0]
    while at + 1 in found and sequence[at + 1].name == sequence[found[0]].name:
        at += 1
    return at + 1
