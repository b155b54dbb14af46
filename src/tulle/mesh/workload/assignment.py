"""What the host of a workload shall run: its declared form with every reference answered.

Read by the composition root, which serves it to the agent of the host (`agentapi.WorkloadAssignment`).
"""

from __future__ import annotations

import hashlib
import ipaddress
import posixpath
from dataclasses import dataclass

from tulle.kit.derived import Derived
from tulle.mesh.declaration import Declaration, WorkloadId
from tulle.mesh.policy.proxy_config import NOTHING, ProxySettings, proxy_settings
from tulle.mesh.problem import Problem
from tulle.mesh.workload.container import pod_containers, process_container
from tulle.mesh.workload.draft import Draft
from tulle.mesh.workload.environment import Surroundings, Unresolved
from tulle.mesh.workload.workload import Workload, WorkloadCells
from tulle.model.agentapi import Container, WorkloadAssignment
from tulle.model.app import AppVersion
from tulle.model.findings import Severity
from tulle.model.kubernetes import PodSpec

_WITHOUT_RESTART = {"incarnation", "labels", "ports", "proxy_concurrency", "proxy_environment"}
"""What may change while a workload runs. A readiness is not in an assignment at all."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """An assignment, or why there is none."""

    assignment: WorkloadAssignment | None
    problems: tuple[Problem, ...] = ()


class AssignmentCells:
    """The derived assignments, one by one."""

    def __init__(self, declaration: Declaration, workloads: WorkloadCells) -> None:
        self._declaration = declaration
        self._workloads = workloads
        network = ipaddress.IPv4Network(declaration.settings.workload_cidr)
        self._host_address = str(network.network_address + 1)
        self._assigned: Derived[WorkloadId, Assigned] = Derived(declaration.graph, self._assign, "assignment")

    def assignment(self, at: WorkloadId) -> WorkloadAssignment | None:
        return self._assigned(at).assignment

    def problems(self) -> tuple[Problem, ...]:
        found: list[Problem] = []
        for at in self._workloads.ids():
            found += self._assigned(at).problems
        return tuple(found)

    # -- the functions behind the cells ----------------------------------------------------------

    def _assign(self, at: WorkloadId) -> Assigned:
        draft, workload = self._workloads.draft(at), self._workloads.workload(at)
        if draft is None or workload is None or not workload.addresses:
            return Assigned(None)
        settings = self._declaration.settings
        around = Surroundings(
            draft=draft,
            address=workload.address,
            host=settings.host,
            host_address=self._host_address,
            lookup=self._declaration.resources.get,
            images=settings.images,
        )
        match draft.runs:
            case PodSpec() as pod:
                made = pod_containers(pod, around)
            case AppVersion() as process:
                made = [process_container(process, around, self._folder(draft))]
            case None:
                made = []
        problems = tuple(_problem(draft, each) for each in made if isinstance(each, Unresolved))
        if problems:
            return Assigned(None, problems)
        containers = tuple(each for each in made if isinstance(each, Container))
        proxied = workload.proxy or workload.gateway
        proxy = proxy_settings(self._declaration, workload) if proxied else NOTHING
        return Assigned(_assignment(draft, workload, around.hostname, containers, proxy))

    def _folder(self, draft: Draft) -> str:
        """The folder of the file that declares it: relative working directories begin there."""
        resource = self._declaration.resources.get(draft.key)
        file = resource.place().file if resource is not None else ""
        return posixpath.join(self._declaration.settings.directory, posixpath.dirname(file))


def _assignment(
    draft: Draft,
    workload: Workload,
    hostname: str,
    containers: tuple[Container, ...],
    proxy: ProxySettings,
) -> WorkloadAssignment:
    numbers = {port.number for port in (*draft.gateway_ports, *draft.ports) if not port.udp}
    assignment = WorkloadAssignment(
        namespace=workload.namespace,
        name=workload.name,
        service_account=workload.service_account,
        identity=workload.identity,
        labels=workload.labels,
        addresses=workload.addresses,
        incarnation="",
        containers=containers,
        proxy=workload.proxy,
        proxyless=workload.proxyless,
        gateway=workload.gateway,
        proxy_concurrency=proxy.concurrency,
        proxy_environment=proxy.environment,
        ports=tuple(sorted(numbers)),
        restart=workload.restart,
        backoff_limit=draft.backoff_limit,
        hostname=hostname,
        external=draft.external,
    )
    return assignment.model_copy(update={"incarnation": incarnation(assignment)})


def incarnation(assignment: WorkloadAssignment) -> str:
    """A hash of all that needs a restart to take effect: the same content gives the same on every machine."""
    content = assignment.model_dump_json(exclude=_WITHOUT_RESTART)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _problem(draft: Draft, problem: Unresolved) -> Problem:
    return Problem(draft.key, problem.field, problem.code, Severity.ERROR, problem.message, problem.remedy)
