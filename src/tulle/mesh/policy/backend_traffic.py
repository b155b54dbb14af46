"""XBackendTrafficPolicy (Gateway API): budgets of retries and sessions, for whatever sends to a Service.

A DestinationRule's `retryBudget` and a rule's own `sessionPersistence` stand before a policy: they say it
more narrowly (GEP-1619, "Edge Case Behavior"). Of several policies for one Service the oldest holds (GEP-713,
"Conflict Resolution"). Read by `outbound/cluster.py`, `route/host.py` and `gateway/gateway.py`; why a policy
does not hold is read by `status/policy.py` and `review/gateway.py`.
"""

from __future__ import annotations

import re
from dataclasses import replace

from tulle.mesh.name import service_host
from tulle.mesh.route.attachment import Attachments
from tulle.mesh.route.common import Destination, age
from tulle.mesh.route.session import keeping_backends, session
from tulle.mesh.view import Forward, Origin, Route
from tulle.mesh.world import World
from tulle.model.gateway_api import BackendTrafficPolicySpec, PolicyTargetReference
from tulle.model.istio import RetryBudget
from tulle.model.resource import Resource

BackendTrafficPolicy = Resource[BackendTrafficPolicySpec]

_RULE = re.compile(r"\w+\[(\d+)\]")


def holding(attachments: Attachments, namespace: str, service: str) -> BackendTrafficPolicy | None:
    """The policy that holds for a Service."""
    found = attachments.backend_traffic_policies(namespace, service)
    return min(found, key=age) if found else None


def target_fault(
    world: World, attachments: Attachments, policy: BackendTrafficPolicy, ref: PolicyTargetReference
) -> tuple[str, str] | None:
    """Why a policy does not hold for one of its targets: the specification's reason, and a message."""
    if (ref.group, ref.kind) != ("", "Service"):
        return "Invalid", f"{ref.kind} ({ref.group or 'core'}) is not a kind that requests are sent to"
    if world.service(service_host(ref.name, policy.namespace, world.settings.cluster_domain)) is None:
        return "TargetNotFound", f"there is no Service {policy.namespace}/{ref.name}"
    first = holding(attachments, policy.namespace, ref.name)
    if first is not None and first.key != policy.key:
        return "Conflicted", f"XBackendTrafficPolicy {first.name} is older, and for Service {ref.name} too"
    return None


def retry_budget(world: World, attachments: Attachments, host: str) -> RetryBudget | None:
    """The budget for a service's host, in the words of DestinationRule (Istio does the same,
    `BackendTrafficPolicyCollection`): Envoy's least number of retries is one at any time."""
    policy = _of_host(world, attachments, host)
    constraint = policy.spec.retry_constraint if policy is not None else None
    if constraint is None:
        return None
    return RetryBudget(
        percent=float(constraint.budget.percent),
        min_retry_concurrency=constraint.min_retry_rate.count,
        budget_interval=constraint.budget.interval,
    )


def with_sessions(world: World, attachments: Attachments, routes: tuple[Route, ...]) -> tuple[Route, ...]:
    """Routes with the sessions of the Services that they send to. Of several backends the first that has
    sessions gives them to all (GEP-1619, "Traffic Splitting with BackendLBPolicy attached to some Backends",
    the first choice)."""
    return tuple(keeping_backends(_with_session(world, attachments, route) for route in routes))


def _with_session(world: World, attachments: Attachments, route: Route) -> Route:
    action = route.action
    if not isinstance(action, Forward) or action.session is not None:
        return route
    for each in action.clusters:
        destination = Destination.of(each.cluster)
        policy = _of_host(world, attachments, destination.host) if destination is not None else None
        if policy is not None and policy.spec.session_persistence is not None:
            made = session(policy.spec.session_persistence, _rule_name(route.origin))
            return replace(route, action=replace(action, session=made))
    return route


def _rule_name(origin: Origin) -> str:
    """Rules do not share sessions, though they send to one Service (GEP-1619, "Route Rules Referencing to a
    Session Persistent Enabled Service Must Not Share Sessions"); those with a name do share their cookie."""
    number = _RULE.search(origin.field)
    return "-".join((origin.namespace, origin.name, *([number[1]] if number else [])))


def _of_host(world: World, attachments: Attachments, host: str) -> BackendTrafficPolicy | None:
    service = world.service(host)
    # Only a Service can be a target: a host of a ServiceEntry may have its name.
    if service is None or host != service_host(
        service.name, service.namespace, world.settings.cluster_domain
    ):
        return None
    return holding(attachments, service.namespace, service.name)
