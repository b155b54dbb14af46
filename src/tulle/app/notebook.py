"""What the control plane must not forget when it starts again, beside what people wrote.

Addresses: one that changed under a running program would cut its connections. Instances: without them every
endpoint would be gone until its host reports again (decision 19). Both are small values in the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from tulle.model.agentapi import Instance
from tulle.source.database import StoreError

_log = structlog.get_logger("tulle.notebook")

_ADDRESSES = "addresses"
_INSTANCES = "instances"
Name = tuple[str, str]


class Memory(Protocol):
    """The store, as far as it is needed here."""

    def recall(self, name: str) -> Any: ...

    def remember(self, name: str, value: Any) -> None: ...


class Notebook:
    """Read at start, written by `save` when something has changed."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.addresses: dict[str, str] = dict(memory.recall(_ADDRESSES) or {})
        """What has an address -> the address. `World` changes it."""
        self._saved_addresses = dict(self.addresses)
        self._instances = dict(_instances(memory.recall(_INSTANCES) or []))
        self._instances_changed = False

    def instances(self) -> tuple[tuple[str, Instance], ...]:
        """What hosts reported before we started: (host, instance)."""
        return tuple((host, instance) for (host, _), instance in self._instances.items())

    def keep(self, host: str, name: Name, instance: Instance | None) -> None:
        """Remember what a host reported, or that it reports it no more."""
        if instance is None:
            self._instances.pop((host, name), None)
        else:
            self._instances[host, name] = instance
        self._instances_changed = True

    def save(self) -> None:
        """Write what has changed. A disk that refuses is logged, and tried again the next time."""
        try:
            if self.addresses != self._saved_addresses:
                self._memory.remember(_ADDRESSES, self.addresses)
                self._saved_addresses = dict(self.addresses)
            if self._instances_changed:
                pairs = [(host, each.model_dump(mode="json")) for (host, _), each in self._instances.items()]
                self._memory.remember(_INSTANCES, pairs)
                self._instances_changed = False
        except StoreError as error:
            _log.warning("the state cannot be kept now", reason=str(error), remedy=error.remedy)


def _instances(saved: Any) -> Iterator[tuple[tuple[str, Name], Instance]]:
    for host, value in saved:
        try:
            instance = Instance.model_validate(value)
        except ValidationError:
            continue  # of another version: its host reports it again within a lease
        yield (host, (instance.namespace, instance.name)), instance
