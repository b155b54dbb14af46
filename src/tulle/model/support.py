"""How far each kind and field is supported, read off the models themselves.

A field is honoured unless its model says otherwise: `NoEffect` is taken without meaning anything here,
`NotHonoured` is refused. `docs/reference/support.md` is this table written down; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from tulle.model.kinds import KINDS, Kind
from tulle.model.schema import Model, NoEffect, NotHonoured

_HONOURED = "honoured"
_KIND_OF = {kind.spec: kind.kind for kind in KINDS if kind.has_spec}
"""A Pod's template is listed with the Pod."""


@dataclass(frozen=True, slots=True)
class Row:
    """One field of a kind."""

    path: str
    """As it is written: `spec.http[].route[].weight`; `{}` stands for the keys of a mapping."""
    support: str


def rows(kind: Kind) -> tuple[Row, ...]:
    """All fields of a kind in the order of its schema. Below a field that is refused or means nothing, none
    is listed."""
    return tuple(_fields(kind.spec, "spec" if kind.has_spec else "", ()))


def markdown() -> str:
    """The whole table, as Markdown."""
    lines = [
        "# What is supported",
        "",
        "Every kind that is read, and every field of it. This page is generated from the models that read",
        "them (`make golden`), so it says what this version does:",
        "",
        "- **honoured**: it does what its documentation says;",
        "- **no effect**: it is taken, `tulle analyze` says so, and it means nothing here, for a reason;",
        "- **refused**: it is an error at its line, for a reason. So is any field that is not listed.",
        "",
        "Where only some values are concerned, the reason says which.",
        "",
    ]
    for kind in KINDS:
        if not kind.no_effect:
            lines += _section(kind)
    lines += ["## Kinds without effect", "", "| Kind | Why |", "|---|---|"]
    lines += [f"| `{kind.api_version}` {kind.kind} | {kind.no_effect} |" for kind in KINDS if kind.no_effect]
    return "\n".join(lines) + "\n"


def _section(kind: Kind) -> list[str]:
    versions = ", ".join(f"`{each}`" for each in kind.api_versions)
    lines = [f"## {kind.kind}", "", versions, ""]
    lines += ["| Field | Support |", "|---|---|"]
    lines += [f"| `{row.path}` | {row.support} |" for row in rows(kind)]
    return [*lines, ""]


def _fields(model: type[Model], path: str, above: tuple[type[Model], ...]) -> Iterator[Row]:
    for name, info in model.model_fields.items():
        at = f"{path}.{info.alias or name}" if path else info.alias or name
        marks = [mark for mark in info.metadata if isinstance(mark, (NoEffect, NotHonoured))]
        shape, suffix = _shape(info.annotation)
        if marks:
            yield Row(at, "; ".join(_words(mark) for mark in marks))
            if all(mark.when is None for mark in marks):
                continue
        elif shape is None:
            yield Row(at + suffix, _HONOURED)
        if shape is not None:
            if shape in above:
                yield Row(at + suffix, f"{_HONOURED}; its fields are those of {shape.__name__} above")
            elif shape in _KIND_OF:
                yield Row(at + suffix, f"as `spec` of a {_KIND_OF[shape]}")
            else:
                yield from _fields(shape, at + suffix, (*above, model))


def _words(mark: NoEffect | NotHonoured) -> str:
    word = "no effect" if isinstance(mark, NoEffect) else "refused"
    some = " (some values)" if mark.when is not None else ""
    return f"{word}{some}: {mark.reason}"


def _shape(annotation: Any) -> tuple[type[Model] | None, str]:
    """The model that stands inside lists, mappings and optional types, and how that is written."""
    if hasattr(annotation, "__metadata__"):
        return _shape(annotation.__origin__)
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation, ""
    arguments = [each for each in get_args(annotation) if each is not NoneType]
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        found = [_shape(each) for each in arguments]
        return next((each for each in found if each[0] is not None), found[0])
    if origin is tuple and arguments:
        shape, suffix = _shape(arguments[0])
        return shape, f"[]{suffix}"
    if origin is dict:
        shape, suffix = _shape(arguments[1])
        return shape, f".{{}}{suffix}" if shape is not None else ""
    return None, ""
