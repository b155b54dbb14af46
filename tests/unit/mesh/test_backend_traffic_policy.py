"""XBackendTrafficPolicy: which holds, what it says, and what its status is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.mesh.routed import codes, shop, table, virtual_host
from tests.unit.model.test_admit import document, only
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import Forward, RetryBudget, Session
from tulle.model.resource import Key

API = "gateway.networking.x-k8s.io/v1alpha1"
BUDGET = "retryConstraint: {budget: {percent: 30, interval: 20s}, minRetryRate: {count: 5}}"


def policy(name: str, rest: str, *services: str, kind: str = "Service", created: str = "") -> str:
    refs = ", ".join(f'{{group: "", kind: {kind}, name: {each}}}' for each in services)
    stamp = f', creationTimestamp: "{created}"' if created else ""
    return f"""
apiVersion: {API}
kind: XBackendTrafficPolicy
metadata: {{name: {name}, namespace: shop{stamp}}}
spec:
  targetRefs: [{refs}]
  {rest}
"""


def budget(resolution: Resolution, service: str, of: str = "front") -> RetryBudget | None:
    name = f"outbound|9080||{service}.shop.svc.cluster.local"
    return next(each for each in resolution.outbound(of).clusters if each.name == name).pool.retry_budget


def session(resolution: Resolution, host: str) -> Session | None:
    found = virtual_host(table(resolution.outbound("shop"), "9080"), host)
    assert found is not None
    action = found.routes[-1].action
    assert isinstance(action, Forward)
    return action.session


def reasons(resolution: Resolution, name: str) -> list[tuple[str, str, str]]:
    status: Any = resolution.status(Key(*API.split("/")[:1], "XBackendTrafficPolicy", "shop", name))
    return [
        (each["ancestorRef"]["name"], each["conditions"][0]["status"], each["conditions"][0]["reason"])
        for each in status["ancestors"]
    ]


def test_a_policy_holds_for_all_callers_of_its_services() -> None:
    _, resolution = shop(policy("a", BUDGET, "reviews"))
    assert budget(resolution, "reviews") == RetryBudget(30, 5, 20)
    assert budget(resolution, "reviews", "shop") == RetryBudget(30, 5, 20)
    assert budget(resolution, "details") is None
    assert reasons(resolution, "a") == [("reviews", "True", "Accepted")]
    assert codes(resolution) == []


def test_what_is_not_written_has_the_defaults_of_the_specification() -> None:
    _, resolution = shop(policy("a", "retryConstraint: {}", "reviews"))
    assert budget(resolution, "reviews") == RetryBudget(20, 10, 10)


def test_a_destination_rule_says_it_more_narrowly() -> None:
    _, resolution = shop(
        policy("a", BUDGET, "reviews", "ratings"),
        """
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: a, namespace: shop}
        spec: {host: reviews, trafficPolicy: {retryBudget: {percent: 1, budgetInterval: 2s}}}
        ---
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: b, namespace: shop}
        spec: {host: ratings, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}}
        """,
    )
    assert budget(resolution, "reviews") == RetryBudget(1, 3, 2)
    assert budget(resolution, "ratings") == RetryBudget(30, 5, 20)


def test_of_two_policies_the_older_one_holds() -> None:
    _, resolution = shop(
        policy("a", "retryConstraint: {}", "reviews", "details", created="2026-01-02T00:00:00Z"),
        policy("b", BUDGET, "reviews", created="2026-01-01T00:00:00Z"),
    )
    assert budget(resolution, "reviews") == RetryBudget(30, 5, 20)
    assert reasons(resolution, "a") == [("reviews", "False", "Conflicted"), ("details", "True", "Accepted")]
    assert reasons(resolution, "b") == [("reviews", "True", "Accepted")]
    assert codes(resolution) == [("overruled", "XBackendTrafficPolicy/a", "spec.targetRefs[0]")]


def test_a_target_must_be_a_service_that_is_there() -> None:
    _, resolution = shop(policy("a", BUDGET, "nobody"), policy("b", BUDGET, "reviews", kind="Pod"))
    assert reasons(resolution, "a") == [("nobody", "False", "TargetNotFound")]
    assert reasons(resolution, "b") == [("reviews", "False", "Invalid")]
    assert [code for code, _, _ in codes(resolution)] == ["reference-not-found", "invalid-reference-kind"]


def test_sessions_of_a_service_come_with_every_route_to_it() -> None:
    _, resolution = shop(
        policy("a", "sessionPersistence: {sessionName: reader}", "reviews"),
        policy("b", "sessionPersistence: {type: Header}", "details"),
        """
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: ratings, namespace: shop}
        spec: {hosts: [ratings], http: [{route: [{destination: {host: reviews}}]}]}
        """,
    )
    assert session(resolution, "reviews") == Session("reader")
    assert session(resolution, "ratings") == Session("reader")
    assert session(resolution, "details") == Session("x-session-shop-shop", cookie=False)


def test_a_rules_own_session_stands_before_the_policys() -> None:
    _, resolution = shop(
        policy("a", "sessionPersistence: {sessionName: reader}", "reviews"),
        """
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {name: reviews, namespace: shop}
        spec:
          parentRefs: [{group: "", kind: Service, name: reviews}]
          rules: [{sessionPersistence: {sessionName: own}, backendRefs: [{name: reviews, port: 9080}]}]
        """,
    )
    assert session(resolution, "reviews") == Session("own")


@pytest.mark.parametrize(
    ("rest", "code", "field"),
    [
        ("retryConstraint: {budget: {percent: 101}}", "out-of-range", "spec.retryConstraint.budget.percent"),
        (
            "retryConstraint: {budget: {interval: 500ms}}",
            "out-of-range",
            "spec.retryConstraint.budget.interval",
        ),
        ("retryConstraint: {minRetryRate: {count: 0}}", "out-of-range", ".minRetryRate.count"),
        ("retryConstraint: {minRetryRate: {interval: 2h}}", "out-of-range", ".minRetryRate.interval"),
        (
            "sessionPersistence: {type: Header, absoluteTimeout: 1h}",
            "not-honoured",
            "spec.sessionPersistence",
        ),
    ],
)
def test_what_the_published_schema_refuses_is_refused(rest: str, code: str, field: str) -> None:
    refs = 'targetRefs: [{group: "", kind: Service, name: a}]'
    found = only(document("XBackendTrafficPolicy", f"{refs}\n{rest}", API))
    assert (found.code, found.field[-len(field) :]) == (code, field)


def test_a_target_stands_once() -> None:
    ref = '{group: "", kind: Service, name: a}'
    found = only(document("XBackendTrafficPolicy", f"targetRefs: [{ref}, {ref}]", API))
    assert (found.code, found.field) == ("duplicate-target", "spec.targetRefs[1]")
