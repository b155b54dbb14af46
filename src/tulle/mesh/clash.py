"""Workloads whose names are taken, found before their resources are published: who applies them is refused.

What comes to stand side by side in another way (two sources) is found by `workload.py` and stays a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tulle.mesh.draft import Draft
from tulle.mesh.expansion import expand
from tulle.mesh.problem import Problem
from tulle.model.findings import Severity
from tulle.model.resource import Key, Resource


def clashes(
    coming: Iterable[Resource[Any]], standing: Callable[[tuple[str, str]], Iterable[Key]]
) -> tuple[Problem, ...]:
    """`standing`: the resources that declare a workload now. Those that come take the place of their like."""
    fresh = {resource.key: resource for resource in coming}
    owners: dict[tuple[str, str], Key] = {}
    problems: list[Problem] = []
    for resource in fresh.values():
        for draft in expand(resource):
            others = (key for key in standing(draft.id) if key not in fresh)
            first = owners.setdefault(draft.id, next(others, draft.key))
            if first != draft.key:
                problems.append(taken(draft, first))
    return tuple(problems)


def taken(draft: Draft, first: Key) -> Problem:
    """Another resource declares a workload of that name."""
    return Problem(
        draft.key,
        draft.field,
        "duplicate-workload",
        Severity.ERROR,
        f"a workload called {draft.name} is declared by {first} already",
        "Rename one of them, or put one into another namespace.",
    )
