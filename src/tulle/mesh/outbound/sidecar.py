"""Sidecar (Istio): which services a workload's proxy knows, and what becomes of everything else.
(`inbound/sidecar_ingress.py` has what it says of the workload's own ports.)

A service that is left out is to its callers as if nobody had declared it. Its virtual address leads nowhere
then, whatever the policy: there is nothing but the proxies that could know where.
Read by `scope.py` and by the modules of the outbound side.
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle.kit.derived import Derived
from tulle.mesh.route.common import age, covers
from tulle.mesh.view import Origin
from tulle.mesh.workload.draft import sorted_labels
from tulle.mesh.workload.workload import Labels, matches
from tulle.mesh.world import World
from tulle.model import istio
from tulle.model.istio import SidecarSpec
from tulle.model.resource import Resource

SIDECAR = (istio.GROUP, "Sidecar")

_ANY = "*"


@dataclass(frozen=True, slots=True)
class Exposed:
    """The hosts of one egress listener."""

    hosts: tuple[tuple[str, str], ...]
    """Namespace (or `*`) and name, which may have a wildcard."""
    excluded: tuple[tuple[str, str], ...] = ()

    def has(self, namespace: str, host: str) -> bool:
        """Whether what a namespace declares for a host is exposed."""
        return _among(self.hosts, namespace, host) and not _among(self.excluded, namespace, host)

    def touches(self, namespace: str, pattern: str) -> bool:
        """The same for a pattern of hosts, which may stand for more than what is exposed."""
        near = any(
            scope in (_ANY, namespace) and (covers(name, pattern) or covers(pattern, name))
            for scope, name in self.hosts
        )
        return near and not _among(self.excluded, namespace, pattern)


def _among(hosts: tuple[tuple[str, str], ...], namespace: str, host: str) -> bool:
    return any(scope in (_ANY, namespace) and covers(name, host) for scope, name in hosts)


_EVERYTHING = Exposed(((_ANY, _ANY),))
_NOTHING = Exposed(())


@dataclass(frozen=True, slots=True)
class Egress:
    """What the Sidecars of a workload say of its calls."""

    by_port: tuple[tuple[int, Exposed], ...] = ()
    otherwise: Exposed = _EVERYTHING
    """Of all other ports."""
    allow_any: bool | None = None
    """None: as MeshConfig says."""
    policy: Origin | None = None
    """Where `allow_any` is written."""

    def at(self, port: int) -> Exposed:
        """What is exposed at a port: by the listener for it, or the one for all ports."""
        return next((each for number, each in self.by_port if number == port), self.otherwise)


NO_SIDECAR = Egress()


class SidecarCells:
    """The derived values of Sidecars."""

    def __init__(self, world: World) -> None:
        graph = world.graph
        self._world = world
        self._written: Derived[str, tuple[Resource[SidecarSpec], ...]] = Derived(
            graph, self._list, "sidecars"
        )
        self.egress: Derived[tuple[str, str], Egress] = Derived(graph, self._find_egress, "egress")

    def selected(self, namespace: str, labels: Labels) -> str:
        """The names of the Sidecars that hold for calls of a workload, the nearest first; "" if none does."""
        chain = self._chain(namespace, labels)
        saying = [each for each in chain if each.spec.egress or each.spec.outbound_traffic_policy]
        return ",".join(f"{each.namespace}/{each.name}" for each in saying)

    def nearest(self, namespace: str, labels: Labels) -> Resource[SidecarSpec] | None:
        """The one that holds for what reaches a workload: of that nothing is inherited."""
        return next(iter(self._chain(namespace, labels)), None)

    def _chain(self, namespace: str, labels: Labels) -> list[Resource[SidecarSpec]]:
        """One that selects the workload, the default of its namespace, and that of the root namespace."""
        root = self._world.settings.root_namespace
        here = self._written(namespace)
        selecting = [each for each in here if _selects(each.spec, labels)]
        defaults = [each for each in here if each.spec.workload_selector is None]
        global_ = [each for each in self._written(root) if each.spec.workload_selector is None]
        return [*selecting[:1], *defaults[:1], *(global_[:1] if namespace != root else ())]

    def _list(self, namespace: str) -> tuple[Resource[SidecarSpec], ...]:
        """Of several that mean the same workload the oldest holds (Istio leaves it undefined)."""
        return tuple(sorted(self._world.of_kind(*SIDECAR, namespace), key=age))

    def _find_egress(self, at: tuple[str, str]) -> Egress:
        """`at`: what `selected` answered, and the namespace of the workload.

        What the nearest Sidecar does not say the next one says ("If not specified, inherits the system
        detected defaults from the namespace-wide or the global default Sidecar").
        """
        names, namespace = at
        found = [self._resource(name) for name in names.split(",")]
        chain = [each for each in found if each is not None]
        listeners = next((each.spec.egress for each in chain if each.spec.egress), ())
        by_port = [
            (each.port.number, _exposed(each.hosts, namespace)) for each in listeners if each.port is not None
        ]
        rest = [_exposed(each.hosts, namespace) for each in listeners if each.port is None]
        otherwise = rest[0] if rest else (_NOTHING if by_port else _EVERYTHING)
        for each in chain:
            policy = each.spec.outbound_traffic_policy
            if policy is not None:
                origin = Origin("Sidecar", each.namespace, each.name, "spec.outboundTrafficPolicy.mode")
                return Egress(tuple(by_port), otherwise, policy.mode == "ALLOW_ANY", origin)
        return Egress(tuple(by_port), otherwise)

    def _resource(self, name: str) -> Resource[SidecarSpec] | None:
        namespace, _, own = name.partition("/")
        return next((each for each in self._written(namespace) if each.name == own), None)


def _selects(spec: SidecarSpec, labels: Labels) -> bool:
    selector = spec.workload_selector
    return selector is not None and matches(sorted_labels(selector.labels), labels)


def _exposed(written: tuple[str, ...], own: str) -> Exposed:
    hosts: list[tuple[str, str]] = []
    excluded: list[tuple[str, str]] = []
    for each in written:
        namespace, _, host = each.partition("/")
        plain = namespace.removeprefix("~") or _ANY
        target = hosts if plain == namespace else excluded
        target.append((own if plain == "." else plain, host.lower()))
    return Exposed(tuple(hosts), tuple(excluded))
