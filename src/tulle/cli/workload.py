"""Which workload a name on the command line means."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from tulle.api.contract import Status, WorkloadStatus
from tulle.cli.failure import Failure
from tulle.cli.options import DEFAULT_NAMESPACE, workload
from tulle.cli.progress import some

WorkloadName = Annotated[
    str,
    typer.Argument(
        metavar="WORKLOAD",
        help="NAME, NAME.NAMESPACE or NAMESPACE/NAME of a workload, or of a Deployment, StatefulSet or App "
        "service (then its first replica).",
    ),
]


def find(status: Status, name: str, namespace: str | None) -> WorkloadStatus:
    """The workload of that name, or the first replica of what has that name.

    Without a namespace, a name that is not in `default` may be in exactly one other. Raises Failure.
    """
    if "." in name:  # names of Pods and Deployments may have dots: NAME.NAMESPACE is only the other reading
        whole = _named(status, namespace or DEFAULT_NAMESPACE, name)
        if whole is not None:
            return whole
    wanted, bare = workload(name, namespace)
    found = _named(status, wanted, bare)
    if found is not None:
        return found
    elsewhere = sorted({each.namespace for each in status.workloads if _named(status, each.namespace, bare)})
    is_explicit = namespace is not None or name != bare
    if not is_explicit and len(elsewhere) == 1:
        found = _named(status, elsewhere[0], bare)
        assert found is not None
        return found
    if elsewhere:
        here = wanted if is_explicit else DEFAULT_NAMESPACE
        remedy = f"it is in {some(elsewhere)}: add -n {elsewhere[0]}"
        raise Failure(f"no workload {bare} in the namespace {here}", remedy=remedy)
    raise Failure(f"no workload {wanted}/{bare}", remedy="`tulle status` lists them")


def _named(status: Status, namespace: str, name: str) -> WorkloadStatus | None:
    here = [each for each in status.workloads if each.namespace == namespace]
    for each in here:
        if each.name == name:
            return each
    owners = {f"{kind}/{name}" for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job")}
    replicas = [each for each in here if name in each.services or each.owner in owners]
    return min(replicas, key=_first_ready) if replicas else None


def _first_ready(workload: WorkloadStatus) -> tuple[bool, list[str | int]]:
    """Ready ones first, `reviews-v1-2` before `reviews-v1-10`."""
    parts = re.split(r"(\d+)", workload.name)
    return not workload.ready, [int(part) if part.isdigit() else part for part in parts]
