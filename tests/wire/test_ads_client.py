"""The agent's end: what it follows, what it keeps, and what it tells upstream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from tests.wire.ads import Client, connected, following, serving
from tulle.ads.cache import Cache, View
from tulle.ads.client import Upstream
from tulle.ads.disk import Disk
from tulle.ads.resource import CLUSTER, ENDPOINT, LISTENER, NAMES, ROUTE, SECRET, WORKLOAD, Resource
from tulle.ads.server import Server
from tulle.ads.wire import DeltaRequest

NODE = "shop/web-1"


def cluster(name: str, body: bytes = b"1") -> Resource:
    return Resource(CLUSTER, name, body, ((ENDPOINT, name),))


A, E = cluster("a"), Resource(ENDPOINT, "a", b"1")
L, R = Resource(LISTENER, "l", b"1", ((ROUTE, "r"),)), Resource(ROUTE, "r", b"1")


class Host:
    """A control plane, an agent, and what a test asks of both."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.central = Cache()
        self.central.assign(NODE, ("part",))
        self.server: Server
        self.local = Cache()
        self.agent: Server
        self.upstream: Upstream
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def controlplane(self) -> AsyncIterator[Server]:
        socket = self.directory / "controlplane.sock"
        async with serving(self.central, socket, observe=self._news) as self.server:
            yield self.server

    @contextlib.asynccontextmanager
    async def host(self, disk: Disk | None = None) -> AsyncIterator[None]:
        self.local = Cache()
        socket = self.directory / "controlplane.sock"
        self.local.watch(NODE, self._news)
        async with contextlib.AsyncExitStack() as stack:
            self.agent = await stack.enter_async_context(
                serving(self.local, self.directory / "xds.sock", observe=self._news)
            )
            self.upstream = await stack.enter_async_context(
                following(self.local, socket, NODE, downstream=self.agent, disk=disk)
            )
            yield

    def proxy(self) -> contextlib.AbstractAsyncContextManager[Client]:
        return connected(self.directory / "xds.sock", NODE)

    def _news(self, _: object) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def here(self, *resources: Resource) -> bool:
        view = View(self.local, NODE)
        return all(view.resource(*resource.key) == resource for resource in resources)

    async def synced(self) -> None:
        assert await self.server.wait_synced([NODE], 20) == {}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


async def test_everything_is_here_before_the_proxy_starts(host: Host) -> None:
    host.central.put("part", [A, E, L, R, Resource(ENDPOINT, "unused", b"1")])
    async with host.controlplane(), host.host():
        await host.until(lambda: host.here(A, E, L, R))
        await host.synced()
        assert View(host.local, NODE).names(ENDPOINT) == {"a"}


async def test_the_control_plane_hears_what_the_proxy_says(host: Host) -> None:
    host.central.put("part", [A, E])
    async with host.controlplane(), host.host():
        await host.synced()
        async with host.proxy() as proxy:
            for type_url, names in ((CLUSTER, ()), (ENDPOINT, ("a",)), (LISTENER, ())):
                await proxy.say(DeltaRequest(type_url, names))
                await proxy.accept()
            better = Resource(ENDPOINT, "a", b"2")
            host.central.put("part", [A, better])
            response = await proxy.hear()
            assert response.resources == (better,)
            assert host.server.status(NODE).state == "pending", "the proxy has not answered yet"
            await proxy.say(DeltaRequest(ENDPOINT, nonce=response.nonce))
            await host.synced()
            bad = Resource(ENDPOINT, "a", b"bad")
            host.central.put("part", [A, bad])
            response = await proxy.hear()
            await proxy.say(DeltaRequest(ENDPOINT, nonce=response.nonce, refusal="I will not"))
            await host.until(lambda: host.server.status(NODE).state == "rejected")
            assert host.server.status(NODE).errors == ((ENDPOINT, "I will not", ("a",)),)
            assert host.here(better), "the last good content is what a proxy that starts will get"


async def test_what_the_proxy_asks_for_is_asked_for_upstream(host: Host) -> None:
    extra = Resource(ROUTE, "extra", b"1")
    gateway = Resource(SECRET, "kubernetes://ns/certificate", b"1")
    forbidden = Resource(SECRET, "default", b"not from upstream")
    host.central.put("part", [extra, gateway, forbidden])
    async with host.controlplane(), host.host(), host.proxy() as proxy:
        await host.synced()
        await proxy.say(DeltaRequest(ROUTE, ("extra", "ghost")))
        answer = await proxy.accept()
        assert (answer.resources, answer.removed) == ((extra,), ("ghost",))
        await proxy.say(DeltaRequest(SECRET, ("kubernetes://ns/certificate", "default")))
        assert (await proxy.accept()).resources == (gateway,)
        own = Resource(SECRET, "default", b"the agent's own")
        host.local.put("secrets", [own])
        host.local.assign(NODE, (f"upstream/{NODE}", "secrets"), complete=False)
        assert (await proxy.accept()).resources == (own,)
        await proxy.say(DeltaRequest(ROUTE, unsubscribe=("extra",)))
        await host.until(lambda: View(host.local, NODE).resource(ROUTE, "extra") is None)


async def test_what_goes_upstream_goes_here_and_nothing_goes_while_it_is_away(host: Host) -> None:
    host.central.put("part", [A, E, cluster("b"), Resource(ENDPOINT, "b", b"1")])
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(host.controlplane())
        async with host.host():
            await host.until(lambda: host.here(A, E, cluster("b")))
            await host.synced()
            await stack.aclose()
            host.central.put("part", [A, E])
            assert host.here(cluster("b"))
            async with host.controlplane() as again:
                await host.until(lambda: View(host.local, NODE).names(CLUSTER) == {"a"})
                await host.until(lambda: View(host.local, NODE).names(ENDPOINT) == {"a"})
                await host.synced()
                assert again.sent_bytes < 1000
                assert host.upstream.status(NODE).connected


async def test_a_host_starts_and_serves_from_disk_while_the_control_plane_is_away(host: Host) -> None:
    disk = Disk(host.directory / "cache", 0, 0)
    host.central.put("part", [A, E, L, R])
    async with host.controlplane(), host.host(disk):
        await host.until(lambda: host.here(A, E, L, R))
        await host.synced()
        await disk.flushed()
    async with host.host(Disk(host.directory / "cache")):
        assert host.here(A, E, L, R)
        async with host.proxy() as proxy:
            await proxy.say(DeltaRequest(CLUSTER))
            assert (await proxy.accept()).resources == (A,)
            await proxy.say(DeltaRequest(ENDPOINT, ("a",)))
            assert (await proxy.accept()).resources == (E,)
            await proxy.say(DeltaRequest(LISTENER))
            assert (await proxy.accept()).resources == (L,)
        assert not host.upstream.status(NODE).connected
        async with host.controlplane() as server:
            await host.synced()
            assert server.sent_messages == 0


async def test_a_corrupt_file_counts_as_none(host: Host) -> None:
    disk = Disk(host.directory / "cache", 0, 0)
    host.central.put("part", [A, E])
    async with host.controlplane(), host.host(disk):
        await host.until(lambda: host.here(A, E))
        await host.synced()
        await disk.flushed()
    (path,) = (host.directory / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    async with host.host(Disk(host.directory / "cache")), host.proxy() as proxy:
        assert View(host.local, NODE).names(CLUSTER) == set()
        # A proxy that runs already loses nothing by it.
        await proxy.say(DeltaRequest(CLUSTER, versions={"a": A.version}))
        await host.until(lambda: bool(host.agent.connected()))
        async with host.controlplane():
            await host.until(lambda: host.here(A, E))
            await proxy.say(DeltaRequest(ENDPOINT, ("a",)))
            assert (await proxy.accept()).resources == (E,)


async def test_a_refused_version_is_not_given_to_the_proxy_again(host: Host) -> None:
    bad, good = Resource(CLUSTER, "bad", b"bad"), Resource(CLUSTER, "good", b"1")
    seen: list[str] = []

    async def live(proxy: Client) -> None:
        while True:
            response = await proxy.hear()
            names = [resource.name for resource in response.resources]
            seen.extend(names)
            refusal = "bad is bad" if "bad" in names else None
            await proxy.say(DeltaRequest(response.type_url, nonce=response.nonce, refusal=refusal))

    async with host.controlplane(), host.host(), host.proxy() as proxy, asyncio.TaskGroup() as group:
        await host.synced()
        for type_url in (CLUSTER, LISTENER):
            await proxy.say(DeltaRequest(type_url))
            await proxy.accept()
        living = group.create_task(live(proxy))
        host.central.put("part", [bad, good])
        await host.until(lambda: bool(host.server.status(NODE).errors) and host.server.status(NODE).decided)
        assert host.server.status(NODE).errors == ((CLUSTER, "bad is bad", ("bad",)),)
        assert seen.count("bad") == 2, "once among others, once alone"
        assert host.here(good)
        assert View(host.local, NODE).resource(*bad.key) is None
        living.cancel()


async def test_a_host_hears_of_its_own_types(tmp_path: Path) -> None:
    central, local = Cache(), Cache()
    workload, names = Resource(WORKLOAD, "web", b"{}"), Resource(NAMES, "mesh", b"{}")
    central.put("host", [workload, names, A])
    central.assign("host-1", ("host",))
    changed: asyncio.Queue[frozenset[tuple[str, str]]] = asyncio.Queue()
    async with (
        serving(central, tmp_path / "s") as server,
        following(local, tmp_path / "s") as upstream,
    ):
        upstream.add_host("host-1", "me", (WORKLOAD, NAMES), changed.put_nowait)
        seen: set[tuple[str, str]] = set()
        while seen != {workload.key, names.key}:
            seen |= await changed.get()
        assert await server.wait_synced(["host-1"], 20) == {}
        assert local.resource("me", WORKLOAD, "web") == workload
        central.update("host", (), [workload.key])
        assert workload.key in await changed.get()
        assert local.resource("me", WORKLOAD, "web") is None
        upstream.remove_node("me")
        upstream.remove_node("never added")
        while server.connected():
            await asyncio.sleep(0)


async def test_a_renewed_connection_loses_nothing(host: Host) -> None:
    host.central.put("part", [A, E, L, R])
    async with host.controlplane() as server, host.host():
        await host.until(lambda: host.here(A, E, L, R))
        await host.synced()
        sent = server.sent_messages
        host.upstream.reconnect()
        await host.until(lambda: server.status(NODE).state == "disconnected")
        await host.synced()
        assert server.sent_messages == sent
        host.central.put("part", [A, L, R])
        await host.until(lambda: View(host.local, NODE).resource(*E.key) is None)


async def test_a_control_plane_that_talks_garbage_is_left_and_tried_again(tmp_path: Path) -> None:
    tries = asyncio.Queue[None]()

    async def talk(_requests: object, context: Any) -> None:
        tries.put_nowait(None)
        await context.write(b"\xff\xff\xff")
        await context.read()

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.stream_stream_rpc_method_handler(talk)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handler(),))
    server.add_insecure_port(f"unix:{tmp_path / 's'}")
    await server.start()
    cache = Cache()
    async with following(cache, tmp_path / "s", NODE) as upstream:
        for _ in range(3):
            await tries.get()
        assert "garbage" in upstream.status(NODE).reason
        assert View(cache, NODE).names(CLUSTER) == set()
    await server.stop(None)
