"""A document as it was read: plain values, and the place of every field. `parse.py` makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tulle.model.resource import Place


@dataclass(frozen=True)
class Document:
    value: Mapping[str, Any]
    places: Mapping[str, Place]


def step(path: str, key: str | int) -> str:
    """The path one step further: `spec.rules[0].name`, `metadata.labels[app.kubernetes.io/name]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if key and all(character.isalnum() or character in "-_" for character in key):
        return f"{path}.{key}" if path else key
    return f"{path}[{key}]"


def join(path: str, rest: str) -> str:
    """A path and the rest of it, which may begin with an index or a key in brackets."""
    if not rest:
        return path
    return f"{path}{rest}" if rest.startswith("[") or not path else f"{path}.{rest}"


def without_nulls(value: Any) -> Any:
    """A field whose value is null counts as left out, as for an API server."""
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [without_nulls(each) for each in value]
    return value
