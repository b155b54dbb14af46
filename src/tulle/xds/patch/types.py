"""The types that Envoy's configuration is made of, by name: those of the protobufs that come with Tulle.

A package is loaded when somebody names a type of it, and nothing but generated modules of Envoy's own
packages ever is: the name comes from a document.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

from google.protobuf import descriptor_pool, message_factory

_status: Any = import_module("udpa.annotations.status_pb2")  # it comes without type stubs
_PACKAGES = ("envoy", "xds", "udpa", "google")
ANY = "google.protobuf.Any"
WRAPPERS = tuple(
    f"{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
"""Of google.protobuf."""
TYPED_STRUCTS = ("xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct")


class UnknownTypeError(ValueError):
    """There is no such type in Envoy's protobufs."""


def find(type_url: str) -> Any:
    """The message class of `type.googleapis.com/...`. Raises UnknownTypeError."""
    prefix, slash, name = type_url.rpartition("/")
    if not slash or not prefix:
        raise UnknownTypeError(f"“{type_url}” is not a type: it has no “/” (type.googleapis.com/NAME)")
    try:
        return _find(name)
    except KeyError:
        hint = " (Envoy has no v2 any more: try v3)" if ".v2." in name else ""
        raise UnknownTypeError(f"Envoy's protobufs have no type “{name}”{hint}") from None


@cache
def _find(name: str) -> Any:
    package, _, _ = name.rpartition(".")
    while package:
        _load(package)
        package, _, _ = package.rpartition(".")  # the type may stand in another
    descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    status = descriptor.file.GetOptions().Extensions[_status.file_status].package_version_status
    if status == _status.FROZEN:  # v2: the protobufs still have it, and no Envoy takes it
        raise KeyError(name)
    return message_factory.GetMessageClass(descriptor)


@cache
def _load(package: str) -> None:
    first, *rest = package.split(".")
    if first not in _PACKAGES or not all(part.isidentifier() and part.islower() for part in rest):
        return
    try:
        found = import_module(package)
    except ImportError:
        return
    for each in pkgutil.iter_modules(getattr(found, "__path__", ())):
        if each.name.endswith("_pb2"):
            import_module(f"{package}.{each.name}")
