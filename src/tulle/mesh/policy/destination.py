"""DestinationRule (Istio): which rules hold for a service and its callers, and how several are one.

What they say of a port is worked out by the modules beside this one: `balancing.py`, `pool.py`, `outlier.py`,
`client_tls.py`. Read by `outbound/cluster.py`, which makes clusters, and by `review/review.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tulle.mesh.export import exported_to, is_exported
from tulle.mesh.route.attachment import WILDCARD, Attachments
from tulle.mesh.route.common import age, covers, full_host, specificity
from tulle.mesh.scope import Scope
from tulle.mesh.view import Origin
from tulle.mesh.workload.workload import Labels
from tulle.mesh.world import World
from tulle.model.istio import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    DestinationRuleSpec,
    LoadBalancerSettings,
    LocalityLoadBalancerSetting,
    OutlierDetection,
    ProxyProtocol,
    RetryBudget,
    TcpKeepalive,
    TCPSettings,
    TrafficPolicy,
    TunnelSettings,
    ZoneAwareLoadBalancerSetting,
)
from tulle.model.resource import Resource

DestinationRule = Resource[DestinationRuleSpec]


@dataclass(frozen=True, slots=True)
class Settings:
    """What rules say of one port of a service, or of a subset of it. None: nothing is said."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


NOTHING = Settings()
_OF_PORTS = ("load_balancer", "connection_pool", "outlier_detection", "tls")
_OTHERS = ("proxy_protocol", "retry_budget")


@dataclass(frozen=True, slots=True)
class SubsetPolicy:
    """A subset of a service."""

    origin: Origin
    labels: Labels = ()
    written: TrafficPolicy | None = None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What MeshConfig has for what DestinationRules do not say."""

    connect_timeout: str | None = None
    keepalive: TcpKeepalive | None = None
    locality: LocalityLoadBalancerSetting | None = None
    zones: ZoneAwareLoadBalancerSetting | None = None

    def under(self, settings: Settings) -> Settings:
        """Settings over the defaults. A keepalive is filled in field by field (Istio, `applyTCPKeepalive`);
        a rule's setting of localities stands for itself, and of two of the mesh zoneAwareLbSetting holds
        (`GetEffectiveLbSetting`)."""
        if self.connect_timeout or self.keepalive:
            pool = settings.connection_pool or ConnectionPoolSettings(tcp=TCPSettings())
            tcp = pool.tcp or TCPSettings()
            kept = {**_written(self.keepalive), **_written(tcp.tcp_keepalive)}
            changes = {
                "connect_timeout": tcp.connect_timeout or self.connect_timeout,
                "tcp_keepalive": TcpKeepalive(**kept) if kept else None,
            }
            pool = pool.model_copy(update={"tcp": tcp.model_copy(update=changes)})
            settings = replace(settings, connection_pool=pool)
        if self.locality or self.zones:
            balancer = settings.load_balancer or LoadBalancerSettings()
            if balancer.locality_lb_setting is None and balancer.zone_aware_lb_setting is None:
                changes = (
                    {"zone_aware_lb_setting": self.zones}
                    if self.zones
                    else {"locality_lb_setting": self.locality}
                )
                settings = replace(settings, load_balancer=balancer.model_copy(update=changes))
        return settings


def _written(keepalive: TcpKeepalive | None) -> dict[str, Any]:
    return keepalive.model_dump(exclude_defaults=True) if keepalive is not None else {}


NO_DEFAULTS = Defaults()


@dataclass(frozen=True, slots=True)
class DestinationPolicy:
    """What holds for one service and the callers of one namespace."""

    written: TrafficPolicy | None = None
    subsets: tuple[tuple[str, SubsetPolicy], ...] = ()
    """By name, in the order of their names."""
    owner: str = ""
    """The rules, where other callers may see others. "": everybody without rules of their own sees these."""
    selected: bool = False
    """It holds for selected callers only."""
    origin: Origin | None = None
    """Where `written` stands."""
    retry_budget: RetryBudget | None = None
    """What holds where no rule says another."""
    defaults: Defaults = NO_DEFAULTS

    def at(self, port: int, subset: str = "") -> Settings:
        """What holds for a port, or for a subset of it.

        A port's own settings replace the four of its service (or subset) as a whole; of what a subset does
        not say, its service's holds (destination_rule.proto, `portLevelSettings`, `Subset`; Istio's
        `MergeSubsetTrafficPolicy`).
        """
        found = self.defaults.under(self._written_at(port, subset))
        if self.retry_budget is None or found.retry_budget is not None:
            return found
        return replace(found, retry_budget=self.retry_budget)

    def _written_at(self, port: int, subset: str) -> Settings:
        whole = at_port(self.written, port)
        own = dict(self.subsets).get(subset) if subset else None
        if own is None or own.written is None:
            return whole
        narrow = at_port(own.written, port)
        if self.written is None:
            return narrow
        kept = _OTHERS if _has_port(own.written, port) else (*_OF_PORTS, *_OTHERS)
        unsaid = {name: getattr(whole, name) for name in kept if getattr(narrow, name) is None}
        return replace(narrow, **unsaid)

    def tunnel(self, subset: str = "") -> TunnelSettings | None:
        """What connections are wrapped in. Ports say nothing of it, and a subset has its own or none (Istio,
        tunnelingconfig.Apply)."""
        own = dict(self.subsets).get(subset) if subset else None
        written = own.written if own is not None else self.written
        return written.tunnel if written is not None else None


def _has_port(written: TrafficPolicy, port: int) -> bool:
    return any(each.port.number == port for each in written.port_level_settings)


def at_port(written: TrafficPolicy | None, port: int) -> Settings:
    """What a policy says of a port: its own settings, else those for all."""
    if written is None:
        return NOTHING
    for each in written.port_level_settings:
        if each.port.number == port:
            return Settings(**{name: getattr(each, name) for name in _OF_PORTS})
    return Settings(**{name: getattr(written, name) for name in (*_OF_PORTS, *_OTHERS)})


def destination_policy(world: World, attachments: Attachments, host: str, scope: Scope) -> DestinationPolicy:
    """The policy for a service's host as callers of `scope` see it.

    Rules are looked for in the caller's namespace, then in the service's, then in the root namespace; the
    first namespace that has one decides. For callers in the root namespace only its private rules come
    first: the others there are meant for everybody (Istio, `PushContext.destinationRule`).
    """
    defaults = _defaults(world)
    service = world.service(host)
    home = service.namespace if service is not None else ""
    root = world.settings.root_namespace
    asked = [(home, _visible), (root, _visible)]
    asked.insert(0, (root, _is_private) if scope.namespace == root else (scope.namespace, _visible))
    for namespace, holds in asked:
        rules = _rules_in(world, attachments, namespace, host) if namespace else ()
        chosen = _most_specific([rule for rule in rules if holds(world, rule, scope)])
        if chosen:
            return replace(_policy(world, chosen, home), defaults=defaults)
    return DestinationPolicy(defaults=defaults)


def _defaults(world: World) -> Defaults:
    config = world.mesh_config()
    return Defaults(
        config.connect_timeout,
        config.tcp_keepalive,
        config.locality_lb_setting,
        config.zone_aware_lb_setting,
    )


def _rules_in(world: World, attachments: Attachments, namespace: str, host: str) -> Iterator[DestinationRule]:
    """The rules of a namespace whose host covers this one."""
    for rule in attachments.destination_rules(namespace, host):
        if rule_host(world, rule) == host:
            yield rule
    for rule in attachments.destination_rules(namespace, WILDCARD):
        if covers(rule.spec.host, host):
            yield rule


def _most_specific(rules: list[DestinationRule]) -> tuple[DestinationRule, ...]:
    """Those with the most specific host, the oldest first. A host without a wildcard is the most specific."""
    best = min(map(_width, rules), default=None)
    return tuple(sorted((rule for rule in rules if _width(rule) == best), key=age))


def _width(rule: DestinationRule) -> tuple[int, int]:
    # A short name and the full one of a service are equally specific.
    host = rule.spec.host
    return specificity(host) if "*" in host else (0, 0)


def rule_host(world: World, rule: DestinationRule) -> str:
    """The full name of the host that a rule is for; a short name is one of the rule's namespace."""
    return full_host(world, rule.spec.host, rule.namespace)


def _visible(world: World, rule: DestinationRule, scope: Scope) -> bool:
    """Whether it holds for callers of a scope, if nothing else does."""
    spec = rule.spec
    if spec.workload_selector is not None:  # never for callers in another namespace
        return rule.namespace == scope.namespace and scope.carries(spec.workload_selector.match_labels)
    return is_exported(world, rule, scope.namespace)


def _is_private(world: World, rule: DestinationRule, scope: Scope) -> bool:
    selected = rule.spec.workload_selector is not None
    private = exported_to(world, rule) in ((".",), (rule.namespace,))
    return _visible(world, rule, scope) and (selected or private)


def _policy(world: World, rules: tuple[DestinationRule, ...], home: str) -> DestinationPolicy:
    """Several rules for one host are one: all their subsets, and of the rest what is oldest (Istio,
    `mergeDestinationRule`). A rule for selected callers stands for itself, with those that select the same.
    """
    selecting = [rule for rule in rules if rule.spec.workload_selector is not None]
    if selecting:
        selector = selecting[0].spec.workload_selector
        rules = tuple(rule for rule in selecting if rule.spec.workload_selector == selector)
    subsets: dict[str, SubsetPolicy] = {}
    for rule in rules:
        for index, subset in enumerate(rule.spec.subsets):
            origin = Origin("DestinationRule", rule.namespace, rule.name, f"spec.subsets[{index}]")
            labels = tuple(sorted(subset.labels.items()))
            subsets.setdefault(subset.name, SubsetPolicy(origin, labels, subset.traffic_policy))
    first = next((rule for rule in rules if rule.spec.traffic_policy is not None), None)
    written = first.spec.traffic_policy if first is not None else None
    origin = Origin("DestinationRule", first.namespace, first.name, "spec.trafficPolicy") if first else None
    everybodys = all(rule.namespace == home and _is_public(world, rule) for rule in rules)
    owner = f"{rules[0].namespace};{'+'.join(rule.name for rule in rules)}"
    return DestinationPolicy(
        written, tuple(sorted(subsets.items())), "" if everybodys else owner, bool(selecting), origin
    )


def _is_public(world: World, rule: DestinationRule) -> bool:
    export = exported_to(world, rule)
    return rule.spec.workload_selector is None and (not export or "*" in export)
