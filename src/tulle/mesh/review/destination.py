"""What is wrong with a DestinationRule: what it names and is not there, and what an older rule says already.

Read by `review.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tulle.mesh.policy.credential import credential_fault
from tulle.mesh.policy.destination import DestinationRule, rule_host
from tulle.mesh.problem import Problem, warning
from tulle.mesh.review.export import review_export
from tulle.mesh.route.attachment import WILDCARD, Attachments
from tulle.mesh.route.common import age
from tulle.mesh.service.declared import Service
from tulle.mesh.workload.draft import sorted_labels
from tulle.mesh.world import World

_NOT_FOUND = "reference-not-found"
_COMPARE = "Compare them with the labels of the pod templates."


def review_destination_rule(
    world: World, attachments: Attachments, rule: DestinationRule
) -> Iterator[Problem]:
    yield from review_export(world, rule)
    host = rule_host(world, rule)
    yield from _overruled(world, attachments, rule, host)
    selector = rule.spec.workload_selector
    if selector is not None and not world.selected(rule.namespace, sorted_labels(selector.match_labels)):
        message = f"no workload of namespace {rule.namespace} has these labels, so it holds for nobody"
        yield warning(rule, "spec.workloadSelector.matchLabels", "selects-nothing", message, _COMPARE)
    if "*" in host:
        return
    service = world.service(host)
    if service is None:
        message = f"there is no service {host}"
        remedy = "Apply the service, or correct the host."
        yield warning(rule, "spec.host", _NOT_FOUND, message, remedy)
        return
    policy = rule.spec.traffic_policy
    wrong = credential_fault(world, rule, policy.tls) if policy is not None and policy.tls else ""
    if wrong:
        remedy = "Apply the Secret in the namespace of the proxy that shall use it."
        yield warning(rule, "spec.trafficPolicy.tls.credentialName", "invalid-certificate", wrong, remedy)
    for index, subset in enumerate(rule.spec.subsets):
        labels = tuple(sorted({*(service.selector or ()), *subset.labels.items()}))
        if service.selector is not None and not world.selected(service.namespace, labels):
            message = f"no workload behind {host} has the labels of subset {subset.name}"
            yield warning(rule, f"spec.subsets[{index}].labels", "selects-nothing", message, _COMPARE)
    yield from _ports(rule, service)


def _ports(rule: DestinationRule, service: Service) -> Iterator[Problem]:
    """Settings of ports that the service does not have."""
    known = {port.number for port in service.ports}
    policies = (
        ("spec.trafficPolicy", rule.spec.traffic_policy),
        *(
            (f"spec.subsets[{index}].trafficPolicy", subset.traffic_policy)
            for index, subset in enumerate(rule.spec.subsets)
        ),
    )
    for at, policy in policies:
        for index, each in enumerate(policy.port_level_settings if policy is not None else ()):
            if each.port.number not in known:
                message = f"{service.host} has no port {each.port.number}"
                remedy = f"Write one of {', '.join(map(str, sorted(known)))}."
                field = f"{at}.portLevelSettings[{index}].port.number"
                yield warning(rule, field, _NOT_FOUND, message, remedy)


def _overruled(world: World, attachments: Attachments, rule: DestinationRule, host: str) -> Iterator[Problem]:
    """What older rules of the same namespace for the same host and the same callers say already: of several
    rules all subsets hold, and of the rest what is oldest (Istio, `mergeDestinationRule`)."""
    spec = rule.spec
    others = attachments.destination_rules(rule.namespace, WILDCARD if "*" in host else host)
    older = [
        each
        for each in sorted(others, key=age)
        if age(each) < age(rule)
        and rule_host(world, each) == host
        and (each.spec.export_to, each.spec.workload_selector) == (spec.export_to, spec.workload_selector)
    ]
    first = next((each for each in older if each.spec.traffic_policy is not None), None)
    if first is not None and spec.traffic_policy is not None:
        message = f"the trafficPolicy of {first.key}, which is older, holds for {host}"
        remedy = "Write one DestinationRule for the host."
        yield warning(rule, "spec.trafficPolicy", "overruled", message, remedy)
    for index, subset in enumerate(spec.subsets):
        owner = next((each for each in older if subset.name in {one.name for one in each.spec.subsets}), None)
        if owner is not None:
            message = f"{owner.key}, which is older, has a subset {subset.name} too, and that one holds"
            yield warning(rule, f"spec.subsets[{index}].name", "overruled", message, "Give it another name.")
