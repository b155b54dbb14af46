"""Whether each proxy has what it is to have, and the waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["synced", "pending", "rejected", "disconnected"]


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """How one node stands."""

    node: str
    state: State
    since: float
    """Seconds since the epoch when the state became this one."""
    errors: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """(type url, the client's own words, names of the resources) of what it refuses."""
    moving: bool = False
    """It is for the client to say something."""

    @property
    def decided(self) -> bool:
        """The client said yes or no to all that it was sent."""
        return self.state == "synced" or (self.state == "rejected" and not self.moving)


Progress = Callable[[Mapping[str, NodeStatus]], None]


class StatusBoard:
    """The last status of every node, who observes it, and who waits for it."""

    def __init__(self, observe: Callable[[NodeStatus], None] | None, now: Callable[[], float]) -> None:
        self._observe = observe
        self._now = now
        self._statuses: dict[str, NodeStatus] = {}
        self._waiters: set[_Waiter] = set()

    def get(self, node: str) -> NodeStatus:
        """A node that never connected is disconnected since the beginning of time."""
        return self._statuses.get(node) or NodeStatus(node, "disconnected", 0.0)

    def all(self) -> dict[str, NodeStatus]:
        """node -> status, of the nodes that ever connected and were not forgotten."""
        return dict(self._statuses)

    def forget(self, node: str) -> None:
        """The node is gone for good."""
        self._statuses.pop(node, None)

    def set(
        self,
        node: str,
        state: State,
        errors: tuple[tuple[str, str, tuple[str, ...]], ...] = (),
        moving: bool = False,
    ) -> None:
        """Tell how a node stands; observers hear of it if it is news."""
        before = self._statuses.get(node)
        since = self._now()
        if before is not None and before.state == state:
            if before.errors == errors and before.moving == moving:
                return
            since = before.since
        status = NodeStatus(node, state, since, errors, moving)
        self._statuses[node] = status
        if self._observe is not None:
            self._observe(status)
        for waiter in self._waiters:
            waiter.moved(status)

    async def wait(
        self, nodes: Iterable[str], deadline: float, progress: Progress | None = None
    ) -> dict[str, NodeStatus]:
        """Wait until every one of `nodes` has accepted or refused its current content, at most `deadline`
        seconds. Returns those that are not in sync then: none if all is well. `progress` is called with those
        that are still missing, at the start and whenever their number changes."""
        waiter = _Waiter({node: self.get(node) for node in nodes}, progress)
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(deadline):
                await waiter.done.wait()
        except TimeoutError:
            pass
        finally:
            self._waiters.discard(waiter)
        return {node: status for node in waiter.nodes if (status := self.get(node)).state != "synced"}


class _Waiter:
    """One `wait`: the nodes that are still undecided."""

    def __init__(self, nodes: dict[str, NodeStatus], progress: Progress | None) -> None:
        self.nodes = frozenset(nodes)
        self.done = asyncio.Event()
        self._missing = {node: status for node, status in nodes.items() if not status.decided}
        self._progress = progress
        self._tell()

    def moved(self, status: NodeStatus) -> None:
        if status.node not in self.nodes:
            return
        before = len(self._missing)
        if status.decided:
            self._missing.pop(status.node, None)
        else:
            self._missing[status.node] = status
        if len(self._missing) != before:
            self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(dict(self._missing))
        if not self._missing:
            self.done.set()
