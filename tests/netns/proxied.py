"""A host for tests of the agent's workloads: real namespaces, and real Envoys that pass TCP on.

The discovery service is the agent's own; what it serves stands here, and goes to the original destination.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from google.protobuf import json_format

from tests.netns.network import NETWORK
from tulle.ads import resource as ads
from tulle.ads.cache import Cache
from tulle.ads.server import SERVER_OPTIONS, Server
from tulle.agent import cleanup, namespace
from tulle.agent.host import Host
from tulle.agent.inner_socket import InnerSockets
from tulle.agent.layout import Layout
from tulle.agent.probe import Prober
from tulle.agent.process import User
from tulle.agent.roster import Roster
from tulle.kit.mark import APPLICATION_SOURCE, PROXY_MARK
from tulle.model.agentapi import Container, Instance, WorkloadAssignment

NOBODY = User(65534, 65534)
SYSTEM_PYTHON = "/usr/bin/python3"
assert original_dst_pb2, "known to json_format"
assert tcp_proxy_pb2, "known to json_format"

ECHO = """
import socket, sys
server = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    connection, peer = server.accept()
    connection.sendall(f"{sys.argv[2]} called from {peer[0]}\\n".encode())
    connection.close()
"""
CALL = """
import socket, sys
try:
    connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    print(connection.makefile().readline().strip() or "closed")
except OSError as error:
    print(type(error).__name__)
"""


def _listener(name: str, port: int, cluster: str, direction: str) -> ads.Resource:
    proxy = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    original = "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"
    message = json_format.ParseDict(
        {
            "name": name,
            "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},
            "traffic_direction": direction,
            "listener_filters": [{"name": "original_dst", "typed_config": {"@type": original}}],
            "filter_chains": [
                {
                    "filters": [
                        {
                            "name": "tcp",
                            "typed_config": {"@type": proxy, "stat_prefix": name, "cluster": cluster},
                        }
                    ]
                }
            ],
        },
        listener_pb2.Listener(),
    )
    return ads.Resource(ads.LISTENER, name, message.SerializeToString(deterministic=True))


def _cluster(name: str, bind: dict[str, Any] | None) -> ads.Resource:
    message = json_format.ParseDict(
        {
            "name": name,
            "type": "ORIGINAL_DST",
            "lb_policy": "CLUSTER_PROVIDED",
            "connect_timeout": "5s",
            **({"upstream_bind_config": bind} if bind else {}),
        },
        cluster_pb2.Cluster(),
    )
    return ads.Resource(ads.CLUSTER, name, message.SerializeToString(deterministic=True))


PASS_ON = (
    _cluster("out", None),
    _cluster(
        "in",
        {
            "source_address": {"address": APPLICATION_SOURCE, "port_value": 0},
            "socket_options": [{"level": 1, "name": 36, "int_value": PROXY_MARK, "state": "STATE_PREBIND"}],
        },
    ),
    _listener("virtualOutbound", 15001, "out", "OUTBOUND"),
    _listener("virtualInbound", 15006, "in", "INBOUND"),
)


def workload(name: str, address: str, *containers: Container, **changes: Any) -> WorkloadAssignment:
    return WorkloadAssignment(
        **{
            "namespace": "shop",
            "name": name,
            "identity": f"spiffe://cluster.local/ns/shop/sa/{name}",
            "addresses": (address,),
            "incarnation": "one",
            "containers": containers,
            **changes,
        }
    )


def echo(port: int, says: str) -> Container:
    return Container(name="app", command=(SYSTEM_PYTHON, "-c", ECHO, str(port), says))


@dataclass
class Bench:
    """A roster on a real host of the test's own."""

    layout: Layout
    roster: Roster = field(init=False)
    reports: list[Instance] = field(default_factory=list)
    departed: list[tuple[str, str]] = field(default_factory=list)
    resources: tuple[ads.Resource, ...] = PASS_ON
    _servers: dict[tuple[str, str], grpc.aio.Server] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.cache = Cache()
        self.server = Server(self.cache, authorize=lambda _context, said: said)
        self.cache.put("all", self.resources)
        self.sockets = InnerSockets()
        self.host = Host(
            layout=self.layout,
            network=NETWORK,
            user=NOBODY,
            check=Prober(self.sockets).check,
            open_proxy=self._open,
            close_proxy=self._close,
            report=self._report,
            gone=self._gone,
            left=self._left,
            environment={"PATH": "/usr/bin:/bin"},
        )

    async def _left(self, _namespace: str, _name: str) -> bool:
        return True

    def begin(self) -> None:
        """An agent starts."""
        self.roster = Roster(self.host)
        self.roster.reported.set()
        self._task = asyncio.create_task(self.roster.run())

    async def end(self) -> None:
        """It is gone, and its workloads go on."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for name in tuple(self._servers):
            await self._close(*name)

    def desire(self, *assignments: WorkloadAssignment) -> None:
        self.roster.desire({(each.namespace, each.name): each for each in assignments})

    async def until(self, wanted: Callable[[Instance], object], name: str) -> Instance:
        """Wait until a workload's last report is as wanted."""
        while True:
            last = next((each for each in reversed(self.reports) if each.name == name), None)
            if last is not None and wanted(last):
                return last
            self._news.clear()
            try:
                async with asyncio.timeout(20):
                    await self._news.wait()
            except TimeoutError:
                log = self.layout.log(f"shop.{name}._proxy")
                said = log.read_text()[-2000:] if log.exists() else ""
                raise AssertionError(f"{name} stays {last!r}; its proxy said {said}") from None

    async def ready(self, name: str) -> Instance:
        return await self.until(lambda state: state.ready, name)

    async def call(self, name: str, address: str, port: int) -> str:
        """A call from inside a workload, as its application would make it."""
        record = await self.ready(name)
        process = await asyncio.create_subprocess_exec(
            *("nsenter", f"--target={record.pid}", "--mount", "--net", "--pid", "--"),
            *(SYSTEM_PYTHON, "-c", CALL, address, str(port)),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        return output.decode().strip()

    async def _open(self, assignment: WorkloadAssignment) -> None:
        name = assignment.namespace, assignment.name
        if name in self._servers:
            return
        directory = self.layout.proxy(*name)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.layout.xds_socket(*name).unlink(missing_ok=True)
        self.cache.assign("/".join(name), ("all",))
        server = grpc.aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers((self.server.handlers("/".join(name)),))
        server.add_insecure_port(f"unix:{self.layout.xds_socket(*name)}")
        await server.start()
        os.chown(self.layout.xds_socket(*name), NOBODY.uid, NOBODY.gid)
        self._servers[name] = server

    async def _close(self, namespace_name: str, name: str) -> None:
        server = self._servers.pop((namespace_name, name), None)
        if server is not None:
            await server.stop(None)

    def _report(self, instance: Instance) -> None:
        self.reports.append(instance)
        self._news.set()

    def _gone(self, namespace_name: str, name: str) -> None:
        self.departed.append((namespace_name, name))
        self._news.set()


@asynccontextmanager
async def real_bench(directory: Path, resources: tuple[ads.Resource, ...] = PASS_ON) -> AsyncIterator[Bench]:
    # The path of a socket has 107 characters at most, and pytest's directories may have most of them.
    run = Path(tempfile.mkdtemp(prefix="bench-"))
    layout = Layout(home=directory / "home", run=run / "0a0b0cff", mesh="0a0b0cff")
    layout.namespaces.mkdir(parents=True)
    layout.home.mkdir()
    await namespace.create_hub(layout.hub, NETWORK)
    bench = Bench(layout, resources=resources)
    bench.begin()
    try:
        yield bench
    finally:
        await bench.end()
        bench.sockets.close()
        await cleanup.clean(layout)
        shutil.rmtree(run, ignore_errors=True)
