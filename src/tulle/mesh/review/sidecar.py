"""What is wrong with Sidecars, ServiceEntries and WorkloadEntries: whom they select, and who is first.

Read by `review.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tulle.mesh.outbound.sidecar import SIDECAR
from tulle.mesh.problem import Problem, info, warning
from tulle.mesh.review.export import review_export
from tulle.mesh.route.common import age
from tulle.mesh.service.declared import SERVICE_ENTRY
from tulle.mesh.service.service_entry import merged_labels
from tulle.mesh.workload.draft import Labels, matches, sorted_labels
from tulle.mesh.world import World
from tulle.model.istio import ServiceEntrySpec, SidecarSpec, WorkloadEntrySpec
from tulle.model.resource import Resource


def review_sidecar(world: World, sidecar: Resource[SidecarSpec]) -> Iterator[Problem]:
    selector = _selector(sidecar)
    field = "spec.workloadSelector.labels"
    meant = world.selected(sidecar.namespace, selector or ())
    if selector and not meant:
        message = f"no workload of namespace {sidecar.namespace} has these labels, so it holds for nobody"
        yield warning(
            sidecar, field, "selects-nothing", message, "Compare them with the labels of the pod templates."
        )
    for other in sorted(world.of_kind(*SIDECAR, sidecar.namespace), key=age):
        if age(other) >= age(sidecar) or bool(_selector(other)) != bool(selector):
            continue
        shared = set(meant) & set(world.selected(sidecar.namespace, _selector(other) or ()))
        if not selector:
            message = f"{other.key}, which is older, holds for the namespace already"
            yield warning(sidecar, "", "overruled", message, "Write one Sidecar for the namespace.")
        elif shared:
            message = f"{other.key}, which is older, holds for workload {min(shared)[1]} already"
            yield warning(sidecar, field, "overruled", message, "Select each workload once.")
        else:
            continue
        break
    for index, listener in enumerate(sidecar.spec.egress):
        for number, written in enumerate(listener.hosts):
            namespace, _, host = written.partition("/")
            if namespace.startswith("~") or "*" in host:
                continue
            service = world.service(host.lower().rstrip("."))
            wanted = sidecar.namespace if namespace == "." else namespace
            if service is None or wanted not in ("*", service.namespace):
                where = "" if wanted == "*" else f" in namespace {wanted}"
                at = f"spec.egress[{index}].hosts[{number}]"
                remedy = "Correct the name, or apply the service."
                yield warning(
                    sidecar, at, "reference-not-found", f"no service {host} is declared{where}", remedy
                )


def _selector(sidecar: Resource[SidecarSpec]) -> Labels | None:
    written = sidecar.spec.workload_selector
    return sorted_labels(written.labels) if written is not None else None


def review_service_entry(world: World, entry: Resource[ServiceEntrySpec]) -> Iterator[Problem]:
    """What `Services.problems` does not say: that is about the services which a ServiceEntry makes."""
    yield from review_export(world, entry)
    spec = entry.spec
    if spec.resolution == "STATIC" and not spec.endpoints and spec.workload_selector is None:
        message = "it has no endpoints, so nothing stands behind its hosts"
        remedy = "Write endpoints, a workloadSelector, or resolution: DNS."
        yield warning(entry, "spec.resolution", "no-endpoint", message, remedy)


def review_workload_entry(world: World, entry: Resource[WorkloadEntrySpec]) -> Iterator[Problem]:
    labels = sorted_labels(merged_labels(entry))
    entries = [
        each.spec.workload_selector.labels
        for each in world.of_kind(*SERVICE_ENTRY, entry.namespace)
        if each.spec.workload_selector is not None
    ]
    services = [each.spec.selector for each in world.of_kind("", "Service", entry.namespace)]
    if not any(matches(sorted_labels(each), labels) for each in (*entries, *filter(None, services))):
        message = f"no ServiceEntry or Service of namespace {entry.namespace} selects it, so nobody calls it"
        remedy = "Compare its labels with their selectors."
        yield info(entry, "spec.labels", "not-selected", message, remedy)
