"""The discovery service on real gRPC, with scripted clients."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from envoy.service.discovery.v3 import discovery_pb2
from structlog.testing import capture_logs

from tests.wire.ads import EOF, connected, serving
from tulle.ads import wire
from tulle.ads.cache import Cache
from tulle.ads.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource
from tulle.ads.server import MAXIMUM_REQUEST, Refused, Server
from tulle.ads.status import NodeStatus
from tulle.ads.wire import DeltaRequest

discovery: Any = discovery_pb2
A = Resource(CLUSTER, "a", b"1", ((ENDPOINT, "a"),))
E = Resource(ENDPOINT, "a", b"1")


def cache_of(*resources: Resource, nodes: tuple[str, ...] = ("node",)) -> Cache:
    cache = Cache()
    cache.put("part", resources)
    for node in nodes:
        cache.assign(node, ("part",))
    return cache


async def ended(client: Any) -> grpc.aio.AioRpcError:
    """The error that the server ends the stream with."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        while await client.call.read() is not EOF:
            pass
    return error.value


async def test_a_client_gets_what_it_asks_for_and_its_status_is_told(tmp_path: Path) -> None:
    heard: list[NodeStatus] = []
    cache = cache_of(A, E)
    async with (
        serving(cache, tmp_path / "s", observe=heard.append) as server,
        connected(tmp_path / "s", "node") as client,
    ):
        await client.say(DeltaRequest(CLUSTER))
        assert (await client.accept()).resources == (A,)
        await client.say(DeltaRequest(ENDPOINT, ("a",)))
        assert (await client.accept()).resources == (E,)
        await client.say(DeltaRequest(LISTENER))
        assert (await client.accept()).resources == ()
        assert await server.wait_synced(["node"], 10) == {}
        cache.update("part", (), [A.key, E.key])
        assert server.status("node").state == "pending"
        assert (await client.accept()).removed == ("a",)
        client.call.cancel()
        while server.status("node").state != "disconnected":
            await asyncio.sleep(0)
    states = [status.state for status in heard]
    assert states[0] == "pending"
    assert "synced" in states
    assert states[-1] == "disconnected"


async def test_apply_can_wait_and_say_who_is_missing_and_who_refused(tmp_path: Path) -> None:
    cache = cache_of(nodes=("one", "two"))
    async with (
        serving(cache, tmp_path / "s") as server,
        connected(tmp_path / "s", "one") as one,
        connected(tmp_path / "s", "two") as two,
    ):
        for client in (one, two):
            for type_url in (CLUSTER, LISTENER):
                await client.say(DeltaRequest(type_url))
                await client.accept()
        assert await server.wait_synced(["one", "two"], 10) == {}
        cache.put("part", [Resource(CLUSTER, "a", b"2")])
        missing: list[set[str]] = []
        waiting = asyncio.create_task(
            server.wait_synced(["one", "two"], 10, lambda left: missing.append(set(left)))
        )
        await one.accept()
        response = await two.hear()
        await two.say(DeltaRequest(CLUSTER, nonce=response.nonce, refusal="I will not"))
        left = await waiting
        assert left.keys() == {"two"}
        assert left["two"].errors == ((CLUSTER, "I will not", ("a",)),)
        assert missing[0] == {"one", "two"}
        assert missing[-1] == set()
        assert server.statuses().keys() == {"one", "two"}
        assert server.connected() == {"one", "two"}


async def test_who_may_not_speak_for_a_node_is_refused_and_told_of_once(tmp_path: Path) -> None:
    def authorize(_context: Any, node: str) -> str:
        if node != "node":
            raise Refused(f"no node {node} is placed on this host")
        return node

    with capture_logs() as logs:
        async with serving(cache_of(A), tmp_path / "s", authorize=authorize) as server:
            for _ in range(3):
                async with connected(tmp_path / "s", "stranger") as client:
                    await client.say(DeltaRequest(CLUSTER))
                    assert (await ended(client)).code() is grpc.StatusCode.PERMISSION_DENIED
            assert server.connected() == frozenset()
            assert server.statuses() == {}
    assert [entry["reason"] for entry in logs] == ["no node stranger is placed on this host"]


async def test_a_socket_may_be_the_identity_whatever_its_client_says(tmp_path: Path) -> None:
    cache = cache_of(A)
    other = Resource(CLUSTER, "other", b"1")
    cache.put("secret", [other])
    cache.assign("other", ("secret",))
    server = Server(cache, authorize=lambda _context, node: node)
    grpc_server = grpc.aio.server()
    grpc_server.add_generic_rpc_handlers((server.handlers("node"),))
    grpc_server.add_insecure_port(f"unix:{tmp_path / 's'}")
    await grpc_server.start()
    async with connected(tmp_path / "s", "other") as client:
        await client.say(DeltaRequest(CLUSTER))
        assert (await client.hear()).resources == (A,)
        assert server.connected() == {"node"}
    await grpc_server.stop(None)


async def test_an_authorizer_may_have_to_wait(tmp_path: Path) -> None:
    async def authorize(_context: Any, node: str) -> str:
        await asyncio.sleep(0)
        return node

    async with (
        serving(cache_of(A), tmp_path / "s", authorize=authorize),
        connected(tmp_path / "s", "node") as client,
    ):
        await client.say(DeltaRequest(CLUSTER))
        assert (await client.hear()).resources == (A,)


@pytest.mark.parametrize("first", [True, False])
async def test_garbage_ends_the_stream_and_changes_nothing(tmp_path: Path, first: bool) -> None:
    with capture_logs() as logs:
        async with serving(cache_of(A), tmp_path / "s") as server:
            for _ in range(2):
                async with connected(tmp_path / "s", "node") as client:
                    if not first:
                        await client.say(DeltaRequest(CLUSTER))
                        await client.accept()
                    await client.call.write(b"\xff\xff\xff")
                    assert (await ended(client)).code() is grpc.StatusCode.INVALID_ARGUMENT
            assert server.connected() == frozenset()
            async with connected(tmp_path / "s", "node") as client:
                await client.say(DeltaRequest(CLUSTER))
                assert (await client.hear()).resources == (A,)
    assert len(logs) == 1


async def test_a_message_that_is_too_long_is_refused(tmp_path: Path) -> None:
    async with serving(cache_of(A), tmp_path / "s") as server:
        async with connected(tmp_path / "s", "node") as client:
            await client.call.write(b"\0" * (MAXIMUM_REQUEST + 1))
            assert (await ended(client)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert server.connected() == frozenset()


async def test_an_unknown_type_is_not_served_and_the_others_are(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with serving(cache_of(A), tmp_path / "s"), connected(tmp_path / "s", "node") as client:
            for _ in range(3):
                await client.say(DeltaRequest("type.googleapis.com/envoy.service.runtime.v3.Runtime", ("x",)))
            await client.say(DeltaRequest(CLUSTER))
            assert (await client.hear()).resources == (A,)
    assert [entry["type"] for entry in logs] == ["type.googleapis.com/envoy.service.runtime.v3.Runtime"]


async def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    async with (
        serving(cache_of(A), tmp_path / "s"),
        grpc.aio.insecure_channel(f"unix:{tmp_path / 's'}") as channel,
    ):
        call = channel.stream_stream("/envoy.service.discovery.v3.AggregatedDiscoveryService/Nothing")()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call.read()
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_newest_stream_of_a_node_counts(tmp_path: Path) -> None:
    async with serving(cache_of(A), tmp_path / "s") as server:
        async with connected(tmp_path / "s", "node") as old:
            await old.say(DeltaRequest(CLUSTER))
            await old.accept()
            async with connected(tmp_path / "s", "node") as new:
                for type_url in (CLUSTER, LISTENER):
                    await new.say(DeltaRequest(type_url))
                    await new.accept()
                assert await server.wait_synced(["node"], 10) == {}
        while server.connected():
            await asyncio.sleep(0)
        assert server.status("node").state == "disconnected"
        server.forget("node")
        assert server.statuses() == {}


async def test_a_change_for_some_of_a_thousand_streams_is_serialised_once(tmp_path: Path) -> None:
    """Nobody is told but those who asked for what changed."""
    nodes = [f"node-{number}" for number in range(1000)]
    concerned = set(nodes[::50])
    cache = cache_of(E, Resource(ENDPOINT, "b", b"1"), nodes=tuple(nodes))
    async with serving(cache, tmp_path / "s") as server, contextlib.AsyncExitStack() as stack:
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"unix:{tmp_path / 's'}"))
        clients: dict[str, Any] = {}
        for node in nodes:
            client = clients[node] = await stack.enter_async_context(connected(tmp_path / "s", node, channel))
            name = "a" if node in concerned else "b"
            versions = {name: E.version}
            await client.say(DeltaRequest(ENDPOINT, (name,), versions=versions))
        assert await server.wait_synced(nodes, 60) == {}
        assert (server.encoder.serialised, server.sent_messages) == (0, 0)

        cache.update("part", [Resource(ENDPOINT, "a", b"2")])
        for node in concerned:
            assert [found.body for found in (await clients[node].accept()).resources] == [b"2"]
        assert await server.wait_synced(nodes, 60) == {}
        assert server.encoder.serialised == 1
        assert server.sent_messages == len(concerned)


async def test_what_two_nodes_share_is_serialised_once_for_both(tmp_path: Path) -> None:
    cache = cache_of(Resource(CLUSTER, "fresh", b"1"), nodes=("one", "two"))
    async with serving(cache, tmp_path / "s") as server:
        for node in ("one", "two"):
            async with connected(tmp_path / "s", node) as client:
                await client.say(DeltaRequest(CLUSTER))
                await client.hear()
        assert server.encoder.serialised == 1


async def test_the_state_of_the_world_is_served_beside_it(tmp_path: Path) -> None:
    async with (
        serving(cache_of(A, Resource(ROUTE, "r", b"1")), tmp_path / "s") as server,
        grpc.aio.insecure_channel(f"unix:{tmp_path / 's'}") as channel,
    ):
        call = channel.stream_stream(
            wire.STATE_OF_THE_WORLD,
            request_serializer=discovery.DiscoveryRequest.SerializeToString,
            response_deserializer=discovery.DiscoveryResponse.FromString,
        )()
        request = discovery.DiscoveryRequest(type_url=CLUSTER, resource_names=["a"])
        request.node.id = "node"
        await call.write(request)
        response = await call.read()
        assert [found.value for found in response.resources] == [b"1"]
        await call.write(
            discovery.DiscoveryRequest(
                type_url=CLUSTER,
                resource_names=["a"],
                response_nonce=response.nonce,
                version_info=response.version_info,
            )
        )
        assert await server.wait_synced(["node"], 10) == {}


async def test_a_server_that_stops_leaves_no_stream_behind(tmp_path: Path) -> None:
    server: Server
    async with serving(cache_of(A), tmp_path / "s") as server:
        clients = await asyncio.gather(*(_asking(tmp_path / "s") for _ in range(5)))
    while server.connected():
        await asyncio.sleep(0)
    for client, stack in clients:
        with contextlib.suppress(grpc.aio.AioRpcError):
            while await client.call.read() is not EOF:
                pass
        await stack.aclose()


async def _asking(socket: Path) -> tuple[Any, contextlib.AsyncExitStack]:
    stack = contextlib.AsyncExitStack()
    client = await stack.enter_async_context(connected(socket, "node"))
    await client.say(DeltaRequest(CLUSTER))
    await client.hear()
    return client, stack


async def test_a_client_that_does_not_read_is_owed_the_last_state_and_no_more(tmp_path: Path) -> None:
    size = 100_000
    cache = cache_of()
    async with serving(cache, tmp_path / "s") as server, connected(tmp_path / "s", "node") as client:
        await client.say(DeltaRequest(CLUSTER))
        while server.sent_messages == 0:
            await asyncio.sleep(0)
        for number in range(500):
            cache.put("part", [Resource(CLUSTER, "a", number.to_bytes(4) * (size // 4))])
            await asyncio.sleep(0)
        assert server.sent_messages == 1
        assert server.sent_bytes < 2 * size
        await client.accept()
        last = await client.accept()
        assert last.resources[0].body == (499).to_bytes(4) * (size // 4)
        assert server.sent_messages == 2
