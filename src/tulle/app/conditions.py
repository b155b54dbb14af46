"""Times of conditions: `lastTransitionTime` is when a condition's status became what it is.

Kubernetes API conventions, "Typical status properties". The World has no clock, so its conditions come
without times, and what they were before is remembered here. Nor does the World hear what proxies refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tulle.model.resource import Key


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rejected(status: Mapping[str, Any] | None, generation: int, refusals: Sequence[str]) -> dict[str, Any]:
    """The status of a resource whose configuration proxies refuse, in their words: Programmed is false.

    Routes have conditions of their own with each parent; the specification leaves room for further types.
    """
    condition = {
        "type": "Programmed",
        "status": "False",
        "reason": "Rejected",
        "message": "; ".join(refusals),
        "observedGeneration": generation,
    }
    shown = dict(status or {})
    if parents := shown.get("parents"):
        return {**shown, "parents": [_with(each, condition) for each in parents]}
    return _with(shown, condition)


def _with(holder: Mapping[str, Any], condition: Mapping[str, Any]) -> dict[str, Any]:
    kept = [each for each in holder.get("conditions", ()) if each["type"] != condition["type"]]
    return {**holder, "conditions": [*kept, condition]}


class Conditions:
    """Since when each condition of each resource holds."""

    def __init__(self, now: Callable[[], str] = _now) -> None:
        self._now = now
        self._since: dict[tuple[Key, str], tuple[str, str]] = {}

    def dated(self, key: Key, status: Mapping[str, Any]) -> dict[str, Any]:
        """The status of a resource with the times of its conditions."""
        return self._walk(key, "", status)

    def _walk(self, key: Key, path: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            walked = {name: self._walk(key, f"{path}.{name}", each) for name, each in value.items()}
            if {"type", "status", "reason"} <= walked.keys():
                walked["lastTransitionTime"] = self._time(key, f"{path}/{walked['type']}", walked["status"])
            return walked
        if isinstance(value, list | tuple):
            return [self._walk(key, f"{path}[{_identity(each, at)}]", each) for at, each in enumerate(value)]
        return value

    def _time(self, key: Key, path: str, status: str) -> str:
        before = self._since.get((key, path))
        if before is None or before[0] != status:
            before = self._since[key, path] = (status, self._now())
        return before[1]


def _identity(value: Any, position: int) -> str:
    """What an entry of a list is known by when others come and go."""
    if isinstance(value, Mapping):
        if "name" in value:
            return str(value["name"])
        if "parentRef" in value:
            return str(sorted(value["parentRef"].items()))
        if "type" in value:
            return ""
    return str(position)
