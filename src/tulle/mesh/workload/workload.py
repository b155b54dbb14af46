"""Workloads: what shall run, one value for each process group with an address of its own.

Expanded from App, Deployment, StatefulSet, DaemonSet, Job and Pod, and from gateways (their own proxies). A
workload here is what was *declared*; whether it runs and is ready is its `Instance`, which agents report.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from tulle.kit.derived import Derived, Index
from tulle.mesh.address import Allocation, Book, usable
from tulle.mesh.clash import clashes, taken
from tulle.mesh.declaration import Declaration, WorkloadId
from tulle.mesh.gateway import deployment
from tulle.mesh.gateway.ingress_class import ingresses
from tulle.mesh.gateway.listener_set import attached_sets
from tulle.mesh.problem import Problem
from tulle.mesh.view import Origin
from tulle.mesh.workload.draft import Draft, Labels, WorkloadPort, locality, matches
from tulle.mesh.workload.expansion import OWNERS, expand
from tulle.model import gateway_api, istio
from tulle.model.agentapi import RestartPolicy
from tulle.model.findings import Severity
from tulle.model.resource import Key, Resource

__all__ = ["Labels", "Workload", "WorkloadCells", "WorkloadId", "WorkloadPort", "matches"]

_GATEWAY = (gateway_api.GROUP, "Gateway")
_ISTIO_GATEWAY = (istio.GROUP, "Gateway")


@dataclass(frozen=True, slots=True)
class Workload:
    """One declared workload. What its containers run is in its `WorkloadAssignment`."""

    namespace: str
    name: str
    labels: Labels
    service_account: str
    identity: str
    """spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT"""
    addresses: tuple[str, ...]
    """Its own; empty only when the network has none left (a finding says so)."""
    key: Key
    """The resource that declares it."""
    field: str = ""
    """Where in that resource: `spec.services.reviews.versions.v1`."""
    locality: tuple[str, str, str] = ("", "", "")
    """region, zone, sub-zone"""
    ports: tuple[WorkloadPort, ...] = ()
    proxy: bool = True
    """Whether an Envoy stands before it; always for a gateway."""
    proxyless: bool = False
    """No Envoy, but its own gRPC library is an xDS client."""
    gateway: bool = False
    """The workload is itself a proxy with listeners that people configured."""
    hostname: str = ""
    subdomain: str = ""
    """With `hostname`, its own DNS name HOSTNAME.SUBDOMAIN.NAMESPACE.svc (headless services)."""
    restart: RestartPolicy = RestartPolicy.ALWAYS
    annotations: Labels = ()

    @property
    def id(self) -> WorkloadId:
        return (self.namespace, self.name)

    @property
    def address(self) -> str:
        """The first address, or "" if there is none."""
        return self.addresses[0] if self.addresses else ""

    @property
    def origin(self) -> Origin:
        return Origin(self.key.kind, self.key.namespace, self.key.name, self.field)

    def port_named(self, name: str, udp: bool = False) -> int | None:
        """The number of a declared port."""
        return next((port.number for port in self.ports if port.name == name and port.udp == udp), None)


class WorkloadCells:
    """The derived values of workloads."""

    def __init__(self, declaration: Declaration, saved: MutableMapping[str, str]) -> None:
        graph = declaration.graph
        self._declaration = declaration
        self._book = Book(saved, "workload/", declaration.settings.workload_cidr)
        self._by_id: Index[WorkloadId, Key, Resource[Any]] = Index(
            graph, declaration.resources, lambda _, resource: [draft.id for draft in expand(resource)]
        )
        self._owners: Index[str, Key, Resource[Any]] = Index(
            graph,
            declaration.resources,
            lambda key, _: (key.namespace,) if (key.group, key.kind) in OWNERS else (),
        )
        self._expansion: Derived[Key, tuple[Draft, ...]] = Derived(graph, self._expand, "expansion")
        self._implied: Derived[str, dict[str, Draft]] = Derived(graph, self._imply, "implied_gateways")
        self._ids_in: Derived[str, tuple[WorkloadId, ...]] = Derived(graph, self._list_ids, "workload_ids")
        self._all_ids: Derived[str, tuple[WorkloadId, ...]] = Derived(
            graph, self._list_all, "all_workload_ids"
        )
        self._allocation: Derived[str, Allocation] = Derived(graph, self._allocate, "workload_addresses")
        self._wanted: Derived[WorkloadId, str] = Derived(graph, self._find_wanted, "wanted_workload_address")
        self._address: Derived[WorkloadId, str] = Derived(graph, self._find_address, "workload_address")
        self._own_labels: Derived[str, dict[str, Labels]] = Derived(
            graph, self._list_labels, "workload_labels"
        )
        self._injects: Derived[str, bool] = Derived(graph, self._ask_injection, "injects")
        self._conflicts: Derived[str, tuple[Problem, ...]] = Derived(graph, self._find_conflicts, "conflicts")
        self.handles_class: Derived[str, bool] = Derived(graph, self._ask_class, "handles_class")
        self.draft: Derived[WorkloadId, Draft | None] = Derived(graph, self._find_draft, "draft")
        self.workload: Derived[WorkloadId, Workload | None] = Derived(graph, self._make, "workload")
        self.selected: Derived[tuple[str, Labels], tuple[WorkloadId, ...]] = Derived(
            graph, self._select, "selected"
        )

    def ids(self, namespace: str | None = None) -> tuple[WorkloadId, ...]:
        return self._all_ids("") if namespace is None else self._ids_in(namespace)

    def gateways(self) -> tuple[Workload, ...]:
        """The gateways' own proxies, sorted by namespace and name."""
        ids = {
            (resource.namespace, deployment.workload_name(resource.name))
            for resource in self._declared_gateways()
        }
        ids |= {(self._declaration.settings.root_namespace, name) for name in self._implied("")}
        found = (self.workload(at) for at in sorted(ids))
        return tuple(workload for workload in found if workload is not None and workload.gateway)

    def problems(self) -> tuple[Problem, ...]:
        found: list[Problem] = []
        for namespace in self._declaration.namespaces():
            found += self._conflicts(namespace)
        for at in self.ids():
            draft = self.draft(at)
            if draft is not None and not self._address(at):
                found.append(
                    Problem(
                        draft.key,
                        draft.field,
                        "no-address-left",
                        Severity.ERROR,
                        f"workload {draft.name} has no address: {self._book.cidr} is full",
                        "Run fewer workloads, or give the mesh a larger workload network.",
                    )
                )
        return tuple(found)

    def clashes(self, coming: Iterable[Resource[Any]]) -> tuple[Problem, ...]:
        """What of these resources, not published yet, declares a workload that another one declares."""

        def standing(at: WorkloadId) -> Iterable[Key]:
            return (resource.key for resource in self._by_id.get(at) if self._drafts(resource.key))

        return clashes(coming, standing)

    # -- the functions behind the cells ----------------------------------------------------------

    def _declared_gateways(self) -> tuple[Resource[gateway_api.GatewaySpec], ...]:
        return self._declaration.of_kind(*_GATEWAY)

    def _expand(self, key: Key) -> tuple[Draft, ...]:
        resource = self._declaration.resources.get(key)
        return expand(resource) if resource is not None else ()

    def _ask_class(self, name: str) -> bool:
        written = self._declaration.resources.get(Key(gateway_api.GROUP, "GatewayClass", "", name))
        if written is None:
            return name in deployment.CLASSES
        spec: gateway_api.GatewayClassSpec = written.spec
        ours = spec.controller_name == deployment.CONTROLLER
        return ours and not deployment.unknown_parameters(spec.parameters_ref)

    def _drafts(self, key: Key) -> tuple[Draft, ...]:
        """The workloads that a resource declares in this mesh: none for a gateway of another controller."""
        drafts = self._expansion(key)
        if (key.group, key.kind) == _GATEWAY:
            labels = dict(drafts[0].labels) if drafts else {}
            return drafts if self.handles_class(labels.get(deployment.GATEWAY_CLASS, "")) else ()
        return drafts

    def _find_draft(self, at: WorkloadId) -> Draft | None:
        for resource in self._by_id.get(at):
            for draft in self._drafts(resource.key):
                if draft.id == at:
                    return self._with_sets(draft)
        if at[0] == self._declaration.settings.root_namespace:
            return self._implied("").get(at[1])
        return None

    def _with_sets(self, draft: Draft) -> Draft:
        """A gateway's proxy with the ports of the ListenerSets that the Gateway takes in."""
        gateway = self._declaration.resources.get(draft.key) if draft.gateway else None
        sets = attached_sets(self._declaration, gateway) if gateway is not None else ()
        return deployment.with_ports_of(draft, sets) if sets else draft

    def _imply(self, _: str) -> dict[str, Draft]:
        gateways: tuple[Resource[istio.GatewaySpec], ...] = self._declaration.of_kind(*_ISTIO_GATEWAY)
        served = ingresses(self._declaration)
        if not gateways and not served:
            return {}
        labels: list[Labels] = []
        for namespace in self._declaration.namespaces():
            labels += self._own_labels(namespace).values()
        return deployment.implied_proxies(gateways, served, labels, self._declaration.settings.root_namespace)

    def _list_labels(self, namespace: str) -> dict[str, Labels]:
        """Labels of what is declared in a namespace; not of the gateways that are implied."""
        found: dict[str, Labels] = {}
        for resource in self._owners.get(namespace):
            for draft in self._drafts(resource.key):
                found.setdefault(draft.name, draft.labels)
        return found

    def _list_ids(self, namespace: str) -> tuple[WorkloadId, ...]:
        names = set(self._own_labels(namespace))
        if namespace == self._declaration.settings.root_namespace:
            names |= self._implied("").keys()
        return tuple((namespace, name) for name in sorted(names))

    def _list_all(self, _: str) -> tuple[WorkloadId, ...]:
        root = self._declaration.settings.root_namespace
        namespaces = {*self._declaration.namespaces(), root}
        return tuple(at for namespace in sorted(namespaces) for at in self._ids_in(namespace))

    def _select(self, asked: tuple[str, Labels]) -> tuple[WorkloadId, ...]:
        namespace, selector = asked
        labels = dict(self._own_labels(namespace))
        if namespace == self._declaration.settings.root_namespace:
            labels = {name: draft.labels for name, draft in self._implied("").items()} | labels
        return tuple((namespace, name) for name in sorted(labels) if matches(selector, labels[name]))

    def _allocate(self, _: str) -> Allocation:
        return self._book.allocate({"/".join(at): self._wanted(at) for at in self._all_ids("")})

    def _find_wanted(self, at: WorkloadId) -> str:
        """The address that somebody wrote for a workload: of several the first that can be given."""
        draft = self.draft(at)
        wanted = draft.wanted_addresses if draft is not None else ()
        network = IPv4Network(self._book.cidr)
        return next((each for each in wanted if usable(each, network)), wanted[0] if wanted else "")

    def _find_address(self, at: WorkloadId) -> str:
        return self._allocation("").addresses.get(f"{at[0]}/{at[1]}", "")

    def _ask_injection(self, namespace: str) -> bool:
        written = self._declaration.resources.get(Key("", "Namespace", "", namespace))
        return written is None or written.metadata.labels.get("istio-injection") != "disabled"

    def _find_conflicts(self, namespace: str) -> tuple[Problem, ...]:
        owners: dict[str, Draft] = {}
        problems: list[Problem] = []
        for resource in self._owners.get(namespace):
            for draft in self._drafts(resource.key):
                first = owners.setdefault(draft.name, draft)
                if first is not draft:
                    problems.append(taken(draft, first.key))
        return tuple(problems)

    def _make(self, at: WorkloadId) -> Workload | None:
        draft = self.draft(at)
        if draft is None:
            return None
        address = self._address(at)
        trust_domain = self._declaration.trust_domain()
        meshed = draft.gateway or (draft.inject and self._injects(draft.namespace))
        return Workload(
            namespace=draft.namespace,
            name=draft.name,
            labels=draft.labels,
            service_account=draft.service_account,
            identity=f"spiffe://{trust_domain}/ns/{draft.namespace}/sa/{draft.service_account}",
            addresses=(address,) if address else (),
            key=draft.key,
            field=draft.field,
            locality=locality(draft),
            ports=draft.ports,
            proxy=meshed and not draft.proxyless,
            proxyless=meshed and draft.proxyless,
            gateway=draft.gateway,
            hostname=draft.hostname,
            subdomain=draft.subdomain,
            restart=draft.restart,
            annotations=draft.annotations,
        )
