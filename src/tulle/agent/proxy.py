"""The Envoy of one workload: starts it, tells when it is ready, starts it again. Used by `workload.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tulle.agent import envoy
from tulle.agent.host import Host
from tulle.agent.layout import proxy_process_name
from tulle.agent.mounts import plan_names
from tulle.agent.process import Process, ProcessError, Spec
from tulle.kit.backoff import Backoff
from tulle.kit.mark import INBOUND_PORT, OUTBOUND_PORT
from tulle.model.agentapi import WorkloadAssignment

_FIRST_RESTART_SECONDS = 0.1
_LONGEST_RESTART_SECONDS = 30.0
_SIDECAR_PORTS = frozenset((OUTBOUND_PORT, INBOUND_PORT))


class Proxy:
    """A proxy's state, kept true by `run`; `changed` is called after each change."""

    def __init__(self, host: Host, assignment: WorkloadAssignment, changed: Callable[[], None]) -> None:
        self.ready = asyncio.Event()
        self.message = "its proxy has not started yet"
        self.process: Process | None = None
        self._host = host
        self._assignment = assignment
        self._changed = changed
        self._admin = envoy.Admin(host.layout.admin_socket(assignment.namespace, assignment.name))

    async def run(self) -> None:
        """Keep it running. When cancelled, the process goes on."""
        backoff = Backoff(_FIRST_RESTART_SECONDS, _LONGEST_RESTART_SECONDS)
        layout, assignment = self._host.layout, self._assignment
        name = proxy_process_name(assignment.namespace, assignment.name)
        process = Process.adopt(assignment.incarnation, layout.process(name), layout.log(name))
        while True:
            try:
                await self._host.open_proxy(assignment)
                process = process or await self._start(name)
            except (ProcessError, OSError) as error:
                self._become(f"its proxy cannot start: {error}")
            else:
                await self._attend(process, backoff)
            process = None
            await asyncio.sleep(backoff.next())

    async def _start(self, name: str) -> Process:
        host, assignment = self._host, self._assignment
        envoy.prepare(host.layout, assignment, host.cluster_domain, host.user.unnested)
        return await Process.start(
            self._plan(),
            host.layout.process(name),
            host.layout.log(name),
            host.layout.run,
            host.layout.namespace(assignment.namespace, assignment.name, assignment.incarnation),
        )

    def _plan(self) -> Spec:
        host, assignment = self._host, self._assignment
        names = plan_names(
            assignment.namespace,
            str(host.network.hub),
            host.cluster_domain,
        )
        return envoy.proxy_spec(host.layout, assignment, host.user.unnested, names, envoy.program())

    async def _attend(self, process: Process, backoff: Backoff) -> None:
        self.process = process
        self._become("its proxy waits for its configuration")
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch(backoff))
                outcome = await process.wait()
                watch.cancel()
        finally:
            process.close()
        said = process.last_line()
        self._become(f"its proxy ended ({outcome}" + (f": {said})" if said else ")"))

    async def _watch(self, backoff: Backoff) -> None:
        ports = frozenset[int]() if self._assignment.gateway else _SIDECAR_PORTS
        await self._admin.until_ready(ports)
        backoff.reset()
        self.message = ""
        self.ready.set()
        self._changed()

    def _become(self, message: str) -> None:
        self.message = message
        self.ready.clear()
        self._changed()
