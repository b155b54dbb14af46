"""Kubernetes' label selector (meta/v1), which several families share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import model_validator

from tulle.model.label import LABEL_NAME, LABEL_VALUE, Labels
from tulle.model.remark import Remark
from tulle.model.schema import Model, problem

_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_REMEDY = "In and NotIn need values; Exists and DoesNotExist take none."


class LabelSelectorRequirement(Model):
    """As a CRD has it, which does not look at what is written in it."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    @property
    def fault(self) -> str:
        """Why nothing can be selected by it; "": something can."""
        if self.operator not in _OPERATORS:
            return f"“{self.operator}” is not one of {', '.join(_OPERATORS)}"
        needs = self.operator in ("In", "NotIn")
        if needs != bool(self.values):
            return f"{self.operator} {'needs' if needs else 'takes no'} values"
        return ""


class LooseLabelSelector(Model):
    """Of a CRD: all of it must hold; an empty one selects everything, one that is none (`fault`) nothing."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()

    def remarks(self) -> Iterator[Remark]:
        for name, value in self.match_labels.items():
            if not LABEL_NAME.fullmatch(name) or not LABEL_VALUE.fullmatch(value):
                message = f"no label can be “{name}: {value}”, so nothing is selected"
                yield Remark(f"matchLabels[{name}]", "selects-nothing", message, "Write a label.")
        for index, each in enumerate(self.match_expressions):
            if each.fault:
                message = f"{each.fault}; nothing is selected"
                yield Remark(f"matchExpressions[{index}]", "selects-nothing", message, _REMEDY)

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether a set of labels is selected."""
        if any(labels.get(key) != value for key, value in self.match_labels.items()):
            return False
        return all(_holds(requirement, labels) for requirement in self.match_expressions)


class LabelSelector(LooseLabelSelector):
    """Of a kind of Kubernetes' own, whose API server refuses what can select nothing."""

    match_labels: Labels = {}

    @model_validator(mode="after")
    def _can_select(self) -> LabelSelector:
        for index, each in enumerate(self.match_expressions):
            if each.fault:
                field = f"matchExpressions[{index}]"
                raise problem("invalid-selector", each.fault, remedy=_REMEDY, field=field)
        return self


def _holds(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    if requirement.fault:
        return False
    match requirement.operator:
        case "In":
            return labels.get(requirement.key) in requirement.values
        case "NotIn":
            return labels.get(requirement.key) not in requirement.values
        case "Exists":
            return requirement.key in labels
        case _:
            return requirement.key not in labels
