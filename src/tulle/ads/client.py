"""The agent's end towards the control plane: one connection, one incremental stream for each proxy.

Fills the agent's cache, which the agent's own server gives to its proxies. While upstream is away nothing is
removed and everything is served from what is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import structlog

from tulle.ads import wire
from tulle.ads.cache import Cache, Changed
from tulle.ads.disk import CorruptError, Disk
from tulle.ads.keepalive import keepalive
from tulle.ads.mirror import PROXY_TYPES, Downstream, Mirror
from tulle.ads.outage import ANEW, ENDED, Outage
from tulle.ads.resource import Resource
from tulle.ads.wire import DeltaRequest
from tulle.kit.backoff import Backoff

CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", -1),  # upstream is trusted, and a first response has everything
    # A control plane that has vanished is noticed, and another connection made, before a lease (20 s) ends.
    *keepalive(silence_seconds=10, answer_seconds=5),
    # Who calls waits between its tries; the connection below must not wait on its own (up to two minutes).
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # how long one try may take: a slow link is a link
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Two channels to one control plane with two certificates are two connections.
    ("grpc.use_local_subchannel_pool", 1),
)
_EOF: Any = vars(grpc.aio)["EOF"]  # missing in the published types
_log = structlog.get_logger("tulle.ads")


def default_backoff() -> Backoff:
    """Between the tries of one stream, in seconds."""
    return Backoff(first=0.1, limit=2.0)


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """How one stream to the control plane stands."""

    node: str
    connected: bool
    """The control plane has answered on this stream."""
    since: float
    """Seconds since the epoch."""
    reason: str = ""
    """Why it is not connected."""


class _Node:
    """One followed node: its mirror, its task, and what is yet to be written."""

    def __init__(self, mirror: Mirror, stop_watching: Callable[[], None]) -> None:
        self.mirror = mirror
        self.stop_watching = stop_watching
        self.outbox: deque[DeltaRequest] = deque()
        self.wake = asyncio.Event()
        self.call: Any = None
        self.started = False
        self.task: asyncio.Task[None] | None = None

    def send(self, requests: Iterable[DeltaRequest]) -> None:
        self.outbox.extend(requests)
        if self.outbox:
            self.wake.set()


class Upstream:
    """Keeps nodes of `cache` equal to what the control plane has for them."""

    def __init__(
        self,
        channel_factory: Callable[[], grpc.aio.Channel],
        cache: Cache,
        *,
        downstream: Downstream | None = None,
        disk: Disk | None = None,
        observe: Callable[[UpstreamStatus], None] | None = None,
        backoff: Callable[[], Backoff] = default_backoff,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`channel_factory` makes a channel (with CHANNEL_OPTIONS) with the credentials of the day;
        `downstream` is the server that the proxies are connected to."""
        self._channel_factory = channel_factory
        self._cache = cache
        self._downstream = downstream
        self._disk = disk
        self._observe = observe
        self._backoff = backoff
        self._now = now
        self._nodes: dict[str, _Node] = {}
        self._statuses: dict[str, UpstreamStatus] = {}
        self._channel: grpc.aio.Channel | None = None
        self._group: asyncio.TaskGroup | None = None
        self._renew = asyncio.Event()
        self._outage = Outage()

    # -- what to follow ----------------------------------------------------------------------------

    def add_node(self, node_id: str, cache_node: str, parts: Sequence[str] = ()) -> None:
        """Follow a proxy. Its cache node sees what comes from upstream (and from the disk, at once) and,
        after it, the agent's own `parts`."""
        self._add(node_id, cache_node, parts, PROXY_TYPES, self._downstream, None)

    def add_host(
        self, node_id: str, cache_node: str, types: Iterable[str], changed: Changed | None = None
    ) -> None:
        """Follow types that are for the agent itself: every resource of them, acknowledged at once. `changed`
        is called with the keys that are different; read them from the cache."""
        self._add(node_id, cache_node, (), tuple(types), None, changed)

    def remove_node(self, cache_node: str) -> None:
        """Stop following, and forget what is here and on disk."""
        node = self._nodes.pop(cache_node, None)
        if node is None:
            return
        node.stop_watching()
        if node.task is not None:
            node.task.cancel()
        self._statuses.pop(cache_node, None)
        self._cache.unassign(cache_node)
        self._cache.drop(_part(cache_node))
        if self._disk is not None:
            self._disk.remove(cache_node)

    def reconnect(self) -> None:
        """Connect anew, with the credentials that the channel factory has now."""
        self._renew.set()

    def status(self, cache_node: str) -> UpstreamStatus:
        """How the stream of a node stands."""
        return self._statuses.get(cache_node) or UpstreamStatus(cache_node, False, 0.0, "not tried yet")

    # -- running -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                if self._disk is not None:
                    group.create_task(self._disk.run())
                self._channel = self._channel_factory()
                self._group = group
                for node in self._nodes.values():
                    self._follow(node)
                while True:
                    await self._renew.wait()
                    self._renew.clear()
                    old, self._channel = self._channel, self._channel_factory()
                    for node in self._nodes.values():
                        if node.call is not None:
                            node.call.cancel()
                    await old.close()
        finally:
            self._group = None
            if self._channel is not None:
                await self._channel.close()

    def _add(
        self,
        node_id: str,
        cache_node: str,
        parts: Sequence[str],
        types: Sequence[str],
        downstream: Downstream | None,
        changed: Changed | None,
    ) -> None:
        assert cache_node not in self._nodes, f"{cache_node} is followed already"
        part = _part(cache_node)
        mirror = Mirror(node_id, self._cache, cache_node, part=part, wildcards=types, downstream=downstream)
        stops = contextlib.ExitStack()
        node = self._nodes[cache_node] = _Node(mirror, stops.close)
        saved = self._load(cache_node)
        with self._cache.transaction():
            if saved is not None:
                self._cache.put(part, saved)
            self._cache.assign(cache_node, (part, *parts), complete=False)
            for type_url in types if saved is not None else ():
                self._cache.settle(cache_node, type_url)
        if downstream is not None:
            stops.callback(downstream.watch(cache_node, lambda: self._advance(node)))
        if changed is not None:
            stops.callback(self._cache.watch(cache_node, changed))
            if saved:
                changed(frozenset(resource.key for resource in saved))
        self._follow(node)

    def _load(self, cache_node: str) -> tuple[Resource, ...] | None:
        if self._disk is None:
            return None
        try:
            return self._disk.load(cache_node)
        except CorruptError as error:
            _log.warning("a saved configuration cannot be used", node=cache_node, reason=str(error))
        except OSError as error:
            _log.warning("a saved configuration cannot be read", node=cache_node, reason=str(error))
        return None

    def _follow(self, node: _Node) -> None:
        if self._group is not None and node.task is None:
            node.task = self._group.create_task(self._follow_for_ever(node))

    async def _follow_for_ever(self, node: _Node) -> None:
        backoff = self._backoff()
        while True:
            reason = await self._follow_once(node, backoff)
            self._tell(node, connected=False, reason=reason)
            await asyncio.sleep(backoff.next())

    async def _follow_once(self, node: _Node, backoff: Backoff) -> str:
        """One stream from its beginning to its end. Returns why it ended."""
        assert self._channel is not None
        node.call = self._channel.stream_stream(wire.DELTA)()
        node.outbox.clear()
        node.send(node.mirror.start())
        node.started = True
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(node))
                reason = await self._read(node, backoff)
                writer.cancel()
            return reason
        finally:
            node.started = False
            node.call.cancel()

    async def _read(self, node: _Node, backoff: Backoff) -> str:
        """The stream's only reader, without a time limit (grpc issue 43360). Returns why it ended."""
        try:
            while (content := await node.call.read()) is not _EOF:
                node.send(node.mirror.received(wire.parse_delta_response(content)))
                backoff.reset()
                self._tell(node, connected=True)
                self._save(node)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        except wire.MalformedError as error:
            return f"the control plane sent garbage: {error}"
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return ANEW  # `reconnect` cancelled the call, and nobody this task
        return ENDED

    async def _write(self, node: _Node) -> None:
        while True:
            await node.wake.wait()
            node.wake.clear()
            while node.outbox:
                try:
                    await node.call.write(node.outbox.popleft().encode())
                except (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
                    return  # the reader learns why

    def _advance(self, node: _Node) -> None:
        """The proxy said something. While upstream is away there is nobody to tell; `start` catches up."""
        if node.started:
            node.send(node.mirror.advance())
        else:
            node.mirror.judge()
        self._save(node)

    def _save(self, node: _Node) -> None:
        if self._disk is not None and node.mirror.unsaved:
            node.mirror.unsaved = False
            self._disk.save(node.mirror.node, node.mirror.content())

    def _tell(self, node: _Node, *, connected: bool, reason: str = "") -> None:
        name = node.mirror.node
        before = self._statuses.get(name)
        if before is not None and (before.connected, before.reason) == (connected, reason):
            return
        since = before.since if before is not None and before.connected == connected else self._now()
        status = self._statuses[name] = UpstreamStatus(name, connected, since, reason)
        self._outage.tell(name, connected, reason)
        if self._observe is not None:
            self._observe(status)


def _part(cache_node: str) -> str:
    return f"upstream/{cache_node}"
