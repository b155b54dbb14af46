"""A control plane that keeps its answers in memory, served on a real Unix socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tulle.api import server
from tulle.api.contract import (
    ApplyRequest,
    ApplyResponse,
    Change,
    ControlPlaneStatus,
    DeleteRequest,
    ExplainRequest,
    Explanation,
    ExplanationOutcome,
    ExplanationStep,
    GatewayStatus,
    ListenerStatus,
    Progress,
    ProxyStatus,
    Readiness,
    Rendered,
    Result,
    Status,
    WorkloadStatus,
)
from tulle.api.mesh import Absent, Malformed, Refused, Unavailable
from tulle.model.findings import Finding, Severity


def workload(name: str, namespace: str = "shop", **fields: Any) -> WorkloadStatus:
    values: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "address": "10.212.0.5",
        "ready": True,
        "identity": f"spiffe://cluster.local/ns/{namespace}/sa/{name}",
        "proxy": ProxyStatus(
            state="synced", since="2026-01-01T00:00:00Z", certificate_expires="2099-01-01T00:00:00Z"
        ),
        "phase": "running",
        "node": "local",
        "owner": "App/bookshop",
        "services": (name.partition("-")[0],),
    }
    return WorkloadStatus(**{**values, **fields})


def finding(code: str = "unknown-field", severity: Severity = Severity.ERROR, file: str = "") -> Finding:
    return Finding(
        file, 3, 5, code, severity, "there is no field", "remove it", "HTTPRoute", "shop", "r", "spec.x"
    )


class FakeMesh:
    """Documents are stored by what YAML says of them; everything else is a field that a test sets."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str, str], dict[str, Any]] = {}
        self.revision = 7
        self.ready = True
        self.refuse: tuple[Finding, ...] = ()
        self.warn: tuple[Finding, ...] = ()
        self.failure: Exception | None = None
        self.progress: tuple[Progress, ...] = (Progress(revision=8, done=True),)
        self.never_done = False
        self.workloads: tuple[WorkloadStatus, ...] = (workload("reviews-v1"), workload("storefront-1"))
        self.requests: list[ApplyRequest | DeleteRequest] = []

    async def apply(self, request: ApplyRequest) -> ApplyResponse:
        self._fail()
        self.requests.append(request)
        changes: list[Change] = []
        for document in request.documents:
            for item in yaml.safe_load_all(document.text):
                key = _key(item)
                known = self.objects.get(key)
                result = Result.CREATED if known is None else Result.CONFIGURED
                result = Result.UNCHANGED if known == item else result
                if not request.dry_run:
                    self.objects[key] = item
                changes.append(_change(key, result))
        self.revision += 1
        return ApplyResponse(revision=self.revision, results=tuple(changes), findings=self.warn)

    async def delete(self, request: DeleteRequest) -> ApplyResponse:
        self._fail()
        self.requests.append(request)
        keys = [_key(item) for document in request.documents for item in yaml.safe_load_all(document.text)]
        for target in request.targets:
            key = (target.group or "", target.kind, target.namespace, target.name)
            if key not in self.objects:
                raise Absent(f"no {target.kind} {target.namespace}/{target.name}", "look at `tulle get`")
            keys.append(key)
        found = [
            _change(key, Result.DELETED if self.objects.pop(key, None) is not None else Result.ABSENT)
            for key in keys
        ]
        return ApplyResponse(revision=self.revision + 1, results=tuple(found))

    async def follow(self, revision: int) -> AsyncIterator[Progress]:
        for each in self.progress:
            yield each
        if self.never_done:
            await asyncio.Event().wait()

    async def resources(
        self, *, group: str | None, kind: str | None, namespace: str | None, name: str | None
    ) -> tuple[dict[str, Any], ...]:
        wanted = (group, kind, namespace, name)
        return tuple(
            value
            for key, value in sorted(self.objects.items())
            if all(want is None or want == has for want, has in zip(wanted, key, strict=True))
        )

    async def status(self) -> Status:
        gateway = GatewayStatus(
            name="shop",
            namespace="shop",
            workload="shop-istio",
            addresses=("10.212.0.9",),
            listeners=(ListenerStatus(name="http", port=80, protocol="HTTP", local="127.0.0.1:8080"),),
        )
        plane = ControlPlaneStatus(version="0.1.0", revision=self.revision, trust_domain="cluster.local")
        return Status(workloads=self.workloads, gateways=(gateway,), control_plane=plane)

    async def findings(self) -> tuple[Finding, ...]:
        self._fail()
        return self.warn

    async def render(self, namespace: str, name: str) -> Rendered:
        if all((each.namespace, each.name) != (namespace, name) for each in self.workloads):
            raise Absent(f"no workload {namespace}/{name}")
        return Rendered(listeners=({"name": "virtualInbound"},))

    async def explain(self, request: ExplainRequest) -> Explanation:
        if "://" not in request.url:
            raise Malformed(f"'{request.url}' is no URL", "write http://HOST/PATH")
        step = ExplanationStep(step="name", result=f"{request.namespace}/{request.name} asks")
        return Explanation(outcome=ExplanationOutcome(reason="closed"), steps=(step,))

    async def readiness(self) -> Readiness:
        return Readiness(ready=self.ready, message="" if self.ready else "reading the store")

    def _fail(self) -> None:
        if self.refuse:
            raise Refused(self.refuse)
        if self.failure is not None:
            raise self.failure


DISK_FULL = Unavailable("the disk is full", "make room")


def _key(item: dict[str, Any]) -> tuple[str, str, str, str]:
    metadata = item["metadata"]
    group = str(item["apiVersion"]).rpartition("/")[0]
    return group, item["kind"], metadata.get("namespace", "default"), metadata["name"]


def _change(key: tuple[str, str, str, str], result: Result) -> Change:
    return Change(group=key[0], kind=key[1], namespace=key[2], name=key[3], result=result)


@contextmanager
def in_thread(serve: Callable[[Callable[[], None]], Coroutine[Any, Any, None]]) -> Generator[None]:
    """Run a server in a thread of its own while the block runs. `serve` calls what it is given when ready."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    task = loop.create_task(serve(ready.set))
    task.add_done_callback(lambda _: (ready.set(), loop.stop()))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        assert ready.wait(10)
        if task.done():
            task.result()
        yield
    finally:
        if not task.done():
            loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
        assert not thread.is_alive()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@contextmanager
def served(mesh: FakeMesh, path: Path) -> Generator[None]:
    with in_thread(lambda ready: server.serve(mesh, path, ready=ready)):
        yield
