"""The HTTP API on the control plane's Unix socket: config in, inspection out.

Stands on a `Mesh` (`api/mesh.py`) that the composition root gives it; the command line is its client. It has
no state and no policy of its own: it checks shapes and sizes, and turns refusals into HTTP answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

import structlog
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse

from tulle.api.contract import (
    BODY_LIMIT,
    ApplyRequest,
    ApplyResponse,
    DeleteRequest,
    ExplainRequest,
    Explanation,
    FindingList,
    Problem,
    Progress,
    Readiness,
    Rendered,
    ResourceList,
    Status,
)
from tulle.api.mesh import Absent, Malformed, Mesh, Refused, Unavailable
from tulle.kit import unix_http

_log = structlog.get_logger("tulle.api")

SYNC_LIMIT_SECONDS = 3600.0


async def serve(mesh: Mesh, path: Path, *, ready: Callable[[], None] | None = None) -> None:
    """Serve the API on a Unix socket (0600) until cancelled. Raises unix_http.SocketError."""
    await unix_http.serve(build(mesh), path, ready=ready)


def build(mesh: Mesh) -> unix_http.Application:
    """The ASGI application; its OpenAPI document is at /openapi.json."""
    app = FastAPI(title="Tulle", version="v1", docs_url=None, redoc_url=None)
    _answer_refusals(app)
    _writing(app, mesh)
    _reading(app, mesh)
    return _bounded(app)


def _writing(app: FastAPI, mesh: Mesh) -> None:
    @app.post("/v1/apply")
    async def apply(request: ApplyRequest) -> ApplyResponse:
        return await mesh.apply(request)

    @app.post("/v1/delete")
    async def delete(request: DeleteRequest) -> ApplyResponse:
        return await mesh.delete(request)

    @app.get("/v1/sync")
    async def sync(
        revision: Annotated[int, Query(ge=0)],
        timeout: Annotated[float, Query(gt=0, le=SYNC_LIMIT_SECONDS)] = 60.0,  # noqa: ASYNC109  the client's
    ) -> StreamingResponse:
        """NDJSON: one `Progress` a line, until `done` or the time (in seconds) is over."""
        return StreamingResponse(_lines(mesh.follow(revision), timeout), media_type="application/x-ndjson")


async def _lines(progress: AsyncIterator[Progress], timeout_seconds: float) -> AsyncIterator[bytes]:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            async for line in progress:
                yield line.model_dump_json(by_alias=True).encode() + b"\n"
                if line.done:
                    return


def _reading(app: FastAPI, mesh: Mesh) -> None:
    @app.get("/v1/ready")
    async def ready(response: Response) -> Readiness:
        answer = await mesh.readiness()
        response.status_code = 200 if answer.ready else 503
        return answer

    @app.get("/v1/resources")
    async def resources(
        group: str | None = None,
        kind: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
    ) -> ResourceList:
        found = await mesh.resources(group=group, kind=kind, namespace=namespace, name=name)
        return ResourceList(items=tuple(dict(item) for item in found))

    @app.get("/v1/status")
    async def status() -> Status:
        return await mesh.status()

    @app.get("/v1/findings")
    async def findings() -> FindingList:
        return FindingList(findings=await mesh.findings())

    @app.get("/v1/render/{namespace}/{name}")
    async def render(namespace: str, name: str) -> Rendered:
        return await mesh.render(namespace, name)

    @app.post("/v1/explain")
    async def explain(request: ExplainRequest) -> Explanation:
        return await mesh.explain(request)


# -- refusals ---------------------------------------------------------------------------------------


def _problem(status: int, problem: Problem) -> JSONResponse:
    return JSONResponse(problem.model_dump(mode="json", by_alias=True), status_code=status)


def _answer_refusals(app: FastAPI) -> None:
    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return _problem(422, Problem(error=str(error), findings=error.findings))

    async def absent(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Absent)
        return _problem(404, Problem(error=str(error), remedy=error.remedy))

    async def not_understood(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Malformed)
        return _problem(400, Problem(error=str(error), remedy=error.remedy))

    async def unavailable(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Unavailable)
        return _problem(503, Problem(error=str(error), remedy=error.remedy))

    async def malformed(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        parts = [f"{'.'.join(str(at) for at in item['loc'])}: {item['msg']}" for item in error.errors()]
        return _problem(400, Problem(error="the request is malformed: " + "; ".join(parts)))

    async def failed(request: Request, error: Exception) -> Response:
        _log.error("a request failed", path=request.url.path, exc_info=error)
        text = f"the control plane failed on {request.url.path}: {type(error).__name__}: {error}"
        return _problem(500, Problem(error=text, remedy="see the control plane's log"))

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(Absent, absent)
    app.add_exception_handler(Malformed, not_understood)
    app.add_exception_handler(Unavailable, unavailable)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(Exception, failed)


def _bounded(app: FastAPI) -> unix_http.Application:
    """Read the body first, up to BODY_LIMIT: what is larger is refused and goes no further."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        body = await _body(receive)
        if body is None:
            text = f"the request is larger than {BODY_LIMIT // 1024 // 1024} MiB"
            answer = _problem(413, Problem(error=text, remedy="apply it in several steps"))
            await answer(scope, receive, send)
            return
        pending = [{"type": "http.request", "body": body, "more_body": False}]
        answered = False

        async def replay() -> Any:
            return pending.pop() if pending else await receive()

        async def answering(message: Any) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await app(scope, replay, answering)
        except Exception:
            # Starlette raises once more what `failed` has logged and answered.
            if not answered:
                raise

    return run


async def _body(receive: Any) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            return None
        if not message.get("more_body", False):
            return bytes(body)
