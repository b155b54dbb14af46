"""The workloads of this host: brings what runs to what shall run. Made and run by the composition root.

Each workload has one task that takes it from one incarnation to the next, the old one down before the new one
comes up (they share an address), and of those that stand for each other one at a time: the next goes when
the one before it is ready again. What an earlier agent made and nobody wants any more is found by its
footprint and goes the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from weakref import WeakValueDictionary

import structlog

from tulle.agent import namespace
from tulle.agent.footprint import dismantle, noted
from tulle.agent.host import Host
from tulle.agent.network import NetworkError
from tulle.agent.redirect.plan import plan_services
from tulle.agent.workload import Workload
from tulle.kit.backoff import Backoff
from tulle.model.agentapi import Instance, NameTable, WorkloadAssignment

_log = structlog.get_logger("tulle.agent")

Name = tuple[str, str]
"""(namespace, name)"""
Peers = tuple[str, tuple[tuple[str, str], ...]]
_FIRST_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 30.0
_OWN_LABELS = frozenset(
    ("version", "apps.kubernetes.io/pod-index", "pod-template-hash", "statefulset.kubernetes.io/pod-name")
)
"""Labels in which those that stand for each other may differ."""


def peers(assignment: WorkloadAssignment) -> Peers:
    """Which workloads stand for each other: those with the same labels, whatever their version."""
    labels = tuple(sorted(each for each in assignment.labels if each[0] not in _OWN_LABELS))
    return assignment.namespace, labels or (("", assignment.name),)


class _Turn:
    """The right to be the one that does not serve, among those that stand for each other."""

    def __init__(self) -> None:
        self._lock: asyncio.Lock | None = None

    @property
    def held(self) -> bool:
        return self._lock is not None

    async def take(self, lock: asyncio.Lock) -> None:
        await lock.acquire()
        self._lock = lock

    def give(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


class Roster:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._desired: dict[Name, WorkloadAssignment] = {}
        self._running: dict[Name, Workload] = {}
        self._wakes: dict[Name, asyncio.Event] = {}
        self._woken = asyncio.Event()
        self._names = NameTable()
        self._turns: WeakValueDictionary[Peers, asyncio.Lock] = WeakValueDictionary()
        self.reported = asyncio.Event()
        """To be set once the control plane was told of what an earlier agent left running, or cannot be told:
        until then nothing leaves, as callers would not hear of it."""

    def desire(self, assignments: Mapping[Name, WorkloadAssignment]) -> None:
        """Everything that shall run here from now on: what is not in it is taken down."""
        self._desired = dict(assignments)
        self._woken.set()

    async def serve(self, names: NameTable) -> None:
        """What stands behind virtual addresses; in force in every workload on return."""
        self._names = names
        for name, workload in tuple(self._running.items()):
            try:
                await workload.serve(self._services(workload.assignment))
            except NetworkError as error:
                _log.warning(
                    "virtual addresses are not up to date", workload="/".join(name), error=str(error)
                )

    def _services(self, assignment: WorkloadAssignment) -> str:
        """The rules for what no proxy takes care of: UDP, and where there is no proxy TCP too."""
        proxied = assignment.proxy or assignment.gateway
        return plan_services(self._names.udp, None if proxied else self._names.tcp)

    def workload(self, namespace: str, name: str) -> Workload:
        """Raises KeyError: none of that name runs here."""
        return self._running[namespace, name]

    @property
    def states(self) -> tuple[Instance, ...]:
        """What there is to report of everything that runs here."""
        return tuple(workload.state for workload in self._running.values())

    async def run(self) -> None:
        """Keep what runs equal to what shall run. When cancelled, workloads go on without the agent."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._woken.wait()
                self._woken.clear()
                left = {mark.id for mark in noted(self._host.layout)}
                for name in self._desired.keys() | left | self._wakes.keys():
                    if name in self._wakes:
                        self._wakes[name].set()
                    else:
                        self._wakes[name] = asyncio.Event()
                        group.create_task(self._keep(name), name=f"workload {'/'.join(name)}")

    async def _keep(self, name: Name) -> None:
        turn = _Turn()
        try:
            found = await self._find(name)
            while True:
                wanted, found = found or self._desired.get(name), None
                if wanted is None:
                    del self._wakes[name]
                    self._host.gone(*name)
                    return
                workload = Workload(self._host, wanted, self._services(wanted))
                self._running[name] = workload
                running = asyncio.create_task(self._run(workload))
                try:
                    await self._until_replaced(name, workload, turn)
                finally:
                    running.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await running
                await workload.stop()
                del self._running[name]
        finally:
            turn.give()

    async def _run(self, workload: Workload) -> None:
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        while True:
            try:
                await workload.run()
                return
            except Exception as error:
                # One workload's trouble stays its own.
                own = workload.assignment
                _log.exception("a workload could not be run", workload=f"{own.namespace}/{own.name}")
                workload.give_up(f"the agent could not run it: {error}")
            await asyncio.sleep(backoff.next())

    async def _until_replaced(self, name: Name, workload: Workload, turn: _Turn) -> None:
        """Wait until another incarnation is wanted and it is its turn to go, or none is wanted. A turn that
        it came by ends when it serves."""
        current = workload.assignment
        await self.reported.wait()
        other = asyncio.create_task(self._until_other(name, current))
        try:
            if turn.held:
                serving = asyncio.create_task(workload.serving.wait())
                try:
                    await asyncio.wait((other, serving), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    serving.cancel()
                if not workload.serving.is_set():
                    return  # what has not come up is replaced at once
                turn.give()
            await other
        finally:
            other.cancel()
        while self._desired.get(name) is not None:
            await turn.take(self._turns.setdefault(peers(current), asyncio.Lock()))
            if self._is_other(name, current):
                return
            turn.give()
            await self._until_other(name, current)

    async def _until_other(self, name: Name, current: WorkloadAssignment) -> None:
        """Wait until another incarnation is wanted, or none."""
        while not self._is_other(name, current):
            await self._wakes[name].wait()
            self._wakes[name].clear()

    def _is_other(self, name: Name, current: WorkloadAssignment) -> bool:
        wanted = self._desired.get(name)
        return wanted is None or wanted.incarnation != current.incarnation

    async def _find(self, name: Name) -> WorkloadAssignment | None:
        """What an earlier agent left running, though it is not what is wanted now: it serves until its turn
        to go has come, and leaves as it would have. What cannot serve any more is taken down."""
        found: WorkloadAssignment | None = None
        wanted = self._desired.get(name)
        for mark in noted(self._host.layout):
            own = mark.assignment
            if mark.id != name or (wanted is not None and own.incarnation == wanted.incarnation):
                continue
            path = self._host.layout.namespace(*name, own.incarnation)
            if found is None and mark.connected and namespace.exists(path):
                found = own
            else:
                await dismantle(self._host, mark)
        return found
