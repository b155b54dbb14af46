"""The value of a patch, JSON as people write it, to Envoy's message: with every fault at its own place.

The mapping is that of protobuf.dev, "ProtoJSON Format": names in snake_case or camelCase, `@type` in an Any.
A TypedStruct is read as what it stands for, as Envoy does when it gets one, so that it can be merged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf import json_format

from tulle.xds import message
from tulle.xds.patch.types import ANY, TYPED_STRUCTS, WRAPPERS, UnknownTypeError, find

Path = tuple[str | int, ...]

_AS_JSON = frozenset(
    f"google.protobuf.{name}"
    for name in (
        "Duration",
        "Timestamp",
        "FieldMask",
        "Struct",
        "Value",
        "ListValue",
        *WRAPPERS,
    )
)
"""Types with a JSON form of their own."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a field of a value."""

    path: Path
    code: str
    text: str


def read(message_class: Any, value: Any) -> tuple[Any, tuple[Fault, ...]]:
    """The message, complete if there is no fault, and all faults."""
    made = message_class()
    return made, tuple(_fill(made, value, ()))


def _fill(made: Any, value: Any, path: Path) -> Iterator[Fault]:
    """Put a JSON value into an empty message."""
    name = made.DESCRIPTOR.full_name
    if name in _AS_JSON:
        yield from _parse(value, made, path)
    elif not isinstance(value, dict):
        yield Fault(path, "wrong-type", f"expected a mapping, the fields of {name}")
    elif name == ANY:
        yield from _fill_any(made, cast("dict[str, Any]", value), path)
    else:
        yield from _fill_fields(made, cast("dict[str, Any]", value), path)


def _parse(value: Any, made: Any, path: Path) -> Iterator[Fault]:
    try:
        json_format.ParseDict(value, made)
    except (json_format.ParseError, ValueError, TypeError) as error:
        yield Fault(path, "invalid-value", _words(error))


def _words(error: Exception) -> str:
    """The last cause, without the path of types that json_format adds."""
    text = str(error).partition(" at '")[0].partition(' at "')[0]
    return text[text.find(": ") + 2 :] if text.startswith("Failed to parse ") else text


def _fill_any(made: Any, value: dict[str, Any], path: Path) -> Iterator[Fault]:
    type_url = value.get("@type")
    if not isinstance(type_url, str):
        yield Fault(path, "missing-field", "it has no “@type”")
        return
    rest = {key: each for key, each in value.items() if key != "@type"}
    if type_url.rpartition("/")[2] in TYPED_STRUCTS:
        yield from _fill_typed_struct(made, rest, path)
        return
    try:
        inner = find(type_url)()
    except UnknownTypeError as error:
        yield Fault((*path, "@type"), "unknown-type", str(error))
        return
    if inner.DESCRIPTOR.full_name in (*_AS_JSON, ANY):
        yield from _fill(inner, rest.get("value"), (*path, "value"))
    else:
        yield from _fill(inner, rest, path)
    made.CopyFrom(message.packed(inner))


def _fill_typed_struct(made: Any, value: dict[str, Any], path: Path) -> Iterator[Fault]:
    type_url = value.get("type_url", value.get("typeUrl"))
    try:
        inner = find(str(type_url))()
    except UnknownTypeError as error:
        yield Fault((*path, "type_url"), "unknown-type", str(error))
        return
    yield from _fill(inner, value.get("value", {}), (*path, "value"))
    made.CopyFrom(message.packed(inner))


def _fill_fields(made: Any, value: dict[str, Any], path: Path) -> Iterator[Fault]:
    fields = made.DESCRIPTOR.fields_by_name
    by_json = made.DESCRIPTOR.fields_by_camelcase_name
    chosen: dict[str, str] = {}
    for key, each in value.items():
        field = fields.get(key) or by_json.get(key)
        if field is None:
            text = f"{made.DESCRIPTOR.full_name} has no field “{key}”"
            yield Fault((*path, key), "unknown-field", text)
            continue
        if each is None:
            continue
        union = field.containing_oneof
        if union is not None and chosen.setdefault(union.full_name, key) != key:
            text = f"{key} and {chosen[union.full_name]} exclude each other"
            yield Fault((*path, key), "exclusive-fields", text)
            continue
        yield from _fill_field(made, field, each, (*path, key))


def _is_map(field: Any) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _fill_field(made: Any, field: Any, value: Any, path: Path) -> Iterator[Fault]:
    if _is_map(field):
        entry = field.message_type.fields_by_name["value"]
        if entry.message_type is None:
            yield from _parse({field.name: value}, made, path)
        elif isinstance(value, dict):
            target = getattr(made, field.name)
            for key, each in value.items():
                yield from _fill(target[key], each, (*path, key))
        else:
            yield Fault(path, "wrong-type", "expected a mapping")
    elif field.message_type is None:
        yield from _parse({field.name: value}, made, path)
    elif field.is_repeated:
        if not isinstance(value, list):
            yield Fault(path, "wrong-type", "expected a list")
            return
        for index, each in enumerate(cast("list[Any]", value)):
            yield from _fill(getattr(made, field.name).add(), each, (*path, index))
    else:
        target = getattr(made, field.name)
        target.SetInParent()
        yield from _fill(target, value, path)
