"""What agents answer to DNS questions about names of the mesh.

The records are Kubernetes' (specification "Kubernetes DNS-Based Service Discovery"): a service's virtual
address, the ready addresses of a headless one, a name for each instance that has a hostname, an alias for
an ExternalName. And what stands behind a virtual address, for flows that no proxy takes care of (UDP, and
the calls of workloads without a proxy). One table for each service, so that a change costs its own service.
"""

from __future__ import annotations

from tulle.kit.derived import Derived
from tulle.mesh.declaration import Declaration
from tulle.mesh.service.declared import SERVICE_ENTRY
from tulle.mesh.service.endpoint import EndpointCells
from tulle.mesh.service.service import Resolution, Service, ServiceCells
from tulle.mesh.view import Protocol
from tulle.mesh.workload.workload import WorkloadCells
from tulle.model.agentapi import NameTable


class DirectoryCells:
    """The derived name table. A service's readiness is read only where its addresses depend on it."""

    def __init__(
        self,
        declaration: Declaration,
        workloads: WorkloadCells,
        services: ServiceCells,
        endpoints: EndpointCells,
    ) -> None:
        self._declaration = declaration
        self._workloads = workloads
        self._services = services
        self._endpoints = endpoints
        self._records: Derived[str, NameTable] = Derived(declaration.graph, self._record, "records")

    def names_of(self, host: str) -> NameTable:
        """What one service contributes."""
        return self._records(host)

    # -- the function behind the cells -----------------------------------------------------------

    def _record(self, host: str) -> NameTable:
        domain = self._declaration.settings.cluster_domain
        service = self._services.service(host)
        if service is None:
            return NameTable(cluster_domain=domain)
        if service.external_name:
            return NameTable(cluster_domain=domain, aliases={host: service.external_name})
        addresses = {host: self._instances(service) if service.headless else service.addresses}
        if not service.addresses and (service.key.group, service.key.kind) == SERVICE_ENTRY:
            addresses = {}  # the machine's resolver knows the name
        return NameTable(
            cluster_domain=domain,
            addresses=addresses | self._instance_names(service),
            udp=self._behind(service, udp=True),
            tcp=self._behind(service, udp=False),
        )

    def _instances(self, service: Service) -> tuple[str, ...]:
        found = set(self._endpoints.written_addresses(service))
        for at in self._endpoints.published(service):
            workload = self._workloads.workload(at)
            found |= set(workload.addresses) if workload is not None else set[str]()
        return tuple(sorted(found))

    def _instance_names(self, service: Service) -> dict[str, tuple[str, ...]]:
        """HOSTNAME.SERVICE.NAMESPACE.svc of the instances that have a hostname under this service."""
        if service.selector is None:
            return {}
        found: dict[str, tuple[str, ...]] = {}
        for at in self._workloads.selected((service.namespace, service.selector)):
            workload = self._workloads.workload(at)
            if workload is None or not workload.hostname or workload.subdomain != service.name:
                continue
            if self._endpoints.is_published(service, at):
                found[f"{workload.hostname}.{service.host}"] = workload.addresses
        return found

    def _behind(self, service: Service, udp: bool) -> dict[str, tuple[str, ...]]:
        """What stands behind the service's virtual addresses, for callers that have no proxy in the way."""
        found: dict[str, tuple[str, ...]] = {}
        if service.resolution is not Resolution.STATIC:
            return found
        for port in service.ports:
            if (port.protocol is Protocol.UDP) is not udp:
                continue
            endpoints = tuple(
                f"{each.address}:{each.port}" for each in self._endpoints.at_port(service, port)
            )
            for address in service.addresses:
                found[f"{address}:{port.number}"] = endpoints
        return found
