"""h2UpgradePolicy: UPGRADE, on the server's side.

Proxies speak HTTP/2 to each other then, whatever the two applications speak ("h2 upgrade ... sidecar to
sidecar", destination_rule.proto). So a port that is declared HTTP/1.1 is called in HTTP/1.1, even if what
arrives is HTTP/2; without such a rule it would be called as its caller called. Read by `inbound.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tulle.kit.derived import Derived, Index
from tulle.mesh.policy.destination import at_port, rule_host
from tulle.mesh.route.attachment import DESTINATION_RULE
from tulle.mesh.route.common import covers
from tulle.mesh.world import World
from tulle.model.istio import DestinationRuleSpec, TrafficPolicy
from tulle.model.resource import Key, Resource


class UpgradeCells:
    """Which ports somebody's callers are told to speak HTTP/2 to."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._asking: Index[str, Key, Resource[DestinationRuleSpec]] = Index(
            world.graph, world.resources, _asks
        )
        self.upgraded: Derived[tuple[str, int], bool] = Derived(world.graph, self._ask, "upgraded")

    def _ask(self, at: tuple[str, int]) -> bool:
        """Of a service's host and port."""
        host, port = at
        return any(
            covers(rule_host(self._world, rule), host)
            for rule in self._asking.get("")
            if any(_upgrades(each, port) for each in _policies(rule.spec))
        )


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
    pool = at_port(written, port).connection_pool
    return pool is not None and pool.http is not None and pool.http.h2_upgrade_policy == "UPGRADE"
