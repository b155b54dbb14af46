"""XBackendTrafficPolicy (apisx/v1alpha1/xbackendtrafficpolicy_types.go, v1.6): budgets of retries, and
sessions, for all routes to a Service."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from tulle.model.gateway_api.shared import (
    SESSION_LIMIT,
    Group,
    KindName,
    ObjectName,
    SessionPersistence,
)
from tulle.model.schema import GatewayDuration, Int, Model, NoEffect, problem, seconds

_HOUR = 3600


def _check_budget_interval(value: str) -> str:
    if not 1 <= seconds(value) <= _HOUR:
        raise problem("out-of-range", f"{value} is not between 1s and 1h", remedy="Write 1s to 1h.")
    return value


def _check_rate_interval(value: str) -> str:
    if not 0 < seconds(value) <= _HOUR:
        raise problem("out-of-range", f"{value} is nothing, or more than 1h", remedy="Write at most 1h.")
    return value


class PolicyTargetReference(Model):
    group: Group
    kind: KindName
    name: ObjectName


class BudgetDetails(Model):
    percent: Annotated[Int, Field(ge=0, le=100)] = 20
    interval: Annotated[GatewayDuration, AfterValidator(_check_budget_interval)] = "10s"


class RequestRate(Model):
    count: Annotated[Int, Field(ge=1, le=1_000_000)] = 10
    """So many retries are always allowed at one time."""
    interval: Annotated[
        GatewayDuration | None,
        AfterValidator(lambda value: value and _check_rate_interval(value)),
        NoEffect("Envoy's least number of retries is one at any time, not one in an interval"),
    ] = None


class RetryConstraint(Model):
    budget: BudgetDetails = BudgetDetails()
    min_retry_rate: RequestRate = RequestRate()


class BackendTrafficPolicySpec(Model):
    target_refs: Annotated[tuple[PolicyTargetReference, ...], Field(min_length=1, max_length=16)]
    retry_constraint: RetryConstraint | None = None
    session_persistence: Annotated[SessionPersistence | None, SESSION_LIMIT] = None

    @field_validator("target_refs")
    @classmethod
    def _targets_are_told_apart(
        cls, targets: tuple[PolicyTargetReference, ...]
    ) -> tuple[PolicyTargetReference, ...]:
        for index, one in enumerate(targets):
            if one in targets[:index]:
                raise problem(
                    "duplicate-target",
                    f"{one.kind} {one.name} stands twice",
                    remedy="Remove one.",
                    field=f"[{index}]",
                )
        return targets
