"""MERGE: a protobuf merge, with Istio's exceptions (istio.io/istio, pkg/proto/merge and `MergeAnyWithAny`).

Scalars that are set replace, messages merge field by field, lists are appended to, entries of a map are
replaced. A Duration is replaced as a whole (golang/protobuf#1359), and the typed configurations of filters
and transport sockets are merged within. MERGE_AND_REPLACE_LIST puts lists in the place of lists.
"""

from __future__ import annotations

from typing import Any

from tulle.xds import message
from tulle.xds.patch.types import UnknownTypeError, find

_WHOLE = "google.protobuf.Duration"


class MergeError(ValueError):
    """Two things cannot be merged."""


def merge(target: Any, source: Any, replace_lists: bool = False) -> None:
    """Merge one message into another of its type."""
    for field, value in source.ListFields():
        name = field.name
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _merge_map(getattr(target, name), value, field.message_type.fields_by_name["value"])
        elif field.is_repeated:
            if replace_lists:
                target.ClearField(name)
            getattr(target, name).extend(value)
        elif field.message_type is None:
            setattr(target, name, value)
        elif field.message_type.full_name == _WHOLE:
            getattr(target, name).CopyFrom(value)
        else:
            getattr(target, name).SetInParent()
            merge(getattr(target, name), value, replace_lists)


def _merge_map(target: Any, source: Any, value_field: Any) -> None:
    for key in source:
        if value_field.message_type is not None:
            target[key].CopyFrom(source[key])
        else:
            target[key] = source[key]


def merge_any(target: Any, source: Any, replace_lists: bool = False) -> None:
    """Merge the message inside one Any into that inside another. Raises MergeError if their types differ."""
    if target.type_url != source.type_url:
        raise MergeError(f"it is {_name(target)}, and {_name(source)} cannot be merged into it")
    try:
        message_class = find(target.type_url)
    except UnknownTypeError as error:
        raise MergeError(str(error)) from None
    merged = message_class.FromString(target.value)
    merge(merged, message_class.FromString(source.value), replace_lists)
    target.CopyFrom(message.packed(merged))


def merge_extension(target: Any, source: Any, replace_lists: bool = False) -> None:
    """Merge one named extension (a filter, a transport socket) into another, its typed configuration within.

    Raises MergeError.
    """
    if source.HasField("typed_config") and target.HasField("typed_config"):
        merge_any(target.typed_config, source.typed_config, replace_lists)
        rest = type(source)()
        rest.CopyFrom(source)
        rest.ClearField("typed_config")
        merge(target, rest, replace_lists)
    else:
        merge(target, source, replace_lists)


def merge_with_socket(target: Any, source: Any, replace_lists: bool) -> None:
    """Merge what may have a `transport_socket` (a filter chain, a cluster). A socket of another name takes
    the place of the one that is there; one of the same name is merged. Raises MergeError."""
    if not source.HasField("transport_socket"):
        merge(target, source, replace_lists)
        return
    _merge_socket(target, source.transport_socket, replace_lists)
    rest = type(source)()
    rest.CopyFrom(source)
    rest.ClearField("transport_socket")
    merge(target, rest, replace_lists)


def _merge_socket(target: Any, socket: Any, replace_lists: bool) -> None:
    matches = getattr(target, "transport_socket_matches", ())
    there = [each.transport_socket for each in matches] or [target.transport_socket]
    same = next((each for each in there if each.name == socket.name), None)
    if same is not None:
        merge_extension(same, socket, replace_lists)
    elif matches:
        raise MergeError(f"its transport socket goes by the endpoint, and none is called “{socket.name}”")
    else:
        target.transport_socket.CopyFrom(socket)


def _name(value: Any) -> str:
    return value.type_url.rpartition("/")[2]
