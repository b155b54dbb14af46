"""A resource: what a person wrote, typed, with the place of every field in its file.

Made by `parse.py`; published by `source/`; read by `mesh/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field

from tulle.model.label import Labels
from tulle.model.schema import DnsLabel, Int, Model, NotHonoured

S = TypeVar("S", covariant=True)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What a resource is known by. Two Gateways differ by their group; the core group is ''."""

    group: str
    kind: str
    namespace: str
    """'' for kinds without a namespace."""
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something is written; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Metadata(Model):
    """Kubernetes' ObjectMeta (meta/v1). What only an API server writes is taken and left alone."""

    name: str
    namespace: DnsLabel | None = None
    labels: Labels = {}
    annotations: dict[str, str] = {}
    generation: Int = 0
    """Rises with every change of the spec; the API's store counts it. 0: read from a file."""
    creation_timestamp: str | None = None
    """RFC 3339. None: read from a file; such a resource counts as older than any other."""
    generate_name: Annotated[
        str | None, NotHonoured("names are written out, so that applying twice changes nothing")
    ] = None
    uid: str | None = None
    resource_version: str | None = None
    self_link: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: Int | None = None
    owner_references: Annotated[tuple[Any, ...], Field(repr=False)] = ()
    finalizers: tuple[str, ...] = ()
    managed_fields: Annotated[tuple[Any, ...], Field(repr=False)] = ()


_LAST_STEP = re.compile(r"(\[[^\]]*\]|\.?[^.\[\]]+)$")


def nearest(places: Mapping[str, Place], path: str) -> Place:
    """The place of a field, or else of the nearest written field around it."""
    while path and path not in places:
        shorter = _LAST_STEP.sub("", path)
        path = shorter if shorter != path else path[:-1]  # a key with a bracket in it
    return places.get(path) or Place("", 0, 0)


@dataclass(frozen=True)
class Resource(Generic[S]):
    """One document. For a kind without `spec` (ConfigMap, Secret, ...) `spec` is its typed rest."""

    key: Key
    api_version: str
    metadata: Metadata
    spec: S
    document: Mapping[str, Any] = field(repr=False)
    """As it was written, made of what JSON has."""
    places: Mapping[str, Place] = field(repr=False)
    """'spec.rules[0].matches[1].path' -> where it is written; '' -> the document."""

    def place(self, path: str = "") -> Place:
        """Where a field is written, or else the nearest written field around it."""
        return nearest(self.places, path)

    @property
    def namespace(self) -> str:
        return self.key.namespace

    @property
    def name(self) -> str:
        return self.key.name
