"""Conditions (Kubernetes meta/v1) without their times, which the composition root adds."""

from __future__ import annotations

Json = dict[str, object]


def condition(kind: str, holds: bool, reason: str, message: str, generation: int) -> Json:
    """One condition, as observed at a resource's generation."""
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
    }
