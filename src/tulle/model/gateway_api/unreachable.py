"""Matches of HTTPRoutes and GRPCRoutes that can never match: an earlier one of the same route says the same.

The specification asks the narrower match first, wherever it stands; of equal ones the first (HTTPRouteRule,
`matches`). So a match is dead if and only if it stands there already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tulle.model.remark import Remark


def unreachable(rules: Sequence[Any], default: Any) -> Iterator[Remark]:
    """`default`: the match of a rule that names none."""
    first: dict[object, str] = {}
    for index, rule in enumerate(rules):
        dead: list[tuple[str, str]] = []
        matches = rule.matches or (default,)
        for number, match in enumerate(matches):
            here = f"rules[{index}].matches[{number}]" if rule.matches else f"rules[{index}]"
            before = first.setdefault(_meaning(match), here)
            if before != here:
                dead.append((here, before))
        if len(dead) == len(matches):
            message = f"nothing reaches this rule: {dead[0][1]} takes it all"
            remedy = "Write one rule, with the backends of both, or make one of them narrower."
            yield Remark(f"rules[{index}]", "unreachable-rule", message, remedy)
        else:
            for here, before in dead:
                message = f"this match has no effect: {before} says the same"
                yield Remark(here, "unreachable-match", message, "Remove it.")


def _meaning(match: Any) -> object:
    """What it asks for, whatever the order in which it is written."""
    headers = frozenset((each.type, each.name.lower(), each.value) for each in match.headers)
    query = frozenset((each.type, each.name, each.value) for each in getattr(match, "query_params", ()))
    path = getattr(match, "path", None)
    if path is not None and path.type == "PathPrefix":
        path = path.value.rstrip("/")  # /a and /a/ are one prefix
    return path, match.method, headers, query
