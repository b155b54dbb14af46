"""What the control plane must not forget when it starts again, beside what people wrote.

Addresses: one that changed under a running program would cut its connections. Instances: without them every
endpoint would be gone until its host reports again (decision 19). Each is a small value in the store, written
when it has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from tulle.model.agentapi import Instance
from tulle.source.database import StoreError

_log = structlog.get_logger("tulle.notebook")

_ADDRESS = "address/"
_INSTANCE = "instance/"
Name = tuple[str, str]


class Memory(Protocol):
    """The store, as far as it is needed here."""

    def recall(self, prefix: str) -> dict[str, Any]: ...

    def remember(self, values: Mapping[str, Any]) -> None: ...


class Notebook:
    """Read at start, written by `save`: what has changed, and no more."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.addresses: dict[str, str] = memory.recall(_ADDRESS)
        """What has an address -> the address. `World` changes it."""
        self._saved_addresses = dict(self.addresses)
        self._instances = dict(_instances(memory.recall(_INSTANCE)))
        self._changed: dict[str, Instance | None] = {}
        self._failing = False

    def instances(self) -> tuple[tuple[str, Instance], ...]:
        """What hosts reported before we started: (host, instance)."""
        return tuple((host, instance) for (host, _), instance in self._instances.items())

    def keep(self, host: str, name: Name, instance: Instance | None) -> None:
        """Remember what a host reported, or that it reports it no more."""
        self._changed["/".join((_INSTANCE + host, *name))] = instance

    def save(self) -> bool:
        """Write what has changed. False: not all of it could be written, and is to be tried again."""
        before, now = self._saved_addresses, dict(self.addresses)
        addresses: dict[str, Any] = {_ADDRESS + name: None for name in before.keys() - now.keys()}
        addresses |= {_ADDRESS + name: now[name] for name in now if before.get(name) != now[name]}
        problem = self._write(addresses)
        if problem is None:
            self._saved_addresses = now
        # Apart from each other: what keeps the instances from being written must not cost the addresses.
        changed = self._changed.items()
        other = self._write({name: each and each.model_dump(mode="json") for name, each in changed})
        if other is None:
            self._changed = {}
        self._tell(problem or other)
        return problem is None and other is None

    def _write(self, values: Mapping[str, Any]) -> StoreError | None:
        try:
            if values:
                self._memory.remember(values)
        except StoreError as error:
            return error
        return None

    def _tell(self, problem: StoreError | None) -> None:
        if problem is not None and not self._failing:
            _log.warning("the state cannot be kept now", reason=str(problem), remedy=problem.remedy)
        elif problem is None and self._failing:
            _log.info("the state is kept again")
        self._failing = problem is not None


def _instances(saved: Mapping[str, Any]) -> Iterator[tuple[tuple[str, Name], Instance]]:
    for where, value in saved.items():
        try:
            instance = Instance.model_validate(value)
        except ValidationError:
            continue  # of another version: its host reports it again within a lease
        yield (where.partition("/")[0], (instance.namespace, instance.name)), instance
