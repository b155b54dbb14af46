"""What people should know of a ProxyConfig, and of the annotation that is one. Read by `review.py`."""

from __future__ import annotations

from collections.abc import Iterator

from tulle.mesh.outbound.depth import annotations_field
from tulle.mesh.policy.proxy_config import ANNOTATION, ProxyConfig, annotated, of_namespace, selects
from tulle.mesh.problem import Problem, info, warning
from tulle.mesh.workload.workload import Workload
from tulle.mesh.world import World
from tulle.model.findings import Severity


def review_proxy_config(world: World, written: ProxyConfig) -> Iterator[Problem]:
    """Whom it means, and from when on."""
    message = "it holds for a workload's proxy from its next start on; nothing is restarted for it"
    yield info(written, "spec", "from-next-start", message, "Restart the workloads if it shall hold now.")
    others = of_namespace(world.declaration, written.namespace)
    older = others[: next(index for index, each in enumerate(others) if each.key == written.key)]
    if written.spec.selector is None:
        first = next((each for each in older if each.spec.selector is None), None)
        if first is not None:
            message = f"ProxyConfig {first.name} is for the whole namespace already, and older"
            yield warning(written, "spec", "conflict", message, "Write both into one, or select workloads.")
        return
    chosen = [each for each in world.workloads(written.namespace) if selects(written.spec, each)]
    if not chosen:
        message = "no workload of the namespace has these labels"
        remedy = "Compare them with the labels of the pod templates."
        yield warning(written, "spec.selector", "selects-nothing", message, remedy)
    for workload in chosen:
        first = next((each for each in older if selects(each.spec, workload)), None)
        if first is not None:
            message = f"ProxyConfig {first.name} selects workload {workload.name} too, and is older"
            yield warning(written, "spec.selector", "conflict", message, "Let one of them select it.")
            return


def review_annotation(workload: Workload) -> Iterator[Problem]:
    """What is not read of the annotation, and what means nothing here."""
    found = annotated(workload)
    field = annotations_field(workload)
    if found.wrong:
        message, remedy = f"{ANNOTATION} is not read: {found.wrong}", "Write YAML of Istio's ProxyConfig."
        yield Problem(workload.key, field, "invalid-value", Severity.WARNING, message, remedy)
    if found.ignored:
        message = f"of {ANNOTATION}, {', '.join(found.ignored)} has no effect"
        yield Problem(workload.key, field, "no-effect", Severity.INFO, message, "Nothing need be done.")
