"""The constraints that Envoy's protobufs state about their fields (protoc-gen-validate, `validate.rules`).

Envoy holds every configuration against them and refuses what breaks one; here that is known before anything
is sent. The rules and their meaning: https://github.com/bufbuild/protoc-gen-validate, "Constraint Rules".
What stands in an Any is looked into where its type is known.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import re2

from tulle.xds.patch.types import ANY, WRAPPERS, UnknownTypeError, find

validate_pb2: Any = import_module("validate.validate_pb2")  # it comes without type stubs

_WRAPPERS = frozenset(f"google.protobuf.{name}" for name in WRAPPERS)
_HEADER_NAME = re.compile(r":?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+")
_NOT_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LOOSE = re.compile(r"[\x00\n\r]")
_LABEL = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")


def violations(message: Any, path: str = "") -> Iterator[str]:
    """Every broken constraint of a message and of all that is in it, as `path: what is wrong`."""
    for field, rules, required in _fields(message.DESCRIPTOR):
        at = f"{path}.{field.name}" if path else field.name
        yield from _field(message, field, rules, required, at)
    for union in _unions(message.DESCRIPTOR):
        if message.WhichOneof(union) is None:
            yield f"{path or message.DESCRIPTOR.name}: one of {union} is required"


@cache
def _fields(descriptor: Any) -> tuple[tuple[Any, Any, bool], ...]:
    """The fields that have rules, or may hold something that has: field, rules or None, whether it must be
    there."""
    if descriptor.GetOptions().Extensions[validate_pb2.disabled]:
        return ()
    found: list[tuple[Any, Any, bool]] = []
    for field in descriptor.fields:
        options = field.GetOptions()
        rules = options.Extensions[validate_pb2.rules] if options.HasExtension(validate_pb2.rules) else None
        if rules is None and field.message_type is None:
            continue
        kind = rules.WhichOneof("type") if rules is not None else None
        # In a oneof the rules hold for the member that is there.
        required = (
            rules is not None
            and field.containing_oneof is None
            and (
                rules.message.required
                or (kind in ("any", "duration", "timestamp") and getattr(rules, kind).required)
            )
        )
        found.append((field, rules, required))
    return tuple(found)


@cache
def _unions(descriptor: Any) -> tuple[str, ...]:
    return tuple(
        union.name
        for union in descriptor.oneofs
        if union.GetOptions().HasExtension(validate_pb2.required)
        and union.GetOptions().Extensions[validate_pb2.required]
    )


def _field(message: Any, field: Any, rules: Any, required: bool, at: str) -> Iterator[str]:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        yield from _map(field, value, rules, at)
    elif field.is_repeated:
        yield from _repeated(field, value, rules, at)
    elif field.has_presence and not message.HasField(field.name):
        if required:
            yield f"{at}: value is required"
    else:
        yield from _value(field, value, rules, at)


def _map(field: Any, value: Any, rules: Any, at: str) -> Iterator[str]:
    entry = field.message_type.fields_by_name
    own = rules.map if rules is not None and rules.HasField("map") else None
    if own is not None:
        if not len(value) and own.ignore_empty:
            return
        yield from _count(own, "pairs", len(value), at)
    for key in value:
        inside = f"{at}[{key}]"
        yield from _value(entry["key"], key, own.keys if own is not None else None, inside)
        yield from _value(entry["value"], value[key], own.values if own is not None else None, inside)


def _repeated(field: Any, value: Any, rules: Any, at: str) -> Iterator[str]:
    own = rules.repeated if rules is not None and rules.HasField("repeated") else None
    if own is not None:
        if not len(value) and own.ignore_empty:
            return
        yield from _count(own, "items", len(value), at)
        if own.unique and len({repr(each) for each in value}) < len(value):
            yield f"{at}: its items must be unique"
    for index, each in enumerate(value):
        yield from _value(field, each, own.items if own is not None else None, f"{at}[{index}]")


def _count(rules: Any, what: str, length: int, at: str) -> Iterator[str]:
    least, most = f"min_{what}", f"max_{what}"
    if rules.HasField(least) and length < getattr(rules, least):
        yield f"{at}: at least {getattr(rules, least)} {what} are required"
    if rules.HasField(most) and length > getattr(rules, most):
        yield f"{at}: at most {getattr(rules, most)} {what} are allowed"


def _value(field: Any, value: Any, rules: Any, at: str) -> Iterator[str]:
    """One value that is there."""
    kind = rules.WhichOneof("type") if rules is not None else None
    if field.message_type is None:
        if kind is not None:
            yield from (f"{at}: {text}" for text in _scalar(kind, getattr(rules, kind), value, field))
        return
    name = field.message_type.full_name
    if name == ANY:
        yield from _any(value, rules, kind, at)
    elif name in _WRAPPERS:
        if kind is not None:
            inner = field.message_type.fields_by_name["value"]
            yield from (f"{at}: {text}" for text in _scalar(kind, getattr(rules, kind), value.value, inner))
    elif rules is not None and kind == "duration":
        yield from (f"{at}: {text}" for text in _duration(rules.duration, value))
    elif not (rules is not None and rules.message.skip):
        yield from violations(value, at)


def _any(value: Any, rules: Any, kind: str | None, at: str) -> Iterator[str]:
    if kind == "any":
        allowed, forbidden = getattr(rules.any, "in"), rules.any.not_in
        if (allowed and value.type_url not in allowed) or value.type_url in forbidden:
            yield f"{at}: {value.type_url} may not stand here"
    try:
        inner = find(value.type_url).FromString(value.value)
    except (UnknownTypeError, ValueError):
        return
    yield from violations(inner, at)


# -- rules of single values ---------------------------------------------------------------------------


def _scalar(kind: str, rules: Any, value: Any, field: Any) -> Iterator[str]:
    match kind:
        case "string":
            yield from _string(rules, value)
        case "bytes":
            yield from _lengths(rules, len(value), "bytes")
        case "bool":
            if rules.HasField("const") and value != rules.const:
                yield f"it must be {str(rules.const).lower()}"
        case "enum":
            if rules.defined_only and value not in field.enum_type.values_by_number:
                yield "it must be one of the defined values"
            yield from _membership(rules, value)
        case _:
            if getattr(rules, "ignore_empty", False) and not value:
                return
            yield from _range(rules, value, lambda limit: limit)
            yield from _membership(rules, value)


def _membership(rules: Any, value: Any) -> Iterator[str]:
    if rules.HasField("const") and value != rules.const:
        yield f"it must be {rules.const}"
    allowed = getattr(rules, "in")
    if allowed and value not in allowed:
        yield f"it must be one of {', '.join(map(str, allowed))}"
    if value in rules.not_in:
        yield f"it must not be {value}"


def _range(rules: Any, value: Any, number: Callable[[Any], Any]) -> Iterator[str]:
    """Limits. A lower one above the upper one means what is outside of the two."""
    lower = next((name for name in ("gt", "gte") if rules.HasField(name)), None)
    upper = next((name for name in ("lt", "lte") if rules.HasField(name)), None)
    words = {"gt": "greater than", "gte": "at least", "lt": "less than", "lte": "at most"}

    def holds(name: str) -> bool:
        limit = number(getattr(rules, name))
        return {"gt": value > limit, "gte": value >= limit, "lt": value < limit, "lte": value <= limit}[name]

    named = [name for name in (lower, upper) if name is not None]
    outside = (
        lower is not None
        and upper is not None
        and number(getattr(rules, lower)) > number(getattr(rules, upper))
    )
    good = any(map(holds, named)) if outside else all(map(holds, named))
    if not good:
        limits = [f"{words[name]} {number(getattr(rules, name))}" for name in named]
        yield f"it must be {(' or ' if outside else ' and ').join(limits)}"


def _duration(rules: Any, value: Any) -> Iterator[str]:
    def seconds(each: Any) -> float:
        return each.seconds + each.nanos / 1e9

    for text in _range(rules, seconds(value), seconds):
        yield f"{text} (seconds)"
    if rules.HasField("const") and seconds(value) != seconds(rules.const):
        yield f"it must be {seconds(rules.const)}s"


def _lengths(rules: Any, length: int, what: str) -> Iterator[str]:
    if rules.HasField("min_len") and length < rules.min_len:
        yield f"at least {rules.min_len} {what} are required"
    if rules.HasField("max_len") and length > rules.max_len:
        yield f"at most {rules.max_len} {what} are allowed"
    if rules.HasField("len") and length != rules.len:
        yield f"{rules.len} {what} are required"


def _string(rules: Any, value: str) -> Iterator[str]:
    if rules.ignore_empty and not value:
        return
    yield from _lengths(rules, len(value), "characters")
    size = len(value.encode())
    if rules.HasField("min_bytes") and size < rules.min_bytes:
        yield f"at least {rules.min_bytes} bytes are required"
    if rules.HasField("max_bytes") and size > rules.max_bytes:
        yield f"at most {rules.max_bytes} bytes are allowed"
    if rules.HasField("prefix") and not value.startswith(rules.prefix):
        yield f"it must begin with “{rules.prefix}”"
    if rules.HasField("suffix") and not value.endswith(rules.suffix):
        yield f"it must end with “{rules.suffix}”"
    if rules.HasField("contains") and rules.contains not in value:
        yield f"it must contain “{rules.contains}”"
    if rules.HasField("not_contains") and rules.not_contains in value:
        yield f"it must not contain “{rules.not_contains}”"
    if rules.HasField("pattern") and re2.search(rules.pattern, value) is None:
        yield f"it must match {rules.pattern}"
    yield from _membership(rules, value)
    known = rules.WhichOneof("well_known")
    if known is not None and not _is_well_known(known, rules, value):
        yield f"it is not a valid {known.replace('_', ' ')}"


def _is_well_known(known: str, rules: Any, value: str) -> bool:
    match known:
        case "well_known_regex":
            return _is_header(rules, value)
        case "ip" | "ipv4" | "ipv6":
            return _is_address(value, {"ipv4": (4,), "ipv6": (6,)}.get(known, (4, 6)))
        case "hostname":
            return _is_host(value)
        case "address":
            return _is_host(value) or _is_address(value, (4, 6))
        case "uri":
            return bool(urlsplit(value).scheme)
        case _:
            return True  # no message of Envoy's asks for the others


def _is_header(rules: Any, value: str) -> bool:
    """HTTP_HEADER_NAME and HTTP_HEADER_VALUE; not strict: nothing that would split a header."""
    if not rules.strict:
        return _LOOSE.search(value) is None
    if rules.well_known_regex == validate_pb2.HTTP_HEADER_NAME:
        return _HEADER_NAME.fullmatch(value) is not None
    return _NOT_IN_HEADER.search(value) is None


def _is_address(value: str, versions: Iterable[int]) -> bool:
    try:
        return ipaddress.ip_address(value).version in versions
    except ValueError:
        return False


def _is_host(value: str) -> bool:
    labels = value.removesuffix(".").split(".")
    return len(value) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
