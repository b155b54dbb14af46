"""A workload whose process somebody else starts inside its namespaces (`tulle run`). For `workload.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tulle.agent.container import Container
from tulle.agent.host import Host
from tulle.agent.listening import PortWatch
from tulle.agent.process import Process
from tulle.model.agentapi import Container as ContainerSpec
from tulle.model.agentapi import Phase, WorkloadAssignment

_PERIOD_SECONDS = 0.1
HOLDER = "_holder"
"""The process that only holds the namespaces. No container's name has an underscore (RFC 1123)."""


class External(Container):
    """The namespaces, held by a keeper without a command; ready while the declared ports are open."""

    def __init__(self, host: Host, assignment: WorkloadAssignment, changed: Callable[[], None]) -> None:
        first = assignment.containers[0] if assignment.containers else ContainerSpec(name=HOLDER, command=())
        super().__init__(host, assignment, first.model_copy(update={"name": HOLDER, "command": ()}), changed)

    async def _wait_for_ports(self, process: Process) -> None:
        # The command's end tells nobody here, so this goes on.
        watch = PortWatch(process.record.pid, self._assignment.ports)
        while True:
            lacking = watch.lacking()
            self._become(Phase.STARTING if lacking else Phase.RUNNING, lacking, ready=not lacking)
            await asyncio.sleep(_PERIOD_SECONDS)
