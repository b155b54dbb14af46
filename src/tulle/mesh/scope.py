"""Scopes: what of a workload decides what it may call. Workloads of one scope share one outbound part.

That is their namespace, of their labels those that some rule asks for (`sourceLabels`), and where they are if
any rule goes by that: where no rule does, a scope is a namespace. Whatever else comes to matter is another
field of `Scope` and another line in `ScopeCells._find`. Read by `resolve.py`, which asks for parts by scope,
and by all of the outbound side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tulle.kit.derived import Derived
from tulle.mesh.outbound.sidecar import SidecarCells
from tulle.mesh.route.attachment import Attachments
from tulle.mesh.service.place import NOWHERE, Locality
from tulle.mesh.workload.draft import Labels
from tulle.mesh.workload.workload import WorkloadId
from tulle.mesh.world import World


class Scope(NamedTuple):
    """What matters of a caller. As a *vantage* it says only what matters to one host."""

    namespace: str = ""
    """"": any in which nothing of its own holds."""
    labels: Labels = ()
    """Of the caller's labels those that rules ask for, sorted."""
    sidecar: str = ""
    """The names of the Sidecars that narrow its view (`SidecarCells.selected`)."""
    locality: Locality = NOWHERE
    """Where it is, if that matters to any rule."""

    def __str__(self) -> str:
        named = [f"{name}={value}" for name, value in self.labels]
        named += [f"sidecar={self.sidecar}"] if self.sidecar else []
        named += ["/".join(self.locality)] if self.locality != NOWHERE else []
        return ";".join((self.namespace, *named))

    def carries(self, labels: Mapping[str, str]) -> bool:
        """Whether the caller has all these labels, which a rule asks for."""
        return set(self.labels) >= labels.items()


ANYWHERE = Scope()
"""A caller of whom nothing matters."""


class ScopeCells:
    """The derived values of scopes."""

    def __init__(self, world: World, attachments: Attachments, sidecars: SidecarCells) -> None:
        graph = world.graph
        self._world = world
        self._attachments = attachments
        self._sidecars = sidecars
        self._asked: Derived[str, frozenset[tuple[str, str]]] = Derived(
            graph, self._list_asked, "asked_labels"
        )
        self._compared: Derived[str, frozenset[str]] = Derived(graph, self._list_compared, "compared_labels")
        self.scope: Derived[WorkloadId, Scope] = Derived(graph, self._find, "scope")

    def _find(self, at: WorkloadId) -> Scope:
        workload = self._world.workload(at)
        labels = workload.labels if workload is not None else ()
        asked, compared = self._asked(""), self._compared("")
        kept = asked.intersection(labels).union(pair for pair in labels if pair[0] in compared)
        kept_here = tuple(sorted(kept))
        local = self._attachments.local() or self._world.mesh_config().is_local
        place = workload.locality if workload is not None and local else NOWHERE
        if workload is not None and workload.gateway:
            return Scope(at[0], kept_here, locality=place)  # "A Sidecar is not applicable to gateways"
        return Scope(at[0], kept_here, self._sidecars.selected(at[0], labels), place)

    def _list_asked(self, _: str) -> frozenset[tuple[str, str]]:
        return frozenset(pair for each in self._attachments.asking() for pair in each.spec.source_labels)

    def _list_compared(self, _: str) -> frozenset[str]:
        local = self._attachments.local()
        of_mesh = self._world.mesh_config()
        names = {name for each in local for name in each.spec.compared_labels}
        return frozenset(names | of_mesh.compared_labels) if local or of_mesh.is_local else frozenset()
