"""Services: the names that workloads call, with their ports and virtual addresses.

Made from Kubernetes Services, the services of an App, ServiceEntries, and gateways (which can be called by
name too).
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import replace
from typing import Any

from tulle.kit.derived import Derived, Index
from tulle.kit.mark import APPLICATION_PORT, INBOUND_PORT, OUTBOUND_PORT
from tulle.mesh.address import Allocation, Book
from tulle.mesh.clash import misfit, misfits, same_name
from tulle.mesh.declaration import Declaration, WorkloadId
from tulle.mesh.problem import Problem, warning
from tulle.mesh.service.declared import SERVICE_ENTRY, Entry, Resolution, Service, ServicePort
from tulle.mesh.service.joining import joined
from tulle.mesh.service.listing import SERVICE_KINDS, gateway_service, hosts, services
from tulle.mesh.service.service_entry import WORKLOAD_ENTRY, merged_labels, server_identity
from tulle.mesh.view import Protocol
from tulle.mesh.workload.draft import sorted_labels
from tulle.mesh.workload.workload import Labels, WorkloadCells, matches
from tulle.model.findings import Severity
from tulle.model.istio import WorkloadEntrySpec
from tulle.model.resource import Key, Resource

__all__ = ["Resolution", "Service", "ServiceCells", "ServicePort"]

_PROXY_PORTS: frozenset[int | str] = frozenset({OUTBOUND_PORT, INBOUND_PORT, APPLICATION_PORT})


class ServiceCells:
    """The derived values of services."""

    def __init__(
        self, declaration: Declaration, workloads: WorkloadCells, saved: MutableMapping[str, str]
    ) -> None:
        graph = declaration.graph
        domain = declaration.settings.cluster_domain
        self._declaration = declaration
        self._workloads = workloads
        self._book = Book(saved, "service/", declaration.settings.service_cidr)
        self._by_host: Index[str, Key, Resource[Any]] = Index(
            graph, declaration.resources, lambda _, resource: hosts(resource, domain)
        )
        self._owners: Index[str, Key, Resource[Any]] = Index(
            graph,
            declaration.resources,
            lambda key, _: (key.namespace,) if (key.group, key.kind) in SERVICE_KINDS else (),
        )
        self._entries: Derived[Key, dict[str, Entry]] = Derived(graph, self._list_entries, "service_entries")
        self._gateways: Derived[str, dict[str, Entry]] = Derived(
            graph, self._list_gateways, "gateway_services"
        )
        self._hosts_in: Derived[str, tuple[str, ...]] = Derived(graph, self._list_hosts, "service_hosts")
        self._all_hosts: Derived[str, tuple[str, ...]] = Derived(graph, self._list_all, "all_service_hosts")
        self._entry: Derived[str, Entry | None] = Derived(graph, self._find_entry, "service_entry")
        self._wanted: Derived[str, str | None] = Derived(graph, self._ask_wanted, "wanted_address")
        self._allocation: Derived[str, Allocation] = Derived(graph, self._allocate, "service_addresses")
        self._address: Derived[str, str] = Derived(graph, self._find_address, "service_address")
        self._selectors: Derived[str, dict[str, Labels]] = Derived(graph, self._list_selectors, "selectors")
        self._problems: Derived[str, tuple[Problem, ...]] = Derived(
            graph, self._find_problems, "service_problems"
        )
        self.service: Derived[str, Service | None] = Derived(graph, self._make, "service")
        self.identities: Derived[str, tuple[str, ...]] = Derived(
            graph, lambda host: self._find_identities(host, gateways=False), "identities"
        )
        self.proxy_identities: Derived[str, tuple[str, ...]] = Derived(
            graph, lambda host: self._find_identities(host, gateways=True), "proxy_identities"
        )
        self.of_workload: Derived[WorkloadId, tuple[Service, ...]] = Derived(
            graph, self._find_of_workload, "services_of_workload"
        )

    def hosts(self) -> tuple[str, ...]:
        return self._all_hosts("")

    def target(self, at: WorkloadId, host: str, port: int) -> int | None:
        service = self.service(host)
        found = service.port(port) if service is not None else None
        return self.target_of(at, found) if found is not None else None

    def target_of(self, at: WorkloadId, port: ServicePort) -> int | None:
        """The workload's own port behind a service's port; None if it declares no port of that name."""
        if isinstance(port.target, int):
            return port.target
        workload = self._workloads.workload(at)
        return (
            workload.port_named(port.target, port.protocol is Protocol.UDP) if workload is not None else None
        )

    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for host in self.hosts() for problem in self._problems(host))

    def clashes(self, coming: Iterable[Resource[Any]]) -> tuple[Problem, ...]:
        """Which of these resources, not published yet, are refused because of services that stand."""
        domain = self._declaration.settings.cluster_domain
        return misfits(coming, lambda resource: services(resource, domain), self._entry)

    # -- the functions behind the cells ----------------------------------------------------------

    def _list_entries(self, key: Key) -> dict[str, Entry]:
        resource = self._declaration.resources.get(key)
        if resource is None:
            return {}
        return {
            entry.service.host: entry
            for entry in services(resource, self._declaration.settings.cluster_domain)
        }

    def _list_gateways(self, _: str) -> dict[str, Entry]:
        domain = self._declaration.settings.cluster_domain
        drafts = (self._workloads.draft(workload.id) for workload in self._workloads.gateways())
        entries = (gateway_service(draft, domain) for draft in drafts if draft is not None)
        return {entry.service.host: entry for entry in entries}

    def _find_entry(self, host: str) -> Entry | None:
        """A platform's service stands before a ServiceEntry of the same name, and of those the oldest."""
        resources = sorted(self._by_host.get(host), key=_rank)
        found = [self._entries(resource.key).get(host) for resource in resources]
        entries = [entry for entry in found if entry is not None]
        standing = [entry for entry in entries if not entry.external]
        if standing:
            return joined(standing)
        return self._gateways("").get(host) or next(iter(entries), None)

    def _list_hosts(self, namespace: str) -> tuple[str, ...]:
        found = {host for resource in self._owners.get(namespace) for host in self._entries(resource.key)}
        return tuple(sorted(found))

    def _list_all(self, _: str) -> tuple[str, ...]:
        found = {host for namespace in self._declaration.namespaces() for host in self._hosts_in(namespace)}
        return tuple(sorted(found | self._gateways("").keys()))

    def _ask_wanted(self, host: str) -> str | None:
        """The virtual address that somebody wrote, "" if any will do, None if there shall be none."""
        entry = self._entry(host)
        return entry.wanted_address if entry is not None and entry.virtual else None

    def _allocate(self, _: str) -> Allocation:
        wanted = {host: self._wanted(host) for host in self._all_hosts("")}
        return self._book.allocate({host: address for host, address in wanted.items() if address is not None})

    def _find_address(self, host: str) -> str:
        return self._allocation("").addresses.get(host, "")

    def _make(self, host: str) -> Service | None:
        entry = self._entry(host)
        if entry is None:
            return None
        service = entry.service
        default = self._declaration.mesh_config().default_service_export_to
        if default and not service.export_to and not service.gateway:
            service = replace(service, export_to=default)
        if not entry.virtual:
            return service
        address = self._address(host)
        return replace(service, addresses=(address,) if address else ())

    def _find_identities(self, host: str, gateways: bool) -> tuple[str, ...]:
        service = self.service(host)
        if service is None or service.external:
            return ()
        found = {name for name in service.server_names if "://" in name}
        found |= self._written_identities(service)
        if service.selector is None:
            return tuple(sorted(found))
        for at in self._workloads.selected((service.namespace, service.selector)):
            workload = self._workloads.workload(at)
            if workload is not None and workload.proxy and (gateways or not workload.gateway):
                found.add(workload.identity)
        return tuple(sorted(found))

    def _written_identities(self, service: Service) -> set[str]:
        """Those of endpoints that people wrote."""
        trust_domain = self._declaration.trust_domain()
        resource = self._declaration.resources.get(service.key)
        own = (service.key.group, service.key.kind) == SERVICE_ENTRY and resource is not None
        written = [*resource.spec.endpoints] if resource is not None and own else []
        written += (each.spec for each in self.workload_entries(service))
        named = (server_identity(each, service.namespace, trust_domain) for each in written)
        return {identity for identity in named if identity is not None}

    def workload_entries(
        self, service: Service, labels: Labels = ()
    ) -> tuple[Resource[WorkloadEntrySpec], ...]:
        """The WorkloadEntries that a service selects, those alone that carry these labels too."""
        if service.selector is None:
            return ()
        selector = tuple(sorted({*service.selector, *labels}))
        entries = self._declaration.of_kind(*WORKLOAD_ENTRY, service.namespace)
        return tuple(each for each in entries if matches(selector, sorted_labels(merged_labels(each))))

    def _list_selectors(self, namespace: str) -> dict[str, Labels]:
        hosts = set(self._hosts_in(namespace))
        hosts |= {host for host, entry in self._gateways("").items() if entry.service.namespace == namespace}
        entries = {host: self._entry(host) for host in sorted(hosts)}
        return {
            host: entry.service.selector
            for host, entry in entries.items()
            if entry is not None and entry.service.selector is not None
        }

    def _find_of_workload(self, at: WorkloadId) -> tuple[Service, ...]:
        workload = self._workloads.workload(at)
        if workload is None:
            return ()
        selecting = (
            self.service(host)
            for host, selector in self._selectors(at[0]).items()
            if matches(selector, workload.labels)
        )
        return tuple(service for service in selecting if service is not None)

    def _find_problems(self, host: str) -> tuple[Problem, ...]:
        entry, service = self._entry(host), self.service(host)
        if entry is None or service is None:
            return ()
        problems: list[Problem] = []

        def add(field: str, code: str, severity: Severity, message: str, remedy: str) -> None:
            problems.append(Problem(service.key, f"{service.field}{field}", code, severity, message, remedy))

        for resource in self._by_host.get(host):
            other = self._entries(resource.key).get(host)
            if other is None or other.service.key == service.key:
                continue
            if other.external:
                problems += filter(None, [misfit(resource, other.service, service)])
            elif (resource.key.group, resource.key.kind) == SERVICE_ENTRY:
                if any(port.adds is not None and port.adds.key == resource.key for port in service.ports):
                    continue
                message = f"{host} is declared by {service.key} already, which alone holds"
                remedy = "Write its ports and endpoints into one resource, or give it a host of its own."
                problems.append(warning(resource, other.service.field, "host-conflict", message, remedy))
            else:
                problems.append(same_name(other.service, service))
        allocation = self._allocation("")
        if host in allocation.exhausted:
            add(
                "",
                "no-address-left",
                Severity.ERROR,
                f"{host} has no virtual address: {self._book.cidr} is full",
                "Delete services, or give the mesh a larger service network.",
            )
        if host in allocation.refused:
            add(
                entry.wanted_field,
                "address-not-honoured",
                Severity.WARNING,
                f"{allocation.refused[host]}; {self._address(host) or 'none'} is used instead",
                "Remove it, or write a free address of the service network.",
            )
        for port in () if service.gateway else service.ports:
            reserved = sorted({port.number, port.target} & _PROXY_PORTS, key=str)
            if reserved and port.protocol is not Protocol.UDP:
                problems.append(
                    Problem(
                        service.key,
                        port.field,
                        "reserved-port",
                        Severity.WARNING,
                        f"port {reserved[0]} belongs to the proxies: nothing else is reached there",
                        f"Use another port than {', '.join(map(str, sorted(_PROXY_PORTS, key=str)))}.",
                    )
                )
        if service.selector is not None:
            selected = self._workloads.selected((service.namespace, service.selector))
            if not selected and entry.selector_field and not self.workload_entries(service):
                problems.append(
                    Problem(
                        service.key,
                        entry.selector_field,
                        "selects-nothing",
                        Severity.WARNING,
                        f"no workload of namespace {service.namespace} has these labels",
                        "Compare the selector with the labels of the pod template.",
                    )
                )
            for port in service.ports:
                if (
                    selected
                    and isinstance(port.target, str)
                    and not any(self.target_of(at, port) for at in selected)
                ):
                    problems.append(
                        Problem(
                            service.key,
                            f"{port.field}.targetPort",
                            "unknown-target-port",
                            Severity.WARNING,
                            f"no workload behind {service.name} declares a port called {port.target}",
                            "Name the container's port so, or write its number.",
                        )
                    )
        return tuple(problems)


def _rank(resource: Resource[Any]) -> tuple[bool, str, Key]:
    is_entry = (resource.key.group, resource.key.kind) == SERVICE_ENTRY
    return (is_entry, (resource.metadata.creation_timestamp or "") if is_entry else "", resource.key)
