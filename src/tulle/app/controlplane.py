"""The control plane as a process: joins sources, World, pipeline, discovery service, authority and API.

Every loop is a task of one group; what one of them cannot go on without ends the process, and the
supervisor (or systemd) starts it again. The data plane does not notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc.aio
import structlog
import uvloop

from tulle.ads.cache import Cache
from tulle.ads.server import SERVER_OPTIONS, Refused, Server
from tulle.ads.status import NodeStatus
from tulle.agent import enclosure
from tulle.agent.layout import Layout, LayoutError, layout
from tulle.api import server as api
from tulle.app.facade import Facade
from tulle.app.log import configure, say_once
from tulle.app.notebook import Notebook
from tulle.app.pipeline import Pipeline, host_node
from tulle.app.relay import Relay
from tulle.app.settings import ControlPlaneOptions
from tulle.identity import authority
from tulle.identity.authority import AuthorityError
from tulle.identity.registrar import Registrar
from tulle.identity.serving import ServingCertificate
from tulle.identity.token import Enrolment, EnrolmentError
from tulle.kit import collector, durable, heap, native_log, open_files, unix_http
from tulle.kit.clock import SystemClock
from tulle.kit.derived import Graph
from tulle.kit.holdoff import HoldOff
from tulle.mesh.declaration import Settings
from tulle.mesh.resolve import Resolution
from tulle.mesh.world import World
from tulle.source import images
from tulle.source.agents import Agents
from tulle.source.database import StoreError
from tulle.source.join import JoinEndpoint
from tulle.source.registry import Registry
from tulle.source.store import SqliteStore

_log = structlog.get_logger("tulle.controlplane")

_CALM_SECONDS, _MOST_RESTLESS_SECONDS = 2.0, 30.0
"""How long no proxy must have said anything before memory is given back, and how long that is put off."""


def main(options: ControlPlaneOptions) -> int:
    """Run until SIGTERM. Returns the exit status."""
    native_log.say_once()
    collector.calm()
    configure()
    open_files.raise_limit()
    try:
        paths = layout(options.home, enclosure.owner(os.environ, os.geteuid()), os.environ)
        uvloop.run(_run(options, paths))
    except (
        AuthorityError,
        EnrolmentError,
        LayoutError,
        StoreError,
        unix_http.SocketError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(options: ControlPlaneOptions, paths: Layout) -> None:
    say_once(asyncio.get_running_loop())
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _serving(options, paths):
        _log.info("the control plane serves", host=options.host)
        await stop.wait()


@contextlib.asynccontextmanager
async def _serving(options: ControlPlaneOptions, paths: Layout) -> AsyncGenerator[None]:
    for each in (paths.run, options.home):
        durable.private_folder(each)
    folder = durable.private_folder(options.home / "controlplane")
    clock = SystemClock()
    signer = authority.open_or_create(folder / "authority", options.trust_domain, clock)
    enrolment = Enrolment(folder / "enrolment.json", clock)
    registrar = Registrar(signer, enrolment)
    kept = SqliteStore(folder / "store.db")
    notebook = Notebook(kept)
    world = World(Graph(), _settings(options), notebook.addresses)
    resolution = Resolution(world)
    cache = Cache()
    pipeline = Pipeline(world, resolution, cache)
    registry = Registry(world.placed, lambda *told: facade.report(*told), time.monotonic, notebook.keep)
    agents = Agents(registry, registrar, world.placed, world.has_proxy, lambda at: facade.left(at))

    def authorize(context: Any, node: str) -> str:
        host = registrar.host_of(context.auth_context())
        if host is None:
            raise Refused("this is no certificate of an enrolled host")
        namespace, _, name = node.partition("/")
        if node != host_node(host) and world.placed(host, namespace, name) is None:
            raise Refused(f"{node} is not placed on host {host}")
        return node

    calm = HoldOff(_CALM_SECONDS, _MOST_RESTLESS_SECONDS)

    def observe(status: NodeStatus) -> None:
        facade.observe(status)
        calm.touch()

    server = Server(cache, authorize=authorize, observe=observe)
    facade = Facade(
        world=world,
        resolution=resolution,
        pipeline=pipeline,
        server=server,
        kept=kept,
        registry=registry,
        notebook=notebook,
        relay=Relay(options.relay_directory) if options.relay_directory else None,
        paths=paths,
        version=metadata.version("tulle"),
    )
    facade.load()
    registry.restore(notebook.instances())
    certificate = ServingCertificate(signer, clock)
    rpc = grpc.aio.server(options=SERVER_OPTIONS)
    await server.add_to(rpc)
    rpc.add_generic_rpc_handlers((agents.rpc(),))
    for address in options.listen or (f"unix:{paths.controlplane_socket}",):
        rpc.add_secure_port(address, certificate.grpc_credentials())
    join = JoinEndpoint(registrar, certificate.join_context())
    listeners = [_listen(each) for each in options.join_listen or (f"unix:{paths.join_socket}",)]
    if options.join_token_file is not None:
        try:
            token = enrolment.create(signer.fingerprint, options.host)
            durable.replace(options.join_token_file, f"{token.text}\n".encode())
        except OSError as error:  # a full disk: who has joined goes on
            _log.warning("there is no new join token", reason=str(error))
    await rpc.start()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(join.serve(*listeners)),
                group.create_task(agents.watch_leases()),
                group.create_task(facade.run()),
                group.create_task(heap.trim_when_calm(calm)),
                group.create_task(api.serve(facade, paths.api_socket)),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    finally:
        await rpc.stop(grace=None)
        kept.close()


def _settings(options: ControlPlaneOptions) -> Settings:
    return Settings(
        trust_domain=options.trust_domain,
        service_cidr=options.service_subnet,
        workload_cidr=options.workload_subnet,
        host=options.host,
        images=images.parse(options.images.read_text(), str(options.images))[0] if options.images else (),
    )


def _listen(address: str) -> socket.socket:
    """A listening socket for `unix:/path` or `host:port`."""
    if address.startswith("unix:"):
        return unix_http.listen(Path(address.removeprefix("unix:")))
    host, _, port = address.rpartition(":")
    return socket.create_server((host.strip("[]"), int(port)), family=_family(host), reuse_port=False)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
