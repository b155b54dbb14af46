"""What the control plane must not forget when it starts again, beside what people wrote.

Addresses: one that changed under a running program would cut its connections. Instances: without them every
endpoint would be gone until its host reports again (decision 19). Each is a small value in the store, written
when it has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from tulle.model.agentapi import Instance
from tulle.source.database import StoreError

_log = structlog.get_logger("tulle.notebook")

_ADDRESSES = "addresses"
_INSTANCE = "instance "
"""Before `HOST NAMESPACE NAME`, in which there is no space."""
Name = tuple[str, str]


class Memory(Protocol):
    """The store, as far as it is needed here."""

    def recall(self, name: str) -> Any: ...

    def recall_all(self, prefix: str) -> dict[str, Any]: ...

    def remember(self, values: Mapping[str, Any]) -> None: ...


class Notebook:
    """Read at start, written by `save` when something has changed."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.addresses: dict[str, str] = dict(memory.recall(_ADDRESSES) or {})
        """What has an address -> the address. `World` changes it."""
        self._saved_addresses = dict(self.addresses)
        self._changed: dict[str, Instance | None] = {}

    def instances(self) -> tuple[tuple[str, Instance], ...]:
        """What hosts reported before we started: (host, instance)."""
        found: list[tuple[str, Instance]] = []
        for name, value in self._memory.recall_all(_INSTANCE).items():
            host = name.removeprefix(_INSTANCE).split()[0]
            try:
                found.append((host, Instance.model_validate(value)))
            except ValidationError:
                continue  # of another version: its host reports it again within a lease
        return tuple(found)

    def keep(self, host: str, name: Name, instance: Instance | None) -> None:
        """Remember what a host reported, or that it reports it no more."""
        self._changed[_INSTANCE + " ".join((host, *name))] = instance

    def save(self) -> None:
        """Write what has changed. A disk that refuses is logged, and tried again the next time."""
        values: dict[str, Any] = {
            name: instance and instance.model_dump(mode="json") for name, instance in self._changed.items()
        }
        addresses = dict(self.addresses)
        if addresses != self._saved_addresses:
            values[_ADDRESSES] = addresses
        if not values:
            return
        try:
            self._memory.remember(values)
        except StoreError as error:
            _log.warning("the state cannot be kept now", reason=str(error), remedy=error.remedy)
            return
        self._saved_addresses = addresses
        self._changed.clear()
