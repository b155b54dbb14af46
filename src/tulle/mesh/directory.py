"""What agents answer to DNS questions about names of the mesh.

The records are Kubernetes' (specification "Kubernetes DNS-Based Service Discovery"): a service's virtual
address, the ready addresses of a headless one, a name for each instance that has a hostname, an alias for
an ExternalName. And for UDP, which passes the proxies by, what stands behind a virtual address.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tulle.kit.derived import Derived
from tulle.mesh.declaration import Declaration
from tulle.mesh.endpoint import EndpointCells
from tulle.mesh.service import Service, ServiceCells
from tulle.mesh.view import Protocol
from tulle.mesh.workload import WorkloadCells
from tulle.model.agentapi import NameTable


@dataclass(frozen=True, slots=True)
class Records:
    """What one service contributes to the table."""

    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    alias: str = ""
    udp: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


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
        self._records: Derived[str, Records] = Derived(declaration.graph, self._record, "records")
        self._names: Derived[str, NameTable] = Derived(declaration.graph, self._collect, "names")

    def names(self) -> NameTable:
        return self._names("")

    # -- the functions behind the cells ----------------------------------------------------------

    def _collect(self, _: str) -> NameTable:
        addresses: dict[str, tuple[str, ...]] = {}
        aliases: dict[str, str] = {}
        udp: dict[str, tuple[str, ...]] = {}
        for host in self._services.hosts():
            records = self._records(host)
            addresses |= records.addresses
            udp |= records.udp
            if records.alias:
                aliases[host] = records.alias
        return NameTable(
            cluster_domain=self._declaration.settings.cluster_domain,
            addresses=addresses,
            aliases=aliases,
            udp=udp,
        )

    def _record(self, host: str) -> Records:
        service = self._services.service(host)
        if service is None:
            return Records()
        if service.external_name:
            return Records(alias=service.external_name)
        addresses = {host: self._instances(service) if service.headless else service.addresses}
        return Records(addresses | self._instance_names(service), udp=self._udp(service))

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

    def _udp(self, service: Service) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for port in service.ports:
            if port.protocol is not Protocol.UDP:
                continue
            endpoints = tuple(
                f"{each.address}:{each.port}" for each in self._endpoints.at_port(service, port)
            )
            for address in service.addresses:
                found[f"{address}:{port.number}"] = endpoints
        return found
