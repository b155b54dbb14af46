"""What sources publish: the tables of the World, the indexes over them, and the mesh's settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tulle.kit.derived import Derived, Graph, Index, Table
from tulle.mesh.problem import Problem
from tulle.model.agentapi import Instance
from tulle.model.findings import Severity
from tulle.model.gateway_api import GROUP, ListenerSetSpec
from tulle.model.meshconfig import MeshConfigSpec
from tulle.model.resource import Key, Resource

WorkloadId = tuple[str, str]
"""(namespace, name)"""

MESH_CONFIG = ("tulle.dev", "MeshConfig")
NAMESPACE = ("", "Namespace")
LISTENER_SET = (GROUP, "ListenerSet")


@dataclass(frozen=True, slots=True)
class Settings:
    """What is fixed while a mesh runs, from the composition root."""

    trust_domain: str = ""
    """That of the authority, which a MeshConfig cannot change any more; "": as the MeshConfig says."""
    cluster_domain: str = "cluster.local"
    service_cidr: str = "240.240.0.0/16"
    workload_cidr: str = "10.244.0.0/16"
    root_namespace: str = "istio-system"
    host: str = "local"
    """The host that runs the workloads."""
    directory: str = ""
    """Where relative file names begin: an App's working directory is its file's folder."""
    images: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(image pattern with shell wildcards, command); `{args}` in it is the container's args; first match."""


class Declaration:
    """The tables that sources fill."""

    def __init__(self, graph: Graph, settings: Settings) -> None:
        self.graph = graph
        self.settings = settings
        self.resources: Table[Key, Resource[Any]] = Table(graph, "resources")
        self.instances: Table[WorkloadId, Instance] = Table(graph, "instances")
        self._by_kind: Index[tuple[str, str], Key, Resource[Any]] = Index(
            graph, self.resources, lambda key, _: ((key.group, key.kind),)
        )
        self._by_namespace: Index[tuple[str, str, str], Key, Resource[Any]] = Index(
            graph, self.resources, lambda key, _: ((key.group, key.kind, key.namespace),)
        )
        self._listener_sets: Index[Key, Key, Resource[Any]] = Index(graph, self.resources, _parent_of_set)
        self._mesh_config: Derived[str, MeshConfigSpec] = Derived(
            graph, self._find_mesh_config, "mesh_config"
        )
        self._mesh_config_name: Derived[str, str] = Derived(
            graph, self._find_mesh_config_name, "mesh_config_name"
        )
        self._namespaces: Derived[str, tuple[str, ...]] = Derived(graph, self._find_namespaces, "namespaces")

    def of_kind(self, group: str, kind: str, namespace: str | None = None) -> tuple[Resource[Any], ...]:
        """All resources of a kind, in the mesh or in one namespace, in the order of their keys."""
        if namespace is None:
            return self._by_kind.get((group, kind))
        return self._by_namespace.get((group, kind, namespace))

    def listener_sets(self, gateway: Key) -> tuple[Resource[ListenerSetSpec], ...]:
        """The ListenerSets that name this Gateway, the oldest first, taken in or not."""
        return tuple(sorted(self._listener_sets.get(gateway), key=_oldest_first))

    def mesh_config(self) -> MeshConfigSpec:
        return self._mesh_config("")

    def trust_domain(self) -> str:
        """The first part of every identity."""
        return self.settings.trust_domain or self.mesh_config().trust_domain

    def problems(self) -> tuple[Problem, ...]:
        """A MeshConfig that wants another trust domain than the running authority has."""
        fixed = self.settings.trust_domain
        return tuple(
            Problem(
                written.key,
                "spec.trustDomain",
                "trust-domain-fixed",
                Severity.WARNING,
                f"the mesh runs with the trust domain {fixed}, which its authority was made for",
                "start the mesh anew with this file among those given to `tulle up`",
            )
            for written in self.of_kind(*MESH_CONFIG)
            if fixed
            and "trust_domain" in written.spec.model_fields_set
            and written.spec.trust_domain != fixed
        )

    def namespaces(self) -> tuple[str, ...]:
        return self._namespaces("")

    def _find_namespaces(self, _: str) -> tuple[str, ...]:
        declared = {key.namespace for key in self.resources.keys() if key.namespace}  # noqa: SIM118  a Table is no dict
        return tuple(sorted(declared | {found.key.name for found in self.of_kind(*NAMESPACE)}))

    def mesh_config_name(self) -> str:
        """ "" while nobody wrote one."""
        return self._mesh_config_name("")

    def _find_mesh_config(self, _: str) -> MeshConfigSpec:
        written = self.of_kind(*MESH_CONFIG)
        return max(written, key=_age).spec if written else MeshConfigSpec()

    def _find_mesh_config_name(self, _: str) -> str:
        written = self.of_kind(*MESH_CONFIG)
        return max(written, key=_age).name if written else ""


def _age(resource: Resource[Any]) -> tuple[str, str, int, Key]:
    """The later it was created (or stands in the files), the larger."""
    place = resource.place("")
    return (resource.metadata.creation_timestamp or "", place.file, place.line, resource.key)


def _oldest_first(resource: Resource[Any]) -> tuple[str, str, str]:
    return (resource.metadata.creation_timestamp or "", resource.namespace, resource.name)


def _parent_of_set(key: Key, resource: Resource[Any]) -> Iterator[Key]:
    if (key.group, key.kind) == LISTENER_SET:
        spec: ListenerSetSpec = resource.spec
        ref = spec.parent_ref
        yield Key(ref.group, ref.kind, ref.namespace or key.namespace, ref.name)
