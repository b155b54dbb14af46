"""One workload of this host, from its network to its readiness. Used by `roster.py`.

    footprint ─> network + redirect ─> proxy ready ─> init containers ─> containers ─> ready
                                                                            │ Job ended: proxy and network go

Every step finds what an earlier agent left and goes on from there: a running process is adopted, a Job that
ended is not run again.
"""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address
from pathlib import Path

from tulle.agent import namespace, proxyless
from tulle.agent.container import Container
from tulle.agent.enter import Entrance
from tulle.agent.external import External
from tulle.agent.footprint import Footprint, dismantle, end, is_connected, note, release
from tulle.agent.host import Host
from tulle.agent.network import NetworkError
from tulle.agent.program import ProgramError
from tulle.agent.proxy import Proxy
from tulle.agent.redirect.apply import load
from tulle.agent.redirect.plan import Redirect, plan_redirect
from tulle.kit.backoff import Backoff
from tulle.kit.mark import PROXY_MARK
from tulle.model.agentapi import Instance, Phase, WorkloadAssignment

_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 30.0


class Workload:
    """One incarnation of a workload."""

    def __init__(self, host: Host, assignment: WorkloadAssignment, services: str) -> None:
        """`services`: the rules for virtual addresses that no proxy handles (`redirect.plan_services`)."""
        self.assignment = assignment
        self._host = host
        self._services = services
        self._proxy = (
            Proxy(host, assignment, self._changed) if assignment.proxy or assignment.gateway else None
        )
        if assignment.external:
            self._containers: tuple[Container, ...] = (External(host, assignment, self._changed),)
        else:
            self._containers = tuple(
                Container(host, assignment, each, self._changed) for each in assignment.containers
            )
        self._stopping = False
        self._finished = False
        self._problem = ""
        self._reported: Instance | None = None
        self.serving = asyncio.Event()
        """Set once it is ready, or has ended for good: what stands for it meanwhile may go."""

    @property
    def has_proxy(self) -> bool:
        """Whether it has a proxy of its own."""
        return self._proxy is not None

    @property
    def _mains(self) -> tuple[Container, ...]:
        return tuple(each for each in self._containers if not each.spec.init)

    async def run(self) -> None:
        """Keep it running until it ends for good (a Job). When cancelled, its processes go on."""
        if self._containers and all(each.recall() for each in self._containers):
            await self._finish()
            return
        await self._connect()
        async with asyncio.TaskGroup() as group:
            if self._proxy is not None:
                proxy = group.create_task(self._proxy.run())
                await self._proxy.ready.wait()
                await self._run_containers()
                if self._containers:
                    proxy.cancel()
            else:
                await self._run_containers()
        if self._containers:
            await self._finish()

    def give_up(self, problem: str) -> None:
        """Report why it cannot be run, after `run` has failed."""
        self._problem = problem
        self._changed()

    async def stop(self) -> None:
        """Let its callers go elsewhere and take it down, after `run` was cancelled or has ended."""
        self._stopping = True
        self._changed()
        await dismantle(self._host, Footprint(assignment=self.assignment), leave=True)

    async def serve(self, services: str) -> None:
        """Replace those rules, if they are others. Raises NetworkError."""
        if services == self._services:
            return
        self._services = services
        path = self._path
        if namespace.exists(path):
            try:
                await load(services, path)
            except NetworkError:
                self._services = ""
                raise

    def entrance(self) -> Entrance | None:
        """Where a command can join its (first) process, while that runs."""
        for each in self._mains:
            if found := each.entrance():
                return found
        return None

    @property
    def state(self) -> Instance:
        """What there is to report."""
        first = self._mains[0] if self._mains else None
        process = (first.process if first else None) or (self._proxy.process if self._proxy else None)
        return Instance(
            namespace=self.assignment.namespace,
            name=self.assignment.name,
            incarnation=self.assignment.incarnation,
            phase=self._phase,
            ready=self._ready,
            message=self._message,
            restarts=sum(each.restarts for each in self._containers),
            pid=process.record.pid if process is not None and process.running else 0,
            started=process.record.started if process is not None else 0,
        )

    # -- the way up ---------------------------------------------------------------------------------

    @property
    def _path(self) -> Path:
        own = self.assignment
        return self._host.layout.namespace(own.namespace, own.name, own.incarnation)

    async def _connect(self) -> None:
        """Give it its network and what it needs there, and try again while that does not work."""
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        while True:
            try:
                await self._make_network()
                if self.assignment.proxyless:
                    await proxyless.prepare(self._host, self.assignment)
            except (NetworkError, ProgramError, OSError) as error:
                self._problem = str(error)
                self._changed()
                await asyncio.sleep(backoff.next())
            else:
                self._problem = ""
                self._changed()
                return

    async def _make_network(self) -> None:
        host, own = self._host, self.assignment
        mark = Footprint(assignment=own)
        if not (is_connected(host.layout, own) and namespace.exists(self._path)):
            note(host.layout, mark)
            await end(host, mark)  # what an earlier agent left in a network that is not whole
            addresses = [IPv4Address(address) for address in own.addresses]
            interface = host.layout.workload_interface(own.namespace, own.name, own.incarnation)
            await namespace.remove_workload(self._path, host.layout.hub, host.network, interface, addresses)
            await namespace.create_workload(self._path, host.layout.hub, host.network, interface, addresses)
            note(host.layout, mark.model_copy(update={"connected": True}))
        if own.proxy and not own.gateway:
            redirect = Redirect(mark=PROXY_MARK, resolver=str(host.network.hub))
            await load(plan_redirect(redirect), self._path)
        await load(self._services, self._path)

    async def _run_containers(self) -> None:
        for each in self._containers:
            if each.spec.init and not each.recall():
                await each.run()
            if each.spec.init and each.phase is Phase.FAILED:
                return
        if self._mains:
            async with asyncio.TaskGroup() as group:
                for each in self._mains:
                    group.create_task(each.run())

    async def _finish(self) -> None:
        """A Job has ended: what it needed goes, how it ended stays."""
        self._finished = True
        self._changed()
        await release(self._host, Footprint(assignment=self.assignment))

    # -- the report ---------------------------------------------------------------------------------

    def _changed(self) -> None:
        state = self.state
        if state.ready or state.phase in (Phase.SUCCEEDED, Phase.FAILED):
            self.serving.set()
        if state != self._reported:
            self._reported = state
            self._host.report(state)

    @property
    def _ready(self) -> bool:
        if self._stopping or self._problem or (self._proxy is not None and not self._proxy.ready.is_set()):
            return False
        return all(each.ready for each in self._mains)

    @property
    def _phase(self) -> Phase:
        if self._stopping:
            return Phase.STOPPING
        phases = {each.phase for each in self._containers}
        if self._finished:
            return Phase.FAILED if Phase.FAILED in phases else Phase.SUCCEEDED
        if self._problem or Phase.BACKOFF in phases:
            return Phase.BACKOFF
        mains = {each.phase for each in self._mains}
        if self._proxy is not None and not self._proxy.ready.is_set() and mains <= {Phase.PENDING}:
            return Phase.PENDING
        return Phase.RUNNING if mains <= {Phase.RUNNING, Phase.SUCCEEDED} else Phase.STARTING

    @property
    def _message(self) -> str:
        if self._problem:
            return self._problem
        several = len(self._containers) > 1
        said = [
            f"{each.spec.name}: {each.message}" if several else each.message
            for each in self._containers
            if each.message
        ]
        if self._proxy is not None and self._proxy.message and not self._finished:
            said.append(self._proxy.message)
        return "; ".join(said)
