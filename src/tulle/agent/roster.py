"""The workloads of this host: brings what runs to what shall run. Made and run by the composition root.

Each workload has one task that takes it from one incarnation to the next, the old one down before the new one
comes up (they share an address). What an earlier agent made and nobody wants any more is found by its
footprint and taken down too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import structlog

from tulle.agent.footprint import LEAVE_SECONDS, dismantle, noted
from tulle.agent.host import Host
from tulle.agent.network import NetworkError
from tulle.agent.redirect.plan import plan_services
from tulle.agent.workload import Workload
from tulle.model.agentapi import Instance, NameTable, WorkloadAssignment

_log = structlog.get_logger("tulle.agent")

Name = tuple[str, str]
"""(namespace, name)"""


class Roster:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._desired: dict[Name, WorkloadAssignment] = {}
        self._running: dict[Name, Workload] = {}
        self._wakes: dict[Name, asyncio.Event] = {}
        self._woken = asyncio.Event()
        self._names = NameTable()

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
                left = {(mark.namespace, mark.name) for mark in noted(self._host.layout)}
                for name in self._desired.keys() | left | self._wakes.keys():
                    if name in self._wakes:
                        self._wakes[name].set()
                    else:
                        self._wakes[name] = asyncio.Event()
                        group.create_task(self._keep(name), name=f"workload {'/'.join(name)}")

    async def _keep(self, name: Name) -> None:
        while True:
            await self._dismantle_others(name)
            wanted = self._desired.get(name)
            if wanted is None:
                del self._wakes[name]
                self._host.gone(*name)
                return
            workload = Workload(self._host, wanted, self._services(wanted))
            self._running[name] = workload
            running = asyncio.create_task(self._run(workload))
            try:
                await self._until_other(name, wanted)
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
            await workload.stop(LEAVE_SECONDS)
            del self._running[name]

    async def _run(self, workload: Workload) -> None:
        try:
            await workload.run()
        except Exception as error:
            # One workload's trouble stays its own.
            own = workload.assignment
            _log.exception("a workload could not be run", workload=f"{own.namespace}/{own.name}")
            workload.give_up(f"the agent could not run it: {error}")

    async def _until_other(self, name: Name, current: WorkloadAssignment) -> None:
        """Wait until another incarnation is wanted, or none."""
        while True:
            wanted = self._desired.get(name)
            if wanted is None or wanted.incarnation != current.incarnation:
                return
            await self._wakes[name].wait()
            self._wakes[name].clear()

    async def _dismantle_others(self, name: Name) -> None:
        wanted = self._desired.get(name)
        for mark in noted(self._host.layout):
            other = wanted is None or mark.incarnation != wanted.incarnation
            if (mark.namespace, mark.name) == name and other:
                await dismantle(self._host, mark)
