"""Names that are taken, found before resources are published: who applies them is refused.

What comes to stand side by side in another way (two sources) is found by `workload/workload.py` and
`service/service.py` and stays a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tulle.mesh.problem import Problem
from tulle.mesh.service.declared import Entry, Service
from tulle.mesh.workload.draft import Draft
from tulle.mesh.workload.expansion import expand
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
        "Give it a --version, or another --service."
        if draft.external
        else "Rename one of them, or put one into another namespace.",
    )


def same_name(service: Service, first: Service) -> Problem:
    """Another resource declares a service of that name."""
    return Problem(
        service.key,
        service.field,
        "duplicate-service",
        Severity.ERROR,
        f"{first.host} is declared by {first.key} already",
        "Rename one of them, or put one into another namespace.",
    )


def misfits(
    coming: Iterable[Resource[Any]],
    declared: Callable[[Resource[Any]], Iterable[Entry]],
    standing: Callable[[str], Entry | None],
) -> tuple[Problem, ...]:
    """Which of these resources, not published yet, run an external process that the standing service of its
    name would not send to. `declared`: the services of a resource.
    """
    fresh = {resource.key: resource for resource in coming}
    found: list[Problem | None] = []
    for resource in fresh.values():
        for entry in declared(resource):
            first = standing(entry.service.host)
            if entry.external and first is not None and first.service.key not in fresh:
                found.append(misfit(resource, entry.service, first.service))
    return tuple(problem for problem in found if problem is not None)


def misfit(resource: Resource[Any], service: Service, standing: Service) -> Problem | None:
    """Why the service that has the name already would not send to an external process of a resource; None: it
    does, and the process joins it."""

    def problem(message: str, remedy: str) -> Problem:
        return Problem(
            resource.key,
            service.field,
            "duplicate-service",
            Severity.ERROR,
            f"{standing.key} is called {standing.name} already, and {message}",
            remedy,
        )

    missing = sorted(
        {
            f"{name}={value}"
            for draft in expand(resource)
            if draft.field == service.field or draft.field.startswith(f"{service.field}.")
            for name, value in set(standing.selector or ()) - set(draft.labels)
        }
    )
    if standing.selector is None or standing.gateway:
        what = "sends to a gateway" if standing.gateway else "selects no workloads"
        return problem(what, "Choose another --service.")
    if missing:
        labels = " ".join(f"--label {each}" for each in missing)
        return problem(
            f"sends to workloads with {', '.join(missing)}", f"Add {labels}, or choose another --service."
        )
    targets = {port.target for port in standing.ports}
    strange = sorted(port.number for port in service.ports if port.number not in targets)
    if strange and all(isinstance(target, int) for target in targets):
        known = ", ".join(str(target) for target in sorted(targets, key=str))
        return problem(
            f"sends to port {known}, not {strange[0]}", "Listen there, or choose another --service."
        )
    return None
