"""The aggregated discovery service on gRPC: moves bytes and numbers nonces, and knows nothing of policy.

Both the incremental and the state-of-the-world service. The composition root makes the gRPC server (with
`SERVER_OPTIONS`), adds this one to it, and decides by `authorize` who is served what.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import grpc.aio
import structlog

from tulle.ads import wire
from tulle.ads.cache import Cache, View
from tulle.ads.channel import Progress, Response
from tulle.ads.keepalive import keepalive
from tulle.ads.resource import CLUSTER, ENDPOINT, EXTENSION, LISTENER, NAMES, ROUTE, SECRET, WORKLOAD
from tulle.ads.stateoftheworld import StateOfTheWorld
from tulle.ads.status import NodeStatus, StatusBoard
from tulle.ads.subscription import Subscription
from tulle.kit.gate import Gate
from tulle.kit.quiet import Quiet

TYPES = frozenset({CLUSTER, ENDPOINT, LISTENER, ROUTE, EXTENSION, SECRET, WORKLOAD, NAMES})
MAXIMUM_REQUEST = 4 * 1024 * 1024
"""Bytes. The first request after a reconnect names every resource that the client has."""
MAXIMUM_NAMES = 200_000
"""How many names and resources one stream may make us remember."""
SERVER_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", MAXIMUM_REQUEST),
    ("grpc.max_send_message_length", -1),
    *keepalive(silence_seconds=20, answer_seconds=10),
    # A client that asks more often than this is told to go away (too_many_pings); ours ask every 10 s.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)

_LARGE = 16 * 1024
_LARGE_AT_ONCE = 32
_LARGE_SECONDS = 0.1
"""A response above so many bytes waits until fewer than that many are being written: gRPC copies what it
writes, and a thousand route tables at once are memory that is not given back. A client that is slow to read
holds the others up for so many seconds at most."""

Authorize = Callable[[Any, str], Awaitable[str] | str]
AnySubscription = Subscription | StateOfTheWorld

_EOF: Any = vars(grpc.aio)["EOF"]  # missing in the published types
_log = structlog.get_logger("tulle.ads")


class Refused(Exception):  # noqa: N818  it is an answer, not an error of ours
    """`authorize` does not let this peer speak for this node; the text says why."""


@dataclass(frozen=True, slots=True)
class _End:
    """Why a stream is ended by us."""

    code: grpc.StatusCode
    reason: str


class _Stream:
    """One connected client: its subscription, and what is yet to be written to it."""

    def __init__(self, node: str, subscription: AnySubscription) -> None:
        self.node = node
        self.subscription = subscription
        self.outbox: deque[Response] = deque()
        self.wake = asyncio.Event()


class Server:
    """Serves a cache to its nodes."""

    def __init__(
        self,
        cache: Cache,
        *,
        authorize: Authorize,
        observe: Callable[[NodeStatus], None] | None = None,
        types: Iterable[str] = TYPES,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`authorize(context, node id)` returns the cache's name of the node or raises Refused; `observe`
        hears of every change of a node's status; `now` gives seconds since the epoch."""
        self._cache = cache
        self._authorize = authorize
        self._types = frozenset(types)
        self._board = StatusBoard(observe, now)
        self._streams: dict[str, list[_Stream]] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        self._quiet = Quiet()
        self._large = Gate(_LARGE_AT_ONCE, _LARGE_SECONDS)
        self.encoder = wire.Encoder()
        self.sent_messages = 0
        self.sent_bytes = 0

    # -- for the composition root ------------------------------------------------------------------

    def handlers(self, node: str | None = None) -> grpc.GenericRpcHandler:
        """Both services, to be added to a grpc.aio server.

        `node`: whoever comes through these handlers is this node, whatever it says of itself. A Unix
        socket that one proxy alone can reach is its identity (decision 5).
        """
        authorize = self._authorize if node is None else lambda _context, _said: node
        return _Handlers(
            {
                wire.DELTA: grpc.stream_stream_rpc_method_handler(
                    partial(self._serve, authorize, wire.parse_delta_request, self._open_delta)
                ),
                wire.STATE_OF_THE_WORLD: grpc.stream_stream_rpc_method_handler(
                    partial(self._serve, authorize, wire.parse_state_of_the_world_request, self._open_sotw)
                ),
            }
        )

    async def add_to(self, server: grpc.aio.Server) -> None:
        """Add both services to a server that is not started yet."""
        server.add_generic_rpc_handlers((self.handlers(),))

    def status(self, node: str) -> NodeStatus:
        """How one node stands."""
        return self._board.get(node)

    def statuses(self) -> Mapping[str, NodeStatus]:
        """How every node stands that ever connected."""
        return self._board.all()

    def connected(self) -> frozenset[str]:
        """The nodes that have a stream now."""
        return frozenset(self._streams)

    def forget(self, node: str) -> None:
        """The node is gone for good: do not report it as disconnected any more."""
        if node not in self._streams:
            self._board.forget(node)

    async def wait_synced(
        self,
        nodes: Iterable[str],
        deadline: float,
        progress: Callable[[Mapping[str, NodeStatus]], None] | None = None,
    ) -> dict[str, NodeStatus]:
        """Wait until every one of `nodes` has accepted or refused its current content, at most `deadline`
        seconds. Returns those that are not in sync then: none if all is well. `progress` is called with those
        that are still missing, at the start and whenever their number changes."""
        return await self._board.wait(nodes, deadline, progress)

    # -- for the agent's upstream ------------------------------------------------------------------

    def watch(self, node: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever the node connects, asks, answers or leaves. Call the result to stop."""
        self._watchers.setdefault(node, []).append(callback)

        def cancel() -> None:
            self._watchers[node].remove(callback)
            if not self._watchers[node]:
                del self._watchers[node]

        return cancel

    def subscription(self, node: str) -> AnySubscription | None:
        """The newest stream's, or None while the node is not connected."""
        streams = self._streams.get(node)
        return streams[-1].subscription if streams else None

    def progress(self, node: str, type_url: str, name: str, version: str | None) -> tuple[Progress, str]:
        """How far a version (None: the removal) of a resource has come at the node."""
        subscription = self.subscription(node)
        if subscription is None:
            return Progress.UNASKED, ""
        return subscription.progress(type_url, name, version)

    # -- streams -----------------------------------------------------------------------------------

    def _open_delta(self, view: View, request: Any) -> AnySubscription:
        return Subscription(view, resend_needs=wire.MIRROR not in request.features)

    def _open_sotw(self, view: View, _request: Any) -> AnySubscription:
        return StateOfTheWorld(view)

    async def _serve(
        self,
        authorize: Authorize,
        parse: Callable[[bytes], Any],
        make: Callable[[View, Any], AnySubscription],
        _requests: object,
        context: Any,
    ) -> None:
        end = await self._converse(authorize, context, parse, make)
        if end is not None:
            peer = _peer(context)
            if self._quiet.first((peer, end.reason)):
                _log.warning("refused an xDS stream", peer=peer, reason=end.reason)
            await context.abort(end.code, end.reason)

    async def _converse(
        self,
        authorize: Authorize,
        context: Any,
        parse: Callable[[bytes], Any],
        make: Callable[[View, Any], AnySubscription],
    ) -> _End | None:
        content = await context.read()
        if content is _EOF:
            return None
        try:
            request = parse(content)
            node = authorize(context, request.node_id)
            if inspect.isawaitable(node):
                node = await node
        except wire.MalformedError as error:
            return _End(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Refused as refused:
            return _End(grpc.StatusCode.PERMISSION_DENIED, str(refused))
        stream = _Stream(node, make(View(self._cache, node), request))
        self._join(stream)
        cancel = self._cache.watch(node, lambda keys: self._changed(stream, keys))
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(context, stream))
                # This coroutine is the stream's only reader, without a time limit: a read that is
                # cancelled loses memory (grpc issue 43360).
                end = self._received(context, stream, request)
                while end is None:
                    content = await context.read()
                    if content is _EOF:
                        break
                    try:
                        end = self._received(context, stream, parse(content))
                    except wire.MalformedError as error:
                        end = _End(grpc.StatusCode.INVALID_ARGUMENT, str(error))
                writer.cancel()
        finally:
            cancel()
            self._leave(stream)
        return end

    def _received(self, context: Any, stream: _Stream, request: Any) -> _End | None:
        if request.type_url not in self._types:
            # Not the end of the stream: its other types are served.
            peer = _peer(context)
            if self._quiet.first((peer, request.type_url)):
                _log.warning("refused an unknown resource type", peer=peer, type=request.type_url)
            return None
        stream.subscription.request(request)
        if stream.subscription.count() > MAXIMUM_NAMES:
            return _End(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many names on one stream")
        self._tell_watchers(stream.node)
        self._advance(stream)
        return None

    def _changed(self, stream: _Stream, keys: frozenset[tuple[str, str]]) -> None:
        if stream.subscription.changed(keys):
            self._advance(stream)

    def _advance(self, stream: _Stream) -> None:
        """Put what is to be sent into the outbox, and tell how the node stands."""
        stream.outbox.extend(stream.subscription.poll())
        if stream.outbox:
            stream.wake.set()
        if self._streams[stream.node][-1] is stream:
            self._publish(stream)

    def _encode(self, stream: _Stream, response: Response) -> bytes:
        if isinstance(stream.subscription, StateOfTheWorld):
            fields = map(self.encoder.plain, response.resources)
            content = wire.state_of_the_world_response(
                response.type_url, response.nonce, response.version, fields
            )
        else:
            fields = map(self.encoder.delta, response.resources)
            content = wire.delta_response(response.type_url, response.nonce, fields, response.removed)
        self.sent_messages += 1
        self.sent_bytes += len(content)
        return content

    async def _write(self, context: Any, stream: _Stream) -> None:
        while True:
            await stream.wake.wait()
            stream.wake.clear()
            while stream.outbox:
                response = stream.outbox.popleft()
                # Put together now, and not kept in a variable: what a thousand streams are to be sent is
                # never there all at once, nor the last of it while they wait.
                try:
                    if sum(len(each.body) for each in response.resources) > _LARGE:
                        async with self._large.place():
                            await context.write(self._encode(stream, response))
                    else:
                        await context.write(self._encode(stream, response))
                except grpc.aio.BaseError:
                    return  # the client is gone; the reader hears of it too and ends the stream

    # -- nodes -------------------------------------------------------------------------------------

    def _join(self, stream: _Stream) -> None:
        self._streams.setdefault(stream.node, []).append(stream)
        self._publish(stream)

    def _leave(self, stream: _Stream) -> None:
        streams = self._streams[stream.node]
        streams.remove(stream)
        if streams:
            self._publish(streams[-1])
        else:
            del self._streams[stream.node]
            self._board.set(stream.node, "disconnected")
        self._tell_watchers(stream.node)

    def _publish(self, stream: _Stream) -> None:
        subscription = stream.subscription
        errors = subscription.errors()
        moving = subscription.moving
        self._board.set(
            stream.node,
            "rejected" if errors else "pending" if moving or not subscription.settled else "synced",
            errors,
            moving,
        )

    def _tell_watchers(self, node: str) -> None:
        for callback in tuple(self._watchers.get(node, ())):
            callback()


def _peer(context: Any) -> str:
    """The peer without its port, which is another one on every try."""
    peer = str(context.peer())
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer


class _Handlers(grpc.GenericRpcHandler):
    """Serialisers are left out: what comes and goes is bytes."""

    def __init__(self, methods: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._methods = methods

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._methods.get(handler_call_details.method)
