"""DestinationRule (Istio): the subsets of a service, its load balancing, and whether mTLS is spoken to it.

Read by `cluster.py`, which makes clusters, and by `resolve.py` for its findings.
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.route.attachment import WILDCARD, Attachments
from tulle.mesh.route.common import age, covers, full_host, specificity
from tulle.mesh.view import Balancing, Origin
from tulle.mesh.workload import Labels
from tulle.mesh.world import World
from tulle.model.istio import DestinationRuleSpec, TrafficPolicy
from tulle.model.resource import Resource

DestinationRule = Resource[DestinationRuleSpec]

_BALANCING = {"ROUND_ROBIN": Balancing.ROUND_ROBIN, "RANDOM": Balancing.RANDOM}
"""Everything else is least request, Istio's default."""


@dataclass(frozen=True, slots=True)
class SubsetPolicy:
    """A subset of a service, or the service itself."""

    origin: Origin | None = None
    """None: nobody wrote anything about it."""
    labels: Labels = ()
    balancing: Balancing = Balancing.LEAST_REQUEST
    mtls: bool = True


@dataclass(frozen=True, slots=True)
class DestinationPolicy:
    """What holds for one service and the callers of one namespace."""

    whole: SubsetPolicy = SubsetPolicy()
    subsets: tuple[tuple[str, SubsetPolicy], ...] = ()
    """By name, in the order of their names."""
    private: bool = False
    """The subsets come from the callers' own namespace: other callers may see others."""


def destination_policy(world: World, attachments: Attachments, host: str, scope: str) -> DestinationPolicy:
    """The policy for a service's host as callers of `scope` see it.

    Rules are looked for in the caller's namespace, then in the service's, then in the root namespace; the
    first namespace that has one decides (Istio, `PushContext.destinationRule`). A scope "" is a caller from
    a namespace without rules of its own.
    """
    service = world.service(host)
    home = service.namespace if service is not None else ""
    for namespace in dict.fromkeys((scope, home, world.settings.root_namespace)):
        rules = rules_in(world, attachments, namespace, host) if namespace else ()
        rules = tuple(rule for rule in rules if _visible(rule, scope))
        if rules:
            return _policy(rules, private=namespace == scope != home)
    return DestinationPolicy()


def rules_in(
    world: World, attachments: Attachments, namespace: str, host: str
) -> tuple[DestinationRule, ...]:
    """The rules of a namespace for the most specific host that covers this one, the oldest first."""
    exact = [
        rule for rule in attachments.destination_rules(namespace, host) if rule_host(world, rule) == host
    ]
    if exact:
        return tuple(sorted(exact, key=age))
    wide = [
        rule for rule in attachments.destination_rules(namespace, WILDCARD) if covers(rule.spec.host, host)
    ]
    best = min((specificity(rule.spec.host) for rule in wide), default=None)
    return tuple(sorted((rule for rule in wide if specificity(rule.spec.host) == best), key=age))


def rule_host(world: World, rule: DestinationRule) -> str:
    """The full name of the host that a rule is for; a short name is one of the rule's namespace."""
    return full_host(world, rule.spec.host, rule.namespace)


def _visible(rule: DestinationRule, scope: str) -> bool:
    export = rule.spec.export_to
    return not export or "*" in export or ("." in export and rule.namespace == scope)


def _policy(rules: tuple[DestinationRule, ...], private: bool) -> DestinationPolicy:
    """Several rules for one host are one: all their subsets, and of the rest what is oldest (Istio)."""
    main = next((rule for rule in rules if rule.spec.traffic_policy is not None), rules[0])
    whole = _apply(SubsetPolicy(_origin(main, "spec.trafficPolicy")), main.spec.traffic_policy)
    subsets: dict[str, SubsetPolicy] = {}
    for rule in rules:
        for index, subset in enumerate(rule.spec.subsets):
            labels = tuple(sorted(subset.labels.items()))
            base = SubsetPolicy(_origin(rule, f"spec.subsets[{index}]"), labels, whole.balancing, whole.mtls)
            subsets.setdefault(subset.name, _apply(base, subset.traffic_policy))
    return DestinationPolicy(whole, tuple(sorted(subsets.items())), private)


def _apply(policy: SubsetPolicy, written: TrafficPolicy | None) -> SubsetPolicy:
    """What a subset does not say, the service's policy says."""
    if written is None:
        return policy
    balancing = policy.balancing
    if written.load_balancer is not None and written.load_balancer.simple is not None:
        balancing = _BALANCING.get(written.load_balancer.simple, Balancing.LEAST_REQUEST)
    mtls = policy.mtls if written.tls is None else written.tls.mode == "ISTIO_MUTUAL"
    return SubsetPolicy(policy.origin, policy.labels, balancing, mtls)


def _origin(rule: DestinationRule, field: str) -> Origin:
    return Origin("DestinationRule", rule.namespace, rule.name, field)
