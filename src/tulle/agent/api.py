"""The agent's local API: what only the host that runs a workload can tell, on RUN/agent.sock (0600).

Stands on a `LocalAgent` that the composition root gives it; its clients are `tulle exec`, `run`, `logs` and
`proxy`. Envoy's admin interface can change and stop an Envoy: only GET of a short list of paths that read
goes through here, over the admin socket that nobody but the agent's user can open.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

import httpx2
from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tulle.agent import log
from tulle.kit import unix_http

ADMIN_SOCKET = "admin.sock"
ADMIN_PATHS = frozenset(
    {
        "certs",
        "clusters",
        "config_dump",
        "listeners",
        "ready",
        "server_info",
        "stats",
        "stats/prometheus",
    }
)


class Entry(BaseModel):
    """What it takes to run a command as a workload, where it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    """The process of the host whose namespaces are entered."""
    uid: int
    gid: int
    groups: tuple[int, ...] | None
    """None: leave them as they are."""
    env: dict[str, str]
    workdir: str = ""
    nested: bool = False
    """An ordinary user's mesh: pid is in their user namespace, uid as the workload sees it in one below."""


class LocalAgent(Protocol):
    """The workloads of this host, by namespace and name. KeyError: there is none of that name here."""

    def enter(self, namespace: str, name: str) -> Entry | None:
        """None: it is placed here and cannot be entered yet."""
        ...

    def log_path(self, namespace: str, name: str, proxy: bool) -> Path:
        """The newest file of its (or its proxy's) output; rotated ones are `FILE.1`, `FILE.2`, ..."""
        ...

    def proxy_directory(self, namespace: str, name: str) -> Path:
        """Where its Envoy's `admin.sock` is."""
        ...


async def serve(agent: LocalAgent, path: Path, *, ready: Callable[[], None] | None = None) -> None:
    """Serve on a Unix socket (0600) until cancelled. Raises unix_http.SocketError."""
    await unix_http.serve(build(agent), path, ready=ready)


def build(agent: LocalAgent) -> unix_http.Application:
    """The ASGI application. An error's body is {"error", "remedy"}, as of the control plane's API."""

    async def enter(request: Request) -> Response:
        namespace, name = _names(request)
        entry = agent.enter(namespace, name)
        if entry is None:
            return _problem(409, f"{namespace}/{name} is not running yet", "see `tulle status`")
        return JSONResponse(entry.model_dump(mode="json"))

    async def logs(request: Request) -> Response:
        namespace, name = _names(request)
        path = agent.log_path(namespace, name, request.query_params.get("proxy") == "true")
        follow = request.query_params.get("follow") == "true"
        tail = request.query_params.get("tail", "")
        lines = int(tail) if tail.isdigit() else None
        return StreamingResponse(
            log.read(path, follow=follow, tail=lines), media_type="text/plain; charset=utf-8"
        )

    async def admin(request: Request) -> Response:
        namespace, name = _names(request)
        wanted = request.path_params["path"]
        if wanted not in ADMIN_PATHS:
            return _problem(403, f"/{wanted} of Envoy's admin interface is not offered", _ADMIN_REMEDY)
        directory = agent.proxy_directory(namespace, name)
        return await _admin(directory / ADMIN_SOCKET, wanted, request.url.query)

    place = "/v1/workloads/{namespace}/{name}"
    return Starlette(
        routes=[
            Route(f"{place}/enter", _found(enter)),
            Route(f"{place}/logs", _found(logs)),
            Route("/v1/proxies/{namespace}/{name}/admin/{path:path}", _found(admin)),
        ]
    )


_ADMIN_REMEDY = "these are: " + ", ".join(sorted(ADMIN_PATHS))
_Endpoint = Callable[[Request], Awaitable[Response]]


def _names(request: Request) -> tuple[str, str]:
    return request.path_params["namespace"], request.path_params["name"]


def _problem(status: int, error: str, remedy: str) -> Response:
    return JSONResponse({"error": error, "remedy": remedy}, status_code=status)


def _found(endpoint: _Endpoint) -> _Endpoint:
    async def run(request: Request) -> Response:
        try:
            return await endpoint(request)
        except KeyError:
            namespace, name = _names(request)
            return _problem(404, f"no workload {namespace}/{name} on this host", "see `tulle status`")

    return run


async def _admin(socket: Path, path: str, query: str) -> Response:
    # verify: there is no TLS on a Unix socket, and reading the trusted authorities costs 90 ms
    transport = httpx2.AsyncHTTPTransport(uds=os.fspath(socket), verify=False)
    client = httpx2.AsyncClient(transport=transport, timeout=30.0)
    url = f"http://envoy/{path}" + (f"?{query}" if query else "")
    try:
        answer = await client.send(client.build_request("GET", url), stream=True)
    except httpx2.HTTPError as error:
        await client.aclose()
        return _problem(502, f"its Envoy does not answer: {error}", "see `tulle logs WORKLOAD --proxy`")

    async def body() -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.aiter_bytes():
                yield chunk
        finally:
            await answer.aclose()
            await client.aclose()

    media_type = answer.headers.get("content-type", "text/plain")
    return StreamingResponse(body(), status_code=answer.status_code, media_type=media_type)
