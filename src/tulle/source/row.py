"""What the store keeps of a resource, and how it is written as text. Read by `database.py` and `store.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tulle.model.resource import Key, Place
from tulle.model.schema import WrittenFloat


@dataclass(frozen=True)
class Row:
    key: Key
    revision: int
    generation: int
    created: str
    document: Mapping[str, Any]
    places: Mapping[str, Place]


_FLOAT = "\0float"


def encode(document: Mapping[str, Any]) -> str:
    return json.dumps(_plain(document), ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """JSON has no place for how a number was written: it is put under a key that no YAML can have."""
    if isinstance(value, WrittenFloat):
        return {_FLOAT: value.text}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def decode(text: str) -> dict[str, Any]:
    return json.loads(text, object_hook=_written)


def _written(value: dict[str, Any]) -> Any:
    return WrittenFloat(value[_FLOAT]) if _FLOAT in value else value


def encode_places(places: Mapping[str, Place]) -> str:
    files = list(dict.fromkeys(place.file for place in places.values()))
    where = {path: (files.index(place.file), place.line, place.column) for path, place in places.items()}
    return json.dumps([files, where], ensure_ascii=False, separators=(",", ":"))


def decode_places(text: str) -> dict[str, Place]:
    files, where = json.loads(text)
    return {path: Place(files[file], line, column) for path, (file, line, column) in where.items()}
