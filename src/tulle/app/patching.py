"""What became of EnvoyFilters' patches, for the people who wrote them. Read by `pipeline.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tulle.mesh.policy.envoy_filter import ENVOY_FILTER, PatchRef, selects
from tulle.mesh.problem import Problem, warning
from tulle.mesh.view import Origin
from tulle.mesh.world import World
from tulle.model.document import step
from tulle.model.findings import Severity
from tulle.model.resource import Key
from tulle.xds.patch.apply import Complaint, Patched

_REMEDIES = {
    "unknown-field": "Compare it with Envoy's documentation of that type.",
    "unknown-type": "Write the type as Envoy's documentation has it, with its package.",
    "wrong-type": "Write it as Envoy's documentation of that type has it.",
    "missing-field": "Write it.",
    "exclusive-fields": "Write one of them.",
    "invalid-value": "Write a value that Envoy's documentation allows.",
    "duplicate-name": "Give it another name, or MERGE what you want into the one that is there.",
    "not-applied": "Match what it fits alone, or change the value.",
}


def patch_problems(world: World, parts: Iterable[Patched]) -> Iterator[Problem]:
    """Patches that are not applied, and those that no proxy has anything for."""
    applied: set[Origin] = set()
    complaints: set[Complaint] = set()
    for each in parts:
        applied |= each.applied
        complaints.update(each.complaints)
    yield from map(_problem, sorted(complaints, key=repr))
    settled = applied | {each.origin for each in complaints}
    for written in world.of_kind(*ENVOY_FILTER):
        if not any(selects(world, written, workload) for workload in world.workloads()):
            continue  # that is said of the whole EnvoyFilter, see `review_envoy_filter.py`
        for index in range(len(written.spec.config_patches)):
            ref = PatchRef(written.namespace, written.name, index)
            if Origin("EnvoyFilter", ref.namespace, ref.name, ref.field) not in settled:
                message = "no proxy that it selects has anything that this patch matches"
                remedy = "Compare the match with `tulle render WORKLOAD`."
                yield warning(written, ref.field, "matches-nothing", message, remedy)


def _problem(complaint: Complaint) -> Problem:
    origin = complaint.origin
    field = f"{origin.field}.patch.value"
    for each in complaint.path:
        field = step(field, each)
    return Problem(
        Key(*ENVOY_FILTER, origin.namespace, origin.name),
        field,
        complaint.code,
        Severity.ERROR,
        f"the patch is not applied: {complaint.text}",
        _REMEDIES[complaint.code],
    )
