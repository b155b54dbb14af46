"""Kubernetes' label selector (meta/v1), which several families share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from tulle.model.schema import Labels, Model, problem


class LabelSelectorRequirement(Model):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _values_fit(self) -> LabelSelectorRequirement:
        needs = self.operator in ("In", "NotIn")
        if needs != bool(self.values):
            raise problem(
                "invalid-selector",
                f"{self.operator} {'needs' if needs else 'takes no'} values",
                remedy="In and NotIn need values; Exists and DoesNotExist take none.",
                field="values",
            )
        return self


class LabelSelector(Model):
    """Kubernetes' label selector (meta/v1): all of it must hold; an empty one selects everything."""

    match_labels: Labels = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether a set of labels is selected."""
        if any(labels.get(key) != value for key, value in self.match_labels.items()):
            return False
        return all(_holds(requirement, labels) for requirement in self.match_expressions)


def _holds(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    match requirement.operator:
        case "In":
            return labels.get(requirement.key) in requirement.values
        case "NotIn":
            return labels.get(requirement.key) not in requirement.values
        case "Exists":
            return requirement.key in labels
        case "DoesNotExist":
            return requirement.key not in labels
