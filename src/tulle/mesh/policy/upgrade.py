"""h2UpgradePolicy of a MeshConfig, and what it means on the server's side, by a DestinationRule too.

Proxies speak HTTP/2 to each other then, whatever the two applications speak ("h2 upgrade ... sidecar to
sidecar", destination_rule.proto). So a port that is declared HTTP/1.1 is called in HTTP/1.1, even if what
arrives is HTTP/2; without such a rule it would be called as its caller called. Read by
`outbound/cluster.py` and `inbound/inbound.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tulle.kit.derived import Derived, Index
from tulle.mesh.policy.destination import Settings, at_port, rule_host
from tulle.mesh.route.attachment import DESTINATION_RULE
from tulle.mesh.route.common import covers
from tulle.mesh.view import Cluster, Protocol, Upstream
from tulle.mesh.world import World
from tulle.model.istio import DestinationRuleSpec, HTTPSettings, TrafficPolicy
from tulle.model.resource import Key, Resource


class UpgradeCells:
    """Which ports somebody's callers are told to speak HTTP/2 to."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._asking: Index[str, Key, Resource[DestinationRuleSpec]] = Index(
            world.graph, world.resources, _asks
        )
        self.upgraded: Derived[tuple[str, int], bool] = Derived(world.graph, self._ask, "upgraded")
        self._by_default: Derived[str, bool] = Derived(
            world.graph, lambda _: world.mesh_config().h2_upgrade_policy == "UPGRADE", "upgrades"
        )

    def _ask(self, at: tuple[str, int]) -> bool:
        """Of a service's host and port."""
        host, port = at
        return self._by_default("") or any(
            covers(rule_host(self._world, rule), host)
            for rule in self._asking.get("")
            if any(_upgrades(each, port) for each in _policies(rule.spec))
        )

    def by_default(self, made: Cluster, settings: Settings) -> Cluster:
        """The cluster with what the MeshConfig says, where a rule says nothing else.

        Ports whose protocol is detected are left: what they speak is the caller's (`shouldH2Upgrade`).
        """
        if made.protocol is not Protocol.HTTP or made.pool.upstream is not Upstream.DECLARED:
            return made
        if not self._by_default("") or _http(settings).h2_upgrade_policy == "DO_NOT_UPGRADE":
            return made
        return replace(made, pool=replace(made.pool, upstream=Upstream.HTTP2))


def _http(settings: Settings) -> HTTPSettings:
    pool = settings.connection_pool
    return pool.http if pool is not None and pool.http is not None else HTTPSettings()


def _asks(key: Key, resource: Resource[DestinationRuleSpec]) -> tuple[str, ...]:
    if (key.group, key.kind) != DESTINATION_RULE:
        return ()
    ports = {each.port.number for policy in _policies(resource.spec) for each in policy.port_level_settings}
    asked = any(_upgrades(policy, port) for policy in _policies(resource.spec) for port in (0, *ports))
    return ("",) if asked else ()


def _policies(spec: DestinationRuleSpec) -> Iterator[TrafficPolicy]:
    for written in (spec.traffic_policy, *(subset.traffic_policy for subset in spec.subsets)):
        if written is not None:
            yield written


def _upgrades(written: TrafficPolicy, port: int) -> bool:
    return _http(at_port(written, port)).h2_upgrade_policy == "UPGRADE"
