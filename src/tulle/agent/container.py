"""One container of a workload as a process: starts it, probes it, restarts it. Used by `workload.py`.

Probes, thresholds and restarts follow Kubernetes (kubernetes.io, "Configure Liveness, Readiness and Startup
Probes" and "Pod Lifecycle"), but a crashed container waits one second before its first restart, not ten.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from tulle.agent import enter, proxyless, retry
from tulle.agent.host import Host, credentials, environment
from tulle.agent.layout import Layout, process_name
from tulle.agent.listening import PortWatch
from tulle.agent.mounts import Mounts, plan_files, plan_hide, plan_names, references
from tulle.agent.neighbour import homes
from tulle.agent.probe import Verdict
from tulle.agent.process import Exit, Process, ProcessError, Spec
from tulle.kit.backoff import Backoff
from tulle.model.agentapi import Container as ContainerSpec
from tulle.model.agentapi import Phase, Probe, WorkloadAssignment

GRACE_SECONDS = 10.0
"""Between SIGTERM and SIGKILL."""
_FIRST_RESTART_SECONDS = 1.0
_LONGEST_RESTART_SECONDS = 300.0
_STEADY_SECONDS = 600.0
"""A container that ran this long starts again from the first wait."""
_UNREADY_PERIOD_SECONDS = 0.5
"""Kubernetes: while a container is not ready, its readiness probe may run more often than its period says."""
_PORT_PERIOD_SECONDS = 0.05


class Container:
    """A container's state, kept true by `run`; `changed` is called after each change."""

    def __init__(
        self, host: Host, assignment: WorkloadAssignment, spec: ContainerSpec, changed: Callable[[], None]
    ) -> None:
        self.phase = Phase.PENDING
        self.ready = False
        self.message = ""
        self.process: Process | None = None
        self.spec = spec
        self._host = host
        self._assignment = assignment
        self._changed = changed
        self._unhealthy = ""
        self.restarts = retry.counted(self._directory, assignment)

    @property
    def name(self) -> str:
        return process_name(self._assignment.namespace, self._assignment.name, self.spec.name)

    @property
    def ended(self) -> bool:
        """It has run to its end and is not started again."""
        return self.phase in (Phase.SUCCEEDED, Phase.FAILED)

    def recall(self) -> bool:
        """Whether an earlier agent saw it to its end; then the state says how it ended."""
        process = self._adopt()
        if process is None:
            return False
        if process.running:
            process.close()
            return False
        self._end(process, process.outcome())
        return self.ended

    async def run(self) -> None:
        """Keep it running until it ends for good. When cancelled, the process goes on."""
        backoff = Backoff(_FIRST_RESTART_SECONDS, _LONGEST_RESTART_SECONDS)
        process = self._adopt()
        while True:
            began = time.monotonic()
            try:
                process = process or await self._start()
            except (ProcessError, OSError) as error:
                self._become(Phase.BACKOFF, str(error))
            else:
                self._end(process, await self._attend(process))
                if self.ended:
                    return
            if time.monotonic() - began > _STEADY_SECONDS:
                backoff.reset()
            process = None
            await asyncio.sleep(backoff.next())
            self.restarts += 1
            retry.count(self._directory, self._assignment, self.restarts)

    def entrance(self) -> enter.Entrance | None:
        """Where a command can join the process, while it runs."""
        if self.process is None or not self.process.running:
            return None
        return self._entrance(self.process)

    def _entrance(self, process: Process) -> enter.Entrance:
        spec = self._plan()
        return enter.Entrance(process.record.pid, spec.user, spec.env, spec.workdir)

    @property
    def _directory(self) -> Path:
        return self._host.layout.process(self.name)

    # -- the process --------------------------------------------------------------------------------

    def _adopt(self) -> Process | None:
        layout = self._host.layout
        return Process.adopt(self._assignment.incarnation, self._directory, layout.log(self.name))

    async def _start(self) -> Process:
        layout, assignment = self._host.layout, self._assignment
        spec = self._plan()
        for path in volumes(layout, assignment, self.spec).values():
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o777)  # as Kubernetes makes an emptyDir; nobody gets here but by its mounts
        return await Process.start(
            spec,
            self._directory,
            layout.log(self.name),
            layout.run,
            layout.namespace(assignment.namespace, assignment.name, assignment.incarnation),
        )

    def _plan(self) -> Spec:
        host, assignment, spec = self._host, self._assignment, self.spec
        user, capabilities = credentials(host, assignment)
        hostname = assignment.hostname or assignment.name
        inherited = environment(host, user, hostname)
        own = dict(spec.env)
        needed = references(spec.command, spec.workdir, own, inherited)
        return Spec(
            process=self.name,
            tag=assignment.incarnation,
            argv=spec.command,
            user=user,
            env=inherited | proxyless.environment(assignment) | own,
            workdir=spec.workdir or "/",
            hostname=hostname,
            capabilities=capabilities,
            mounts=Mounts(
                hide=plan_hide((*homes(host.layout), host.layout.run), needed),
                place=(
                    *plan_names(
                        assignment.namespace,
                        str(host.network.hub),
                        host.cluster_domain,
                    ),
                    *proxyless.place(host.layout, assignment),
                    *plan_files(spec.mounts, volumes(host.layout, assignment, spec)),
                ),
            ),
        )

    async def _attend(self, process: Process) -> Exit:
        """Probe a process until it ends."""
        self.process = process
        self._unhealthy = ""
        self._become(Phase.STARTING, "")
        try:
            async with asyncio.TaskGroup() as group:
                checks = group.create_task(self._probe(process))
                outcome = await process.wait()
                self.ready = False
                self._changed()  # at once: peers shall know within milliseconds
                checks.cancel()
        finally:
            process.close()
        return outcome

    def _end(self, process: Process, outcome: Exit) -> None:
        said = "" if outcome.error else process.last_line()
        message = self._unhealthy or (f"{outcome}: {said}" if said else str(outcome))
        phase = retry.phase_after(outcome, self._assignment, init=self.spec.init, restarts=self.restarts)
        if phase is Phase.FAILED and self.restarts:
            message = f"{message} (tried {self.restarts + 1} times)"
        self._become(phase, "" if phase is Phase.SUCCEEDED else message)

    def _become(self, phase: Phase, message: str, ready: bool = False) -> None:
        if (self.phase, self.message, self.ready) != (phase, message, ready):
            self.phase, self.message, self.ready = phase, message, ready
            self._changed()

    # -- probes -------------------------------------------------------------------------------------

    async def _probe(self, process: Process) -> None:
        if not process.running:
            return
        if self.spec.startup is not None:
            self._become(Phase.STARTING, "its startup probe has not succeeded yet")
            if not await self._passes(process, "startup", self.spec.startup):
                return
        async with asyncio.TaskGroup() as group:
            if self.spec.liveness is not None:
                group.create_task(self._passes(process, "liveness", self.spec.liveness, forever=True))
            await self._judge_readiness(process)

    async def _passes(self, process: Process, kind: str, probe: Probe, forever: bool = False) -> bool:
        """Whether a startup probe succeeds; of a liveness probe (`forever`) whether it stops doing so.

        Either restarts the container after its threshold of failures.
        """
        await asyncio.sleep(probe.initial_delay_seconds)
        successes = failures = 0
        while True:
            verdict = await self._check(process, probe)
            if verdict.ok:
                successes, failures = successes + 1, 0
                if successes >= probe.success_threshold and not forever:
                    return True
            else:
                successes, failures = 0, failures + 1
                if failures >= probe.failure_threshold:
                    self._unhealthy = f"{kind} probe failed: {verdict.detail}"
                    self._become(self.phase, self._unhealthy)
                    await process.stop(GRACE_SECONDS)
                    return False
            await asyncio.sleep(probe.period_seconds)

    async def _judge_readiness(self, process: Process) -> None:
        probe = self.spec.readiness
        if probe is None:
            await self._wait_for_ports(process)
            return
        await asyncio.sleep(probe.initial_delay_seconds)
        successes = failures = 0
        while True:
            verdict = await self._check(process, probe)
            if verdict.ok:
                successes, failures = successes + 1, 0
                if successes >= probe.success_threshold:
                    self._become(Phase.RUNNING, "", ready=True)
            else:
                successes, failures = 0, failures + 1
                if failures >= probe.failure_threshold or not self.ready:
                    phase = Phase.RUNNING if self.phase is Phase.RUNNING else Phase.STARTING
                    self._become(phase, f"readiness probe failed: {verdict.detail}")
            period = (
                probe.period_seconds if self.ready else min(probe.period_seconds, _UNREADY_PERIOD_SECONDS)
            )
            await asyncio.sleep(period)

    async def _wait_for_ports(self, process: Process) -> None:
        """Without a readiness probe: ready from when its declared ports are open."""
        others = (each.readiness for each in self._assignment.containers)
        ports = () if any(others) or self.spec.init else self._assignment.ports
        watch = PortWatch(process.record.pid, ports)
        while lacking := watch.lacking():
            self._become(Phase.STARTING, lacking)
            await asyncio.sleep(_PORT_PERIOD_SECONDS)
        self._become(Phase.RUNNING, "", ready=True)

    async def _check(self, process: Process, probe: Probe) -> Verdict:
        assignment, layout = self._assignment, self._host.layout

        async def run_exec(command: tuple[str, ...], seconds: float) -> tuple[int, str]:
            return await enter.run(self._entrance(process), command, seconds)

        return await self._host.check(
            probe,
            layout.namespace(assignment.namespace, assignment.name, assignment.incarnation),
            assignment.addresses[0],
            run_exec,
        )


def volumes(layout: Layout, assignment: WorkloadAssignment, spec: ContainerSpec) -> dict[str, Path]:
    """Where each emptyDir of a container is kept, by the path of its mount."""
    directory = layout.volume(assignment.namespace, assignment.name, assignment.incarnation)
    return {
        mount.path: directory / (mount.empty_dir_name or f"{spec.name}-{number}")
        for number, mount in enumerate(spec.mounts)
        if mount.empty_dir
    }
