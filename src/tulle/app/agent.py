"""The agent as a process: joins the host's identity, its configuration, its workloads and its nameserver.

    control plane ──delta xDS──> cache ──delta xDS──> each Envoy     (ads/, one socket per proxy)
         ▲   ▲                     ▲
         │   └──── sign ──── secrets (SDS)                           (keys stay on this host)
         └──────── report ──── workloads: namespaces, Envoy, program, probes

It may be killed at any time: workloads and proxies belong to their keepers, and the next agent adopts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterable
from ipaddress import IPv4Network
from pathlib import Path
from typing import NoReturn

import structlog

from tulle.ads.cache import Cache, Key
from tulle.ads.client import Upstream as DiscoveryUpstream
from tulle.ads.disk import Disk
from tulle.ads.resource import NAMES, WORKLOAD
from tulle.ads.server import Refused, Server
from tulle.agent import api, enclosure
from tulle.agent.credentials import Credentials, CredentialsError
from tulle.agent.dns import Nameserver
from tulle.agent.external import HOLDER
from tulle.agent.footprint import noted
from tulle.agent.host import Host, invoking_user
from tulle.agent.inner_socket import InnerSockets, open_nameserver
from tulle.agent.join import JoinRefused, read_token
from tulle.agent.layout import Layout, LayoutError, layout, process_name, proxy_process_name
from tulle.agent.network import Network, NetworkError
from tulle.agent.probe import Prober
from tulle.agent.reports import Reports
from tulle.agent.roster import Roster
from tulle.agent.secrets import Secrets
from tulle.agent.upstream import Upstream
from tulle.app.bulletin import Bulletin
from tulle.app.log import configure, say_once
from tulle.app.pipeline import host_node, proxy_node
from tulle.app.proxies import Proxies
from tulle.app.settings import AgentOptions
from tulle.identity.token import InvalidToken
from tulle.kit import durable, open_files, unix_http
from tulle.kit.clock import SystemClock
from tulle.kit.holdoff import HoldOff
from tulle.model.agentapi import NameTable, Phase, WorkloadAssignment

_log = structlog.get_logger("tulle.agent")
_POLL_SECONDS = 0.05
_REPORT_SECONDS = 5.0
"""For the first report to be acknowledged, before what is not wanted any more leaves without."""
_ADOPTION_SECONDS = 10.0
"""Less than a lease: while it lasts, the control plane goes by what it was told before."""


def main(options: AgentOptions) -> int:
    """Run until SIGTERM. Returns the exit status."""
    configure()
    open_files.raise_limit()
    try:
        paths = layout(options.home, enclosure.owner(os.environ, os.geteuid()), os.environ)
        asyncio.run(_run(options, paths))
    except (
        CredentialsError,
        InvalidToken,
        JoinRefused,
        LayoutError,
        NetworkError,
        unix_http.SocketError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(options: AgentOptions, paths: Layout) -> None:
    say_once(asyncio.get_running_loop())
    work = asyncio.create_task(_serve(options, paths))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _serve(options: AgentOptions, paths: Layout) -> None:
    """The agent's work, until cancelled. What gRPC opened is closed before the loop is."""
    async with contextlib.AsyncExitStack() as closing:
        await _work(options, paths, closing)


async def _work(options: AgentOptions, paths: Layout, closing: contextlib.AsyncExitStack) -> None:
    for each in (paths.run, options.home):
        durable.private_folder(each)
    folder = durable.private_folder(options.home / "agent")
    clock = SystemClock()
    cache = Cache()
    server = Server(cache, authorize=_nobody)
    credentials = Credentials(folder / "identity")
    upstream = Upstream(
        options.controlplane or f"unix:{paths.controlplane_socket}",
        options.join or f"unix:{paths.join_socket}",
        options.host,
        credentials,
        clock,
        renewed=lambda: discovery.reconnect(),
    )
    closing.push_async_callback(upstream.close)
    discovery = DiscoveryUpstream(
        upstream.open_channel,
        cache,
        downstream=server,
        disk=Disk(folder / "cache"),
    )
    await upstream.start(await read_token(options.join_token_file, credentials))
    secrets = Secrets(
        folder / "identity" / "workload", upstream.sign, lambda: upstream.svid.root_pem, cache, clock
    )
    reports = Reports(upstream.channel)
    user = invoking_user(os.environ)
    proxies = Proxies(paths, server, discovery, secrets, user.unnested)
    closing.push_async_callback(proxies.close_all)
    network = Network(IPv4Network(options.workload_subnet), IPv4Network(options.service_subnet))
    sockets = InnerSockets()

    bulletin = Bulletin(server, secrets.expires, reports.put)

    def gone(namespace: str, name: str) -> None:
        bulletin.remove(namespace, name)
        reports.remove(namespace, name)

    roster = Roster(
        Host(
            layout=paths,
            network=network,
            user=user,
            check=Prober(sockets).check,
            open_proxy=proxies.open,
            close_proxy=proxies.close,
            report=bulletin.put,
            gone=gone,
            left=upstream.left,
            environment=os.environ,
        )
    )
    nameserver = Nameserver(paths.resolver_socket)
    desired = Desired(cache, options.host, roster, nameserver)
    discovery.add_host(host_node(options.host), host_node(options.host), (WORKLOAD, NAMES), desired.changed)
    names = _nameserver_sockets(options.nameserver, network)
    async with asyncio.TaskGroup() as group:
        group.create_task(upstream.run())
        group.create_task(discovery.run())
        group.create_task(secrets.run())
        group.create_task(nameserver.serve(*names))
        group.create_task(api.serve(LocalHost(paths, roster), paths.agent_socket))
        group.create_task(desired.run())
        group.create_task(roster.run())
        await _adopted(paths, desired, roster, server)
        group.create_task(reports.run())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REPORT_SECONDS):
                await reports.connected.wait()
        roster.reported.set()


async def _adopted(paths: Layout, desired: Desired, roster: Roster, server: Server) -> None:
    """Wait until what an earlier agent left running is found ready again, and its proxies connected.

    The first report is a full one: what it does not call ready leaves its callers, and a workload that runs
    must not do so because its agent was started again. A proxy that it does not call connected is not waited
    for when what it calls leaves.
    """
    left = {mark.id for mark in noted(paths)}
    deadline = asyncio.get_running_loop().time() + _ADOPTION_SECONDS
    await desired.known.wait()
    while asyncio.get_running_loop().time() < deadline:
        found = (state for state in roster.states if state.ready or state.phase is Phase.STOPPING)
        ready = {(state.namespace, state.name) for state in found}
        proxies = {name for name in ready if roster.workload(*name).has_proxy}
        connected = all(server.subscription(proxy_node(name)) is not None for name in proxies)
        if connected and left & desired.names() <= ready:
            return
        await asyncio.sleep(_POLL_SECONDS)


class Desired:
    """What the control plane wants of this host, from its stream to the roster and the nameserver."""

    def __init__(self, cache: Cache, host: str, roster: Roster, nameserver: Nameserver) -> None:
        self._cache = cache
        self._node = host_node(host)
        self._roster = roster
        self._nameserver = nameserver
        self._tables: dict[str, NameTable] = {}
        self._due = HoldOff(0.01, 0.05)
        self._stale: set[Key] = set()
        self.known = asyncio.Event()
        """Set once the control plane, or the disk, has said what shall run here."""

    def names(self) -> set[tuple[str, str]]:
        """(namespace, name) of what shall run here."""
        return {(each.namespace, each.name) for each in self._assignments()}

    def changed(self, keys: frozenset[Key]) -> None:
        """Resources of the host's own types are different now."""
        self._stale |= keys
        self._due.touch()

    async def run(self) -> NoReturn:
        """Pass changes on, until cancelled."""
        while True:
            await self._due.settled()
            stale, self._stale = self._stale, set()
            if any(type_url == WORKLOAD for type_url, _ in stale) or not stale:
                wanted = self._assignments()
                self._nameserver.know(
                    {address: each.hostname or each.name for each in wanted for address in each.addresses}
                )
                self._roster.desire({(each.namespace, each.name): each for each in wanted})
                self.known.set()
            if any(type_url == NAMES for type_url, _ in stale):
                await self._rename(name for type_url, name in stale if type_url == NAMES)

    async def _rename(self, names: Iterable[str]) -> None:
        for name in names:
            resource = self._cache.resource(self._node, NAMES, name)
            if resource is None:
                self._tables.pop(name, None)
            else:
                self._tables[name] = NameTable.model_validate_json(resource.body)
        whole = NameTable.merged(self._tables.values())
        self._nameserver.update(whole)
        await self._roster.serve(whole)

    def _assignments(self) -> list[WorkloadAssignment]:
        names = sorted(self._cache.names(self._node, WORKLOAD))
        found = (self._cache.resource(self._node, WORKLOAD, name) for name in names)
        return [WorkloadAssignment.model_validate_json(each.body) for each in found if each is not None]


class LocalHost:
    """The workloads of this host as the agent's local API shows them (`agent.api.LocalAgent`)."""

    def __init__(self, paths: Layout, roster: Roster) -> None:
        self._layout = paths
        self._roster = roster

    def enter(self, namespace: str, name: str) -> api.Entry | None:
        entrance = self._roster.workload(namespace, name).entrance()
        if entrance is None:
            return None
        return api.Entry(
            pid=entrance.pid,
            uid=entrance.user.uid,
            gid=entrance.user.gid,
            groups=entrance.user.groups,
            env=dict(entrance.env),
            workdir=entrance.workdir,
            nested=entrance.user.nested,
        )

    def log_path(self, namespace: str, name: str, proxy: bool) -> Path:
        assignment = self._roster.workload(namespace, name).assignment
        if proxy or assignment.gateway:
            return self._layout.log(proxy_process_name(namespace, name))
        mains = [each.name for each in assignment.containers if not each.init] or [HOLDER]
        return self._layout.log(process_name(namespace, name, mains[0]))

    def proxy_directory(self, namespace: str, name: str) -> Path:
        self._roster.workload(namespace, name)
        return self._layout.proxy(namespace, name)


def _nobody(_context: object, _node: str) -> str:
    raise Refused("every proxy has a socket of its own")


def _nameserver_sockets(
    descriptors: tuple[int, int] | None, network: Network
) -> tuple[socket.socket, socket.socket]:
    if descriptors is None:
        try:
            return open_nameserver(str(network.hub))
        except OSError as error:
            raise NetworkError(
                f"cannot answer DNS on {network.hub}: {error.strerror}; run the agent where that address is"
            ) from error
    udp, tcp = descriptors
    return socket.socket(fileno=udp), socket.socket(fileno=tcp)
