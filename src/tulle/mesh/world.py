"""The World: everything that people wrote and platforms reported, answered by name.

Sources publish into its tables; `resolve`, the agents' assignments and the status read its accessors.
Every accessor records what it read (`kit.derived`), so a reader is computed again only when an answer
that it used has changed: a route never touches a service, a readiness never touches a route.

Fed by the composition root; read by `mesh/` and by the composition root.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

from tulle.kit.derived import Graph, Table
from tulle.mesh.declaration import Declaration, Settings, WorkloadId
from tulle.mesh.directory import DirectoryCells
from tulle.mesh.name import qualify
from tulle.mesh.problem import Problem, locate
from tulle.mesh.service.endpoint import EndpointCells, EndpointQuery
from tulle.mesh.service.service import Service, ServiceCells
from tulle.mesh.view import EndpointSet
from tulle.mesh.workload.assignment import AssignmentCells
from tulle.mesh.workload.workload import Labels, Workload, WorkloadCells
from tulle.model.agentapi import Instance, NameTable, WorkloadAssignment
from tulle.model.findings import Finding
from tulle.model.istio import WorkloadEntrySpec
from tulle.model.meshconfig import MeshConfigSpec
from tulle.model.resource import Key, Resource


class World:
    """One mesh. `allocations` keeps virtual addresses over restarts (key -> address); the caller saves it."""

    def __init__(
        self, graph: Graph, settings: Settings, allocations: MutableMapping[str, str] | None = None
    ) -> None:
        self.graph = graph
        self.declaration = Declaration(graph, settings)
        self.resources: Table[Key, Resource[Any]] = self.declaration.resources
        self.instances: Table[WorkloadId, Instance] = self.declaration.instances
        book: MutableMapping[str, str] = {} if allocations is None else allocations
        self._workloads = WorkloadCells(self.declaration, book)
        self._services = ServiceCells(self.declaration, self._workloads, book)
        self._endpoints = EndpointCells(self.declaration, self._workloads, self._services)
        self._assignments = AssignmentCells(self.declaration, self._workloads)
        self._directory = DirectoryCells(self.declaration, self._workloads, self._services, self._endpoints)

    def report(self, at: WorkloadId, instance: Instance | None, lapsed: bool) -> bool:
        """Take in what an agent says of a workload; None if nothing is known of it any more.

        `lapsed`: the lease of its host has run out. Returns whether anything changed.
        """
        if instance is None:
            return self.instances.remove(at)
        return self.instances.publish(at, instance.model_copy(update={"lease_lapsed": lapsed}))

    # -- resources -------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        return self.declaration.settings

    def resource(self, key: Key) -> Resource[Any] | None:
        """One resource. The reader depends on it alone (and on its absence)."""
        return self.resources.get(key)

    def of_kind(self, group: str, kind: str, namespace: str | None = None) -> tuple[Resource[Any], ...]:
        """All resources of a kind, in the mesh or in one namespace, in the order of their names."""
        return self.declaration.of_kind(group, kind, namespace)

    def mesh_config(self) -> MeshConfigSpec:
        """The mesh's configuration; the defaults where nobody wrote one, the latest where several did."""
        return self.declaration.mesh_config()

    def trust_domain(self) -> str:
        return self.declaration.trust_domain()

    # -- workloads -------------------------------------------------------------------------------

    def workload(self, at: WorkloadId) -> Workload | None:
        """One declared workload."""
        return self._workloads.workload(at)

    def workload_ids(self, namespace: str | None = None) -> tuple[WorkloadId, ...]:
        """(namespace, name) of all declared workloads, sorted. The reader depends on the names alone."""
        return self._workloads.ids(namespace)

    def workloads(self, namespace: str | None = None) -> tuple[Workload, ...]:
        """The declared workloads, in the mesh or in one namespace. The reader depends on all of them."""
        found = (self.workload(at) for at in self.workload_ids(namespace))
        return tuple(workload for workload in found if workload is not None)

    def selected(self, namespace: str, selector: Labels) -> tuple[WorkloadId, ...]:
        """The workloads of a namespace that carry all these labels. The reader depends on the answer."""
        return self._workloads.selected((namespace, selector))

    def namespaces(self) -> tuple[str, ...]:
        """Every namespace in which something is declared, sorted."""
        return self.declaration.namespaces()

    def gateways(self) -> tuple[Workload, ...]:
        """The gateways' own proxies."""
        return self._workloads.gateways()

    def handles_class(self, name: str) -> bool:
        """Whether Gateways of this GatewayClass are ours."""
        return self._workloads.handles_class(name)

    # -- services --------------------------------------------------------------------------------

    def service(self, host: str) -> Service | None:
        """One service by its full name."""
        return self._services.service(host)

    def find_service(self, name: str, namespace: str) -> Service | None:
        """A service by the name that somebody wrote in `namespace`, short or full."""
        exact = self.service(name.lower().rstrip("."))
        return exact or self.service(qualify(name, namespace, self.settings.cluster_domain))

    def service_hosts(self) -> tuple[str, ...]:
        """The full names of all services, sorted. The reader depends on the names alone."""
        return self._services.hosts()

    def services(self) -> tuple[Service, ...]:
        """All services, in the order of their full names. The reader depends on all of them."""
        found = (self.service(host) for host in self.service_hosts())
        return tuple(service for service in found if service is not None)

    def server_identities(self, host: str) -> tuple[str, ...]:
        """The identities that a server of this service may have, sorted.

        They come from the declared workloads that the service selects, ready or not, so that an endpoint
        never comes before the cluster that allows it (decision 18).
        """
        return self._services.identities(host)

    def proxy_identities(self, host: str) -> tuple[str, ...]:
        """The same with the gateways among them, for callers that speak mTLS to those too, sorted."""
        return self._services.proxy_identities(host)

    def services_of(self, at: WorkloadId) -> tuple[Service, ...]:
        """The services that select a workload, in the order of their full names."""
        return self._services.of_workload(at)

    def workload_entries(self, service: Service) -> tuple[Resource[WorkloadEntrySpec], ...]:
        """The WorkloadEntries that a service selects, in the order of their names."""
        return self._services.workload_entries(service)

    def target_ports(self, at: WorkloadId, host: str, port: int) -> int | None:
        """The workload's own port behind a service's port; None if it has no port of that name."""
        return self._services.target(at, host, port)

    # -- endpoints -------------------------------------------------------------------------------

    def endpoints(self, query: EndpointQuery) -> EndpointSet:
        """The endpoints of one EDS name, ready ones only."""
        return self._endpoints.endpoints(query)

    # -- what agents are told --------------------------------------------------------------------

    def assignment(self, at: WorkloadId) -> WorkloadAssignment | None:
        """What the host of a workload shall run; None if it cannot run (a finding says why)."""
        return self._assignments.assignment(at)

    def names_of(self, host: str) -> NameTable:
        """What agents answer to DNS questions about the names of one service."""
        return self._directory.names_of(host)

    def host_of(self, at: WorkloadId) -> str | None:
        """The host that a workload is placed on."""
        return self.settings.host if self.workload(at) is not None else None

    def placed(self, host: str, namespace: str, name: str) -> str | None:
        """The identity that this host may have signed for a workload; None if it is not placed there."""
        workload = self.workload((namespace, name))
        return workload.identity if workload is not None and self.settings.host == host else None

    def has_proxy(self, namespace: str, name: str) -> bool:
        """Whether a certificate for this workload may be marked as a proxy's."""
        workload = self.workload((namespace, name))
        return workload is not None and workload.proxy

    # -- findings --------------------------------------------------------------------------------

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with workloads, services and assignments. Routes have findings of their own."""
        found = {
            *self.declaration.problems(),
            *self._workloads.problems(),
            *self._services.problems(),
            *self._assignments.problems(),
        }
        return tuple(sorted(found))

    def clashes(self, coming: Sequence[Resource[Any]]) -> tuple[Finding, ...]:
        """Why resources that are not published yet cannot be: names that others have."""
        found = {*self._workloads.clashes(coming), *self._services.clashes(coming)}
        return locate(sorted(found), {each.key: each for each in coming}.get)

    def findings(self) -> tuple[Finding, ...]:
        """The problems, with file, line and column."""
        return locate(self.problems(), self.resources.get)
