"""The running mesh as its API shows it: the control plane's store, World, pipeline and proxies put together.

Implements `api.mesh.Mesh`. Everything runs in the control plane's one event loop, so that what is read here
is one moment of the World.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import structlog

from tulle.ads.resource import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE
from tulle.ads.server import Server
from tulle.ads.status import NodeStatus
from tulle.agent.layout import Layout
from tulle.api.contract import (
    ApplyRequest,
    ApplyResponse,
    Change,
    ControlPlaneStatus,
    DeleteRequest,
    ExplainRequest,
    Explanation,
    HostStatus,
    Progress,
    Readiness,
    Rejection,
    Rendered,
    Result,
    Status,
    Target,
)
from tulle.api.mesh import Absent, Refused, Unavailable
from tulle.app.conditions import Conditions, rejected
from tulle.app.explanation import explain
from tulle.app.notebook import Notebook
from tulle.app.overview import Overview, moment
from tulle.app.pipeline import Pipeline
from tulle.app.relay import Relay
from tulle.app.relay import Target as RelayTarget
from tulle.kit.holdoff import HoldOff
from tulle.kit.mark import gateway_socket
from tulle.mesh.gateway.deployment import IMPLIED_CLASSES
from tulle.mesh.resolve import Resolution
from tulle.mesh.workload.workload import WorkloadId
from tulle.mesh.world import World
from tulle.model.agentapi import Instance
from tulle.model.distinct import distinct
from tulle.model.findings import Finding, Severity, has_errors
from tulle.model.parse import parse
from tulle.model.resource import Key, Resource
from tulle.source.database import StoreError
from tulle.source.registry import Registry
from tulle.source.store import SqliteStore
from tulle.xds.render import to_tree

_QUIET_SECONDS = 0.005
"""Reports that come this close together are one turn. What comes during a turn is the next one."""
_LIMIT_SECONDS = 0.1
_FOLLOW_SECONDS = 0.01
_AGAIN_SECONDS = 5.0
"""Before the state is written again that could not be: there may be room by then without any other event."""
_LEAVE_SECONDS = 60.0
"""Longer than any agent waits for the answer."""

_log = structlog.get_logger("tulle.controlplane")


class Facade:
    """One running mesh. `load` first, then `run` for as long as it lives."""

    def __init__(
        self,
        *,
        world: World,
        resolution: Resolution,
        pipeline: Pipeline,
        server: Server,
        kept: SqliteStore,
        registry: Registry,
        notebook: Notebook,
        relay: Relay | None,
        paths: Layout,
        version: str,
    ) -> None:
        self._world = world
        self._resolution = resolution
        self._pipeline = pipeline
        self._server = server
        self._store = kept
        self._registry = registry
        self._notebook = notebook
        self._placed: tuple[WorkloadId, ...] = ()
        self._relay = relay
        self._layout = paths
        self._version = version
        self._overview = Overview(world, resolution, pipeline, server)
        self._conditions = Conditions()
        self._local_ports: dict[RelayTarget, int] = {}
        self._due = HoldOff(_QUIET_SECONDS, _LIMIT_SECONDS)
        self._moved: asyncio.Event | None = None  # of those who follow; set once, then made anew
        self._started = datetime.now(UTC)

    # -- for the composition root ----------------------------------------------------------------

    def load(self) -> None:
        """Publish what the store holds, and resolve it for the first time."""
        if self._store.recovery is not None:
            _log.warning(str(self._store.recovery))
        for finding in self._store.findings:
            _log.warning(
                "a stored document is not served", at=f"{finding.file}:{finding.line}", why=finding.message
            )
        for resource in self._store.list():
            self._world.resources.publish(resource.key, resource)
        self._turn()

    def report(self, at: WorkloadId, instance: Instance | None, lapsed: bool) -> None:
        """A host told something about a workload."""
        if self._world.report(at, instance, lapsed):
            self._due.touch()

    async def left(self, at: WorkloadId) -> None:
        """Wait until a workload is not ready any more and every proxy that is connected, or will be again
        with its agent, has said yes or no to what it was sent since."""

        def unready() -> bool:
            instance = self._world.instances.get(at)
            return instance is None or not instance.ready or at not in self._world.workload_ids()

        while not unready():
            moved = self._moved = self._moved or asyncio.Event()
            await moved.wait()
        self._turn()
        connected = self._server.connected()
        concerned = {node for node in self._pipeline.proxies() if node in connected or self._comes_back(node)}
        await self._server.wait_synced(concerned, _LEAVE_SECONDS)

    def observe(self, _: NodeStatus) -> None:
        """A proxy acknowledged, refused, came or went."""
        self._wake()

    async def run(self) -> NoReturn:
        """Take turns when reports came in, until cancelled."""
        while True:
            await self._due.settled()
            self._turn()
            self._wake()

    # -- writing ---------------------------------------------------------------------------------

    async def apply(self, request: ApplyRequest) -> ApplyResponse:
        resources, findings = self._read(request.documents)
        findings = tuple(sorted([*findings, *self._world.clashes(resources)]))
        if has_errors(findings):
            raise Refused(findings)
        if request.dry_run:
            changes = tuple(_change(each.key, self._would(each)) for each in resources)
            return ApplyResponse(revision=self._pipeline.revision, results=changes, findings=findings)
        try:
            commit = self._store.put_if(resources)
        except StoreError as error:
            raise Unavailable(str(error), error.remedy) from error
        for change in commit.changes:
            if change.resource is not None:
                self._world.resources.publish(change.key, change.resource)
        revision = self._turn()
        keys = {(each.key.kind, each.key.namespace, each.key.name) for each in resources}
        concerned = [each for each in await self.findings() if (each.kind, each.namespace, each.name) in keys]
        return ApplyResponse(
            revision=revision,
            results=tuple(_change(each.key, Result(each.result)) for each in commit.changes),
            findings=tuple(sorted({*findings, *concerned})),
        )

    async def delete(self, request: DeleteRequest) -> ApplyResponse:
        resources, findings = self._read(request.documents)
        if has_errors(findings):
            raise Refused(findings)
        keys = [each.key for each in resources]
        for target in request.targets:
            keys += self._keys(target)
        if request.dry_run:
            changes = (
                _change(key, Result.DELETED if self._store.get(key) else Result.ABSENT) for key in keys
            )
            return ApplyResponse(revision=self._pipeline.revision, results=tuple(changes))
        try:
            commit = self._store.delete_if(dict.fromkeys(keys))
        except StoreError as error:
            raise Unavailable(str(error), error.remedy) from error
        for change in commit.changes:
            self._world.resources.remove(change.key)
        revision = self._turn()
        results = tuple(_change(each.key, Result(each.result)) for each in commit.changes)
        return ApplyResponse(revision=revision, results=results)

    async def follow(self, revision: int) -> AsyncIterator[Progress]:
        progress = self._progress(revision)
        yield progress
        while not progress.done:
            moved = self._moved = self._moved or asyncio.Event()
            now = self._progress(revision)
            if now == progress:
                await moved.wait()
                await asyncio.sleep(_FOLLOW_SECONDS)  # a thousand acknowledgements are a few lines
            else:
                progress = now
                yield progress

    # -- reading ---------------------------------------------------------------------------------

    async def resources(
        self, *, group: str | None, kind: str | None, namespace: str | None, name: str | None
    ) -> tuple[Mapping[str, Any], ...]:
        implied = [each for key, each in IMPLIED_CLASSES.items() if self._store.get(key) is None]
        found = [
            resource
            for resource in (*implied, *self._store.list())
            if group in (None, resource.key.group)
            and kind in (None, resource.key.kind)
            and namespace in (None, resource.key.namespace)
            and name in (None, resource.key.name)
        ]
        found.sort(key=lambda each: (each.key.kind, each.key.namespace, each.key.name))
        refusals = self._overview.refusals()
        return tuple(
            self._object(each, refusals.get((each.key.kind, each.key.namespace, each.key.name), ()))
            for each in found
        )

    async def status(self) -> Status:
        severities = [finding.severity for finding in await self.findings()]
        connected = self._server.connected()
        return Status(
            workloads=self._overview.workloads(),
            gateways=self._overview.gateways(self._local_ports),
            control_plane=ControlPlaneStatus(
                version=self._version,
                revision=self._pipeline.revision,
                trust_domain=self._world.trust_domain(),
                since=self._started.isoformat(timespec="seconds"),
                hosts=tuple(
                    HostStatus(
                        name=host,
                        connected=f"host:{host}" in connected,
                        since=moment(self._server.status(f"host:{host}").since),
                    )
                    for host in self._registry.hosts()
                ),
                errors=severities.count(Severity.ERROR),
                warnings=severities.count(Severity.WARNING),
            ),
        )

    async def findings(self) -> tuple[Finding, ...]:
        found = {
            *self._store.findings,
            *self._world.findings(),
            *self._resolution.findings(),
            *self._pipeline.findings(),
        }
        return tuple(sorted(found))

    async def render(self, namespace: str, name: str) -> Rendered:
        content = self._pipeline.content((namespace, name))
        if not content:
            raise Absent(f"no proxy of {namespace}/{name} is configured here", "see `tulle status`")
        trees: dict[str, list[dict[str, Any]]] = {}
        for one in content:
            trees.setdefault(one.type_url, []).append(to_tree(one))
        return Rendered(
            listeners=tuple(trees.get(LISTENER, ())),
            routes=tuple(trees.get(ROUTE, ())),
            clusters=tuple(trees.get(CLUSTER, ())),
            endpoints=tuple(trees.get(ENDPOINT, ())),
            extensions=tuple(trees.get(EXTENSION, ())),
        )

    async def explain(self, request: ExplainRequest) -> Explanation:
        return explain(self._world, self._resolution, request)

    async def readiness(self) -> Readiness:
        return Readiness(ready=True)

    # -- within ----------------------------------------------------------------------------------

    def _turn(self) -> int:
        """Resolve and publish what has changed; then the rest of the machine follows."""
        placed = self._world.workload_ids()
        if placed is not self._placed:
            self._registry.reconsider()
            self._placed = placed
        revision = self._pipeline.turn()
        if not self._notebook.save():
            asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._due.touch)
        if self._relay is not None:
            self._local_ports = self._relay.publish(self._relay_targets())
        return revision

    def _relay_targets(self) -> list[RelayTarget]:
        targets: list[RelayTarget] = []
        for workload in self._world.gateways():
            gateway = self._resolution.gateway(workload.id)
            directory = self._layout.proxy(*workload.id)
            ports = {(listener.port, False) for listener in (gateway.listeners if gateway else ())}
            ports |= {(listener.port, True) for listener in (gateway.datagrams if gateway else ())}
            targets += (
                RelayTarget(*workload.id, port, directory / gateway_socket(port, udp), udp)
                for port, udp in ports
            )
        return targets

    def _wake(self) -> None:
        """Whoever follows has a look."""
        if self._moved is not None:
            self._moved.set()
            self._moved = None

    def _progress(self, revision: int) -> Progress:
        """A proxy that is not connected is not waited for, it gets everything when it comes; but for those
        of a host that has just lost us (we were started again) and will be back within its lease."""
        waiting: list[str] = []
        rejected: list[Rejection] = []
        connected = self._server.connected()
        for node in sorted(self._pipeline.proxies()):
            if node not in connected:
                if self._comes_back(node):
                    waiting.append(node)
                continue
            status = self._server.status(node)
            if not status.decided:
                waiting.append(node)
            elif status.state == "rejected":
                words, because = self._overview.refused(status)
                rejected.append(Rejection(proxy=node, error=words, because=because))
        return Progress(revision=revision, waiting=tuple(waiting), rejected=tuple(rejected), done=not waiting)

    def _comes_back(self, node: str) -> bool:
        namespace, _, name = node.partition("/")
        instance = self._world.instances.get((namespace, name))
        return instance is not None and instance.proxy_connected and not instance.lease_lapsed

    def _read(self, documents: tuple[Any, ...]) -> tuple[list[Resource[Any]], tuple[Finding, ...]]:
        resources: list[Resource[Any]] = []
        findings: list[Finding] = []
        for document in documents:
            found, wrong = parse(document.text, document.file, document.namespace)
            resources += found
            findings += wrong
        kept, doubles = distinct(resources)
        return list(kept), tuple(sorted([*findings, *doubles]))

    def _would(self, resource: Resource[Any]) -> Result:
        """What applying a resource would do."""
        before = self._store.get(resource.key)
        if before is None:
            return Result.CREATED
        return Result.UNCHANGED if before.spec == resource.spec else Result.CONFIGURED

    def _keys(self, target: Target) -> list[Key]:
        found = [
            resource.key
            for resource in self._store.list()
            if (resource.key.kind, resource.key.name) == (target.kind, target.name)
            and resource.key.namespace in ("", target.namespace)
            and target.group in (None, resource.key.group)
        ]
        if not found:
            raise Absent(f"there is no {target.kind} {target.namespace}/{target.name}", "see `tulle get`")
        return found

    def _object(self, resource: Resource[Any], refusals: Sequence[str]) -> Mapping[str, Any]:
        status = self._resolution.status(resource.key)
        if refusals:
            status = rejected(status, resource.metadata.generation, refusals)
        written = {name: value for name, value in resource.document.items() if name != "status"}
        if status is None:
            return written
        return {**written, "status": self._conditions.dated(resource.key, status)}


def _change(key: Key, result: Result) -> Change:
    return Change(group=key.group, kind=key.kind, namespace=key.namespace, name=key.name, result=result)
