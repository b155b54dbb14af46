"""The control plane's ports for agents, on real sockets, started and stopped at will."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import grpc.aio

from tulle.agent.credentials import Credentials
from tulle.agent.upstream import Upstream
from tulle.identity import authority
from tulle.identity.registrar import Registrar
from tulle.identity.serving import ServingCertificate
from tulle.identity.token import Enrolment, Token
from tulle.kit.clock import Clock, SystemClock
from tulle.model.agentapi import Instance
from tulle.source.agents import Agents
from tulle.source.join import JoinEndpoint
from tulle.source.registry import Name, Registry

ORDERS = "spiffe://cluster.local/ns/shop/sa/orders"


class ControlPlane:
    """Workload `shop/orders` is placed on host `one`."""

    def __init__(self, folder: Path, clock: Clock | None = None, lifetime_seconds: float = 86400) -> None:
        self.folder = folder
        self.clock = clock or SystemClock()
        self.authority = authority.open_or_create(folder / "authority", "cluster.local", self.clock)
        self.enrolment = Enrolment(folder / "enrolment.json", self.clock)
        self.registrar = Registrar(self.authority, self.enrolment, lifetime_seconds)
        self.serving = ServingCertificate(self.authority, self.clock)
        self.placements = {("one", "shop", "orders"): ORDERS}
        self.bare: set[str] = set()
        """Names of workloads without a proxy."""
        self.published: dict[Name, Instance] = {}
        self.news = asyncio.Condition()
        self.registry = Registry(self.placed, self.publish, lambda: asyncio.get_running_loop().time())
        self.target = f"unix:{folder / 'controlplane.sock'}"
        self.join_target = f"unix:{folder / 'join.sock'}"
        self.join_port = 0
        self.port = 0
        self._server: grpc.aio.Server | None = None
        self._joining: asyncio.Task[None] | None = None

    def placed(self, host: str, namespace: str, workload: str) -> str | None:
        return self.placements.get((host, namespace, workload))

    def publish(self, name: Name, instance: Instance | None, _lapsed: bool) -> None:
        if instance is None:
            self.published.pop(name, None)
        else:
            self.published[name] = instance
        self.tasks = [asyncio.create_task(self._tell())]

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    def has_proxy(self, _: str, workload: str) -> bool:
        return workload not in self.bare

    async def left(self, name: Name) -> None:
        """Nobody calls what is not ready."""
        async with self.news:
            await self.news.wait_for(lambda: not self.published[name].ready)

    async def published_as(self, expected: dict[Name, Instance]) -> None:
        async with asyncio.timeout(20), self.news:
            await self.news.wait_for(lambda: self.published == expected)

    async def start(self) -> None:
        self._server = grpc.aio.server()
        agents = Agents(self.registry, self.registrar, self.placed, self.has_proxy, self.left)
        self._server.add_generic_rpc_handlers((agents.rpc(),))
        self._server.add_secure_port(self.target, self.serving.grpc_credentials())
        self.port = self._server.add_secure_port("127.0.0.1:0", self.serving.grpc_credentials())
        await self._server.start()
        local = socket.socket(socket.AF_UNIX)
        Path(self.join_target.removeprefix("unix:")).unlink(missing_ok=True)
        local.bind(self.join_target.removeprefix("unix:"))
        remote = socket.socket()
        remote.bind(("127.0.0.1", 0))
        self.join_port = remote.getsockname()[1]
        for listener in (local, remote):
            listener.listen()
        endpoint = JoinEndpoint(self.registrar, self.serving.join_context())
        self._joining = asyncio.create_task(endpoint.serve(local, remote))

    async def stop(self) -> None:
        assert self._server is not None
        assert self._joining is not None
        self._joining.cancel()
        await asyncio.wait([self._joining])
        await self._server.stop(0)

    def token(self, host: str = "") -> Token:
        return self.enrolment.create(self.authority.fingerprint, host)

    def upstream(self, clock: Clock | None = None, renewed: Callable[[], None] = lambda: None) -> Upstream:
        """The agent of host `one`."""
        return Upstream(
            self.target,
            self.join_target,
            "one",
            Credentials(self.folder / "agent"),
            clock or self.clock,
            draw=lambda: 0.5,
            renewed=renewed,
        )
