"""grpcio's own xDS client, without any proxy, against the discovery service."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from tests.unit.xds import views
from tests.wire.ads import serving
from tulle.ads.cache import Cache
from tulle.ads.resource import Resource
from tulle.mesh.view import (
    Endpoint,
    EndpointSet,
    MatchKind,
    Outbound,
    Protocol,
    RequestMatch,
    RouteTable,
    ValueMatch,
)
from tulle.xds.translate import translate_endpoints, translate_proxyless

NODE = "proxyless"
HEALTH = "/grpc.health.v1.Health"


def cluster(version: str) -> str:
    return f"outbound|50051|{version}|ratings.shop.svc.cluster.local"


def outbound() -> Outbound:
    service = RequestMatch(path=ValueMatch(MatchKind.PATH_PREFIX, HEALTH))
    second = replace(views.header("version", "two"), path=service.path)
    return Outbound(
        scope="outbound/shop",
        allow_any=True,
        listeners=(),
        route_tables=(
            RouteTable(
                "50051",
                (
                    views.host(
                        "ratings.shop.svc.cluster.local:50051",
                        views.route("second", second, (cluster("two"), 1)),
                        views.route("first", service, (cluster("one"), 1)),
                        domains=("ratings.shop.svc.cluster.local", "ratings"),
                    ),
                    views.host("allow_any", domains=("*",)),
                ),
                views.HERE,
            ),
        ),
        clusters=tuple(
            views.eds_cluster(cluster(one), Protocol.GRPC, "tulle-http") for one in ("one", "two")
        ),
    )


async def application(stack: AsyncExitStack, service: str) -> int:
    """A gRPC server whose health service knows this one name. Returns its port."""
    server = grpc.aio.server()
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, None)
    return port


async def test_a_grpc_client_without_a_proxy_is_routed_and_balanced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = tmp_path / "xds.sock"
    server = {"server_uri": f"unix:{socket}", "channel_creds": [{"type": "insecure"}]}
    monkeypatch.setenv(
        "GRPC_XDS_BOOTSTRAP_CONFIG",
        json.dumps({"xds_servers": [server | {"server_features": ["xds_v3"]}], "node": {"id": NODE}}),
    )
    async with AsyncExitStack() as stack:
        ports = {name: await application(stack, name) for name in ("one", "other-one", "two")}
        sets = (
            EndpointSet(
                cluster("one"),
                tuple(Endpoint("127.0.0.1", ports[name], mtls=True) for name in ("one", "other-one")),
                views.HERE,
            ),
            EndpointSet(cluster("two"), (Endpoint("127.0.0.1", ports["two"], mtls=False),), views.HERE),
        )
        translated = [
            *translate_proxyless(outbound()),
            *(one for each in sets for one in translate_endpoints(each)),
        ]
        cache = Cache()
        cache.put("all", [Resource(one.type_url, one.name, one.body, one.needs) for one in translated])
        cache.assign(NODE, ("all",))
        await stack.enter_async_context(serving(cache, socket))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel("xds:///ratings:50051"))
        stub = health_pb2_grpc.HealthStub(channel)

        async def known(service: str, *metadata: tuple[str, str]) -> bool:
            request = health_pb2.HealthCheckRequest(service=service)
            try:
                await stub.Check(request, metadata=metadata, timeout=20, wait_for_ready=True)
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.NOT_FOUND, error.details()
                return False
            return True

        assert await known("two", ("version", "two"))
        assert not await known("two")
        answers = Counter([await known("one") for _ in range(20)])
        assert answers[True] and answers[False], "round robin reaches both"
