"""What makes pods: Deployment, StatefulSet and DaemonSet (apps/v1), Job (batch/v1)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import model_validator

from tulle.model.kubernetes.pod import Count, PodTemplateSpec
from tulle.model.schema import Bool, DnsLabel, Int, Model, NoEffect, NotHonoured, Replicas, problem
from tulle.model.selector import LabelSelector

_ROLLOUT = NoEffect("replicas are replaced one at a time, the next one when the one before it is ready")
_ONCE = NoEffect("a Job runs one process to its end")
_STORAGE = NoEffect("processes keep their files where they write them")


def _check_selector(selector: LabelSelector, template: PodTemplateSpec) -> None:
    if not (selector.match_labels or selector.match_expressions):
        raise problem(
            "invalid-selector",
            "the selector selects everything",
            remedy="Write matchLabels, a part of the template's labels.",
            field="selector",
        )
    if not selector.selects(template.metadata.labels):
        raise problem(
            "invalid-selector",
            "the selector does not select the template's own labels",
            remedy="Make selector.matchLabels a part of template.metadata.labels.",
            field="selector",
        )


class DeploymentSpec(Model):
    replicas: Replicas = 1
    selector: LabelSelector
    template: PodTemplateSpec
    strategy: Annotated[Any, _ROLLOUT] = None
    min_ready_seconds: Annotated[Count | None, _ROLLOUT] = None
    revision_history_limit: Annotated[Count | None, _ROLLOUT] = None
    progress_deadline_seconds: Annotated[Count | None, _ROLLOUT] = None
    paused: Annotated[Bool, _ROLLOUT] = False

    @model_validator(mode="after")
    def _selects_itself(self) -> DeploymentSpec:
        _check_selector(self.selector, self.template)
        return self


class StatefulSetSpec(Model):
    service_name: DnsLabel | None = None
    replicas: Replicas = 1
    selector: LabelSelector
    template: PodTemplateSpec
    volume_claim_templates: Annotated[Any, _STORAGE] = None
    persistent_volume_claim_retention_policy: Annotated[Any, _STORAGE] = None
    pod_management_policy: Annotated[str | None, _ROLLOUT] = None
    update_strategy: Annotated[Any, _ROLLOUT] = None
    revision_history_limit: Annotated[Count | None, _ROLLOUT] = None
    min_ready_seconds: Annotated[Count | None, _ROLLOUT] = None
    ordinals: Annotated[Any, NotHonoured("replicas count from 0")] = None

    @model_validator(mode="after")
    def _selects_itself(self) -> StatefulSetSpec:
        _check_selector(self.selector, self.template)
        return self


class DaemonSetSpec(Model):
    """One pod on each host. Source: kubernetes.io, API reference, DaemonSet v1 apps."""

    selector: LabelSelector
    template: PodTemplateSpec
    update_strategy: Annotated[Any, _ROLLOUT] = None
    min_ready_seconds: Annotated[Count | None, _ROLLOUT] = None
    revision_history_limit: Annotated[Count | None, _ROLLOUT] = None

    @model_validator(mode="after")
    def _selects_itself(self) -> DaemonSetSpec:
        _check_selector(self.selector, self.template)
        return self


def _many(count: Any) -> bool:
    return count != 1


class JobSpec(Model):
    template: PodTemplateSpec
    parallelism: Annotated[Count, NotHonoured("a Job runs one process to its end", _many)] = 1
    completions: Annotated[Count, NotHonoured("a Job runs one process to its end", _many)] = 1
    completion_mode: Annotated[
        Literal["NonIndexed", "Indexed"],
        NotHonoured("a Job runs one process", lambda mode: mode == "Indexed"),
    ] = "NonIndexed"
    backoff_limit: Count = 6
    backoff_limit_per_index: Annotated[Any, _ONCE] = None
    max_failed_indexes: Annotated[Any, _ONCE] = None
    active_deadline_seconds: Annotated[Int | None, _ONCE] = None
    ttl_seconds_after_finished: Annotated[Int | None, _ONCE] = None
    suspend: Annotated[Bool, NotHonoured("a Job starts when it is applied", bool)] = False
    selector: Annotated[Any, _ONCE] = None
    manual_selector: Annotated[Any, _ONCE] = None
    pod_failure_policy: Annotated[Any, _ONCE] = None
    success_policy: Annotated[Any, _ONCE] = None
    pod_replacement_policy: Annotated[Any, _ONCE] = None
    managed_by: Annotated[Any, _ONCE] = None

    @model_validator(mode="after")
    def _ends(self) -> JobSpec:
        if (
            "restart_policy" not in self.template.spec.model_fields_set
            or self.template.spec.restart_policy == "Always"
        ):
            raise problem(
                "invalid-value",
                "a Job's pods must be able to end",
                remedy="Write restartPolicy: OnFailure or Never.",
                field="template.spec.restartPolicy",
            )
        return self
