"""One resource for each key: what is declared twice in one set is refused, with both places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tulle.model.findings import Finding, Severity, finding
from tulle.model.resource import Key, Resource


def distinct(resources: Iterable[Resource[Any]]) -> tuple[list[Resource[Any]], list[Finding]]:
    """The first resource of each key, and an error for each further one.

    A later MeshConfig replaces an earlier one, and several files may declare an equal Namespace.
    """
    first: dict[Key, Resource[Any]] = {}
    findings: list[Finding] = []
    for resource in resources:
        key = resource.key
        known = first.setdefault(key, resource)
        if known is resource:
            continue
        if key.kind == "MeshConfig":
            first[key] = resource
        elif key.kind != "Namespace" or known.document != resource.document:
            findings.append(
                finding(
                    resource,
                    "metadata.name",
                    "duplicate-resource",
                    Severity.ERROR,
                    f"{key.kind} “{key.name}” is already declared at {known.place('metadata.name')}",
                    "Remove one of them, or give it another name.",
                )
            )
    return list(first.values()), findings
