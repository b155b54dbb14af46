"""Pydantic's errors in a person's words: what is wrong, in which field, and what to do.

Read by `admit.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tulle.model.document import join, step
from tulle.model.schema import Model


@dataclass(frozen=True, slots=True)
class Refusal:
    code: str
    field: str
    """The path inside the value that was read."""
    message: str
    remedy: str
    expected: str = ""
    """Of a wrong type: what was expected."""


_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def refusals(model: type[Model], value: Any, error: ValidationError) -> list[Refusal]:
    """What a value was refused for, one for each field."""
    found: dict[str, Refusal] = {}
    for detail in error.errors(include_url=False):
        refusal, sure = _refusal(model, value, detail)
        before = found.get(refusal.field)
        if before is None:
            found[refusal.field] = refusal
        elif not sure and before.expected and refusal.expected:
            # The branches of a union were tried one by one: any of these types would do.
            expected = " or ".join(dict.fromkeys([*before.expected.split(" or "), refusal.expected]))
            found[refusal.field] = _wrong_type(replace(before, expected=expected), detail["input"])
        elif before.expected and not refusal.expected:
            found[refusal.field] = refusal
    # A list with a wrong item counts as shorter than it is written.
    return [
        each
        for field, each in found.items()
        if each.code != "too-short" or not any(other.startswith(f"{field}[") for other in found)
    ]


def _refusal(model: type[Model], value: Any, detail: ErrorDetails) -> tuple[Refusal, bool]:
    """One error; and False if it is about one branch of a union."""
    path, last, sure = _locate(value, detail)
    context = detail.get("ctx", {})
    kind = detail["type"]
    given = detail["input"]
    if kind in _EXPECTED:
        return _wrong_type(Refusal("wrong-type", path, "", "", _EXPECTED[kind]), given), sure
    match kind:
        case "extra_forbidden":
            known = _fields(model, detail["loc"][:-1])
            refusal = Refusal(
                "unknown-field", path, f"there is no field “{last}”", did_you_mean(str(last), known)
            )
        case "missing":
            refusal = Refusal("missing-field", path, f"“{last}” is missing", f"Write {last}: …")
        case "literal_error":
            choices = [
                choice.strip("'") for choice in str(context["expected"]).replace(" or ", ", ").split(", ")
            ]
            refusal = Refusal(
                "invalid-value",
                path,
                f"“{given}” is not one of {', '.join(choices)}",
                did_you_mean(str(given), choices),
            )
        case "greater_than_equal" | "less_than_equal" | "greater_than" | "less_than":
            word = {"ge": "at least", "le": "at most", "gt": "more than", "lt": "less than"}
            limit, bound = next((word[name], bound) for name, bound in context.items() if name in word)
            refusal = Refusal("out-of-range", path, f"{given} is out of range", f"Write {limit} {bound}.")
        case "too_short" | "string_too_short":
            least = context["min_length"]
            refusal = Refusal(
                "too-short",
                path,
                "it is empty" if least == 1 else "it is too short",
                f"Write at least {least} {'item' if kind == 'too_short' else 'character'}.",
            )
        case "too_long" | "string_too_long":
            what = "items" if kind == "too_long" else "characters"
            refusal = Refusal(
                "invalid-value", path, "it is too long", f"Write at most {context['max_length']} {what}."
            )
        case "string_pattern_mismatch":
            refusal = Refusal(
                "invalid-value",
                path,
                f"“{given}” has not the form that is expected",
                f"It must match {context['pattern']}",
            )
        case _ if "remedy" in context:
            refusal = Refusal(kind, join(path, context["field"]), detail["msg"], context["remedy"])
        case _:
            refusal = Refusal("invalid-value", path, detail["msg"], "Correct the value.")
    return refusal, sure


def _wrong_type(refusal: Refusal, given: Any) -> Refusal:
    message = f"expected {refusal.expected}, found {_type_of(given)}"
    remedy = f"Write {refusal.expected}."
    if "a text" in refusal.expected and isinstance(given, (int, float)):
        remedy = "Put it in quotation marks."
    elif "number" in refusal.expected and isinstance(given, str) and given.isdecimal():
        remedy = "Remove the quotation marks."
    return replace(refusal, message=message, remedy=remedy)


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "a truth value"
        case int():
            return "a whole number"
        case float():
            return "a number with a fraction"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return type(value).__name__


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """A remedy that names the nearest known word, or else all of them."""
    words = list(known)
    by_lower = {word.lower(): word for word in words}
    near = difflib.get_close_matches(text.lower(), by_lower, n=1, cutoff=0.6)
    if near:
        return f"Did you mean “{by_lower[near[0]]}”?"
    return f"Known are: {', '.join(sorted(words))}." if words else "Remove it."


def _locate(value: Any, detail: ErrorDetails) -> tuple[str, str | int, bool]:
    """The path of an error, its last step, and whether every step is in the document.

    Pydantic puts names of union branches and '[key]' among the steps; the document does not have them.
    """
    path, last, sure = "", "", True
    current: Any = value
    steps = detail["loc"]
    for index, name in enumerate(steps):
        if _has(current, name):
            current, last = current[name], name
            path = step(path, name)
        elif index == len(steps) - 1 and detail["type"] == "missing":
            last, path = name, step(path, name)
        else:
            sure = sure and name == "[key]"
    return path, last, sure


def _has(value: Any, name: int | str) -> bool:
    if isinstance(value, list):
        return isinstance(name, int) and name < len(value)
    return isinstance(value, dict) and name in value


def _fields(model: type[Model], steps: tuple[int | str, ...]) -> list[str]:
    """The published names of the fields of the model that stands at the end of these steps."""
    annotation: Any = model
    for name in steps:
        annotation = _within(annotation, name)
    model_there = _plain(annotation)
    if isinstance(model_there, type) and issubclass(model_there, Model):
        return [info.alias or field for field, info in model_there.model_fields.items()]
    return []


def _within(annotation: Any, name: int | str) -> Any:
    plain = _plain(annotation)
    if isinstance(plain, type) and issubclass(plain, Model):
        by_alias = {info.alias or field: info.annotation for field, info in plain.model_fields.items()}
        return by_alias.get(str(name))
    arguments = get_args(plain)
    if get_origin(plain) is dict:
        return arguments[1]
    if get_origin(plain) is tuple:
        return arguments[0]
    return plain


def _plain(annotation: Any) -> Any:
    """An annotation without Annotated[...] and without None."""
    while True:
        if hasattr(annotation, "__metadata__"):
            annotation = annotation.__origin__
            continue
        arguments = [each for each in get_args(annotation) if each is not NoneType]
        if NoneType in get_args(annotation) and len(arguments) == 1:
            annotation = arguments[0]
            continue
        return annotation
