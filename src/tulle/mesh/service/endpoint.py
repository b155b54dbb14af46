"""Endpoints: which addresses stand behind a service's port now.

One derived cell for each EDS name, so that one readiness that flips touches its own cells and nothing
else: no route, no cluster, no other service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tulle.kit.derived import Derived, Index
from tulle.mesh.declaration import Declaration, WorkloadId
from tulle.mesh.name import cluster_name
from tulle.mesh.service.declared import SERVICE_ENTRY
from tulle.mesh.service.place import Candidate, Order, arrange
from tulle.mesh.service.service import Service, ServiceCells, ServicePort
from tulle.mesh.service.service_entry import entry_endpoints, merged_labels, workload_endpoint
from tulle.mesh.view import Endpoint, EndpointSet, Origin, Protocol
from tulle.mesh.workload.draft import matches, sorted_labels
from tulle.mesh.workload.workload import Labels, WorkloadCells
from tulle.model import kubernetes
from tulle.model.agentapi import Phase
from tulle.model.resource import Key, Resource

_SERVICE_NAME = "kubernetes.io/service-name"
_GONE = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.STOPPING})


@dataclass(frozen=True, slots=True)
class EndpointQuery:
    """What an EDS name stands for: a port of a service, or the part of it that a subset selects."""

    host: str
    port: int
    subset: str = ""
    labels: Labels = ()
    """The subset's labels, sorted; they narrow the service's selector."""
    order: Order | None = None
    """How its callers want the endpoints; None: anyhow."""
    udp: bool = False

    @property
    def name(self) -> str:
        """The EDS name, which is the cluster's."""
        return cluster_name(self.host, self.port, self.subset, self.udp)


@dataclass(frozen=True, slots=True)
class Presence:
    """What of a workload's instance concerns its endpoints: no restart count, no message, no certificate."""

    there: bool = False
    """It runs, or is about to."""
    ready: bool = False
    lapsed: bool = False
    """Its host has been silent for longer than its lease: last choice, but not gone (decision 19)."""


class EndpointCells:
    """The derived values of endpoints."""

    def __init__(self, declaration: Declaration, workloads: WorkloadCells, services: ServiceCells) -> None:
        graph = declaration.graph
        self._declaration = declaration
        self._workloads = workloads
        self._services = services
        self._written: Index[tuple[str, str], Key, Resource[Any]] = Index(
            graph, declaration.resources, lambda _, resource: _written_for(resource)
        )
        self.presence: Derived[WorkloadId, Presence] = Derived(graph, self._find_presence, "presence")
        self.endpoints: Derived[EndpointQuery, EndpointSet] = Derived(graph, self._make, "endpoints")

    def at_port(self, service: Service, port: ServicePort, labels: Labels = ()) -> tuple[Endpoint, ...]:
        """The endpoints of one port, sorted by address and port. The reader depends on each of them."""
        return arrange(self._candidates(service, port, labels), None)[0]

    def published(self, service: Service) -> tuple[WorkloadId, ...]:
        """The workloads behind a service that DNS may name: ready, or published although they are not."""
        if service.selector is None:
            return ()
        ids = self._workloads.selected((service.namespace, service.selector))
        return tuple(at for at in ids if self.is_published(service, at))

    def is_published(self, service: Service, at: WorkloadId) -> bool:
        """Whether a workload behind this service may be called and named now."""
        presence = self.presence(at)
        return presence.ready or (service.publish_not_ready and presence.there)

    def written_addresses(self, service: Service) -> tuple[str, ...]:
        """The ready addresses of EndpointSlices and Endpoints, whatever the port."""
        if service.selector is not None:
            return ()
        found = {address for address, _, _ in self._slices(service)}
        return tuple(sorted(found))

    # -- the functions behind the cells ----------------------------------------------------------

    def _find_presence(self, at: WorkloadId) -> Presence:
        instance = self._declaration.instances.get(at)
        if instance is None:
            return Presence()
        return Presence(instance.phase not in _GONE, instance.ready, instance.lease_lapsed)

    def _make(self, query: EndpointQuery) -> EndpointSet:
        service = self._services.service(query.host)
        port = service.port(query.port, query.udp) if service is not None else None
        if service is None or port is None:
            return EndpointSet(query.name, (), Origin("Service", "", query.host))
        service = service.behind(port)
        endpoints, weights = arrange(self._candidates(service, port, query.labels), query.order)
        return EndpointSet(query.name, endpoints, replace(service.origin, field=port.field), weights)

    def _candidates(self, service: Service, port: ServicePort, labels: Labels) -> Iterable[Candidate]:
        """Who is there, each address and port once."""
        if service.selector is not None:
            found = self._of_workloads(service, port, labels)
        elif (service.key.group, service.key.kind) == SERVICE_ENTRY:
            found = self._of_entry(service, port, labels)
        else:
            found = self._of_slices(service, port) if not labels else iter(())
        return {(each.endpoint.address, each.endpoint.port): each for each in found}.values()

    def _of_workloads(self, service: Service, port: ServicePort, labels: Labels) -> Iterator[Candidate]:
        selector = tuple(sorted({*(service.selector or ()), *labels}))
        for at in self._workloads.selected((service.namespace, selector)):
            if not self.is_published(service, at):
                continue
            workload = self._workloads.workload(at)
            target = self._services.target_of(at, port)
            if workload is None or target is None:
                continue
            for address in workload.addresses:
                endpoint = Endpoint(
                    address=address,
                    port=target,
                    mtls=workload.proxy
                    and not workload.gateway
                    and not service.external
                    and port.protocol is not Protocol.UDP,
                    locality=workload.locality,
                    workload=f"{workload.namespace}/{workload.name}",
                )
                yield Candidate(endpoint, workload.labels, self.presence(at).lapsed)

        for entry in self._services.workload_entries(service, labels):
            written = workload_endpoint(entry.spec, service, port, f"{entry.namespace}/{entry.name}")
            if written is not None:
                yield Candidate(written, sorted_labels(merged_labels(entry)))

    def _of_entry(self, service: Service, port: ServicePort, labels: Labels) -> Iterator[Candidate]:
        resource = self._declaration.resources.get(service.key)
        for endpoint, own in entry_endpoints(resource, service, port) if resource is not None else ():
            if matches(labels, sorted_labels(own)):
                yield Candidate(endpoint, sorted_labels(own))

    def _of_slices(self, service: Service, port: ServicePort) -> Iterator[Candidate]:
        for address, zone, ports in self._slices(service):
            for name, number in ports:
                if name == port.name:
                    yield Candidate(Endpoint(address, number, mtls=False, locality=("", zone, "")))

    def _slices(self, service: Service) -> Iterator[tuple[str, str, tuple[tuple[str, int], ...]]]:
        """(address, zone, ((port name, port), ...)) of everything written for a service and ready."""
        for resource in self._written.get((service.namespace, service.name)):
            match resource.spec:
                case kubernetes.EndpointSliceSpec() as spec:
                    ports = _numbered(spec.ports)
                    for endpoint in spec.endpoints:
                        ready = endpoint.conditions.ready is not False
                        if spec.address_type == "IPv4" and (ready or service.publish_not_ready):
                            for address in endpoint.addresses:
                                yield (address, endpoint.zone or "", ports)
                case kubernetes.EndpointsSpec() as spec:
                    for subset in spec.subsets:
                        ports = _numbered(subset.ports)
                        addresses = [*subset.addresses]
                        if service.publish_not_ready:
                            addresses += subset.not_ready_addresses
                        for address in addresses:
                            yield (address.ip, "", ports)
                case _:
                    pass


def _numbered(ports: Sequence[kubernetes.EndpointPort]) -> tuple[tuple[str, int], ...]:
    return tuple((port.name, port.port) for port in ports if port.port is not None)


def _written_for(resource: Resource[Any]) -> tuple[tuple[str, str], ...]:
    """The service (namespace, name) that an EndpointSlice or Endpoints is written for."""
    match (resource.key.group, resource.key.kind):
        case ("discovery.k8s.io", "EndpointSlice"):
            name = resource.metadata.labels.get(_SERVICE_NAME)
            return ((resource.namespace, name),) if name else ()
        case ("", "Endpoints"):
            return ((resource.namespace, resource.name),)
        case _:
            return ()
