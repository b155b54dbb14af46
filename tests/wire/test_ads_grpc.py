"""gRPC's own xDS client (`xds:///`) as a client of the state-of-the-world service (decision 20)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from google.protobuf import json_format

# Any messages inside are read from JSON, which needs their types to be imported.
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401  # isort: skip
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # isort: skip
    http_connection_manager_pb2,  # noqa: F401
)

from tests.wire.ads import serving
from tulle.ads.cache import Cache
from tulle.ads.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource

NODE = "grpc"
ADS = {"ads": {}, "resource_api_version": "V3"}
FILTERS = "type.googleapis.com/envoy.extensions.filters"


def resource(type_url: str, name: str, message: Any, content: dict[str, Any]) -> Resource:
    return Resource(type_url, name, json_format.ParseDict(content, message()).SerializeToString())


def cluster(name: str) -> Resource:
    content = {"name": name, "type": "EDS", "eds_cluster_config": {"eds_config": ADS}}
    return resource(CLUSTER, name, cluster_pb2.Cluster, content)


def endpoints(name: str, port: int) -> Resource:
    socket = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    locality = {
        "locality": {"region": "here"},
        "load_balancing_weight": 1,
        "lb_endpoints": [{"health_status": "HEALTHY", "endpoint": {"address": socket}}],
    }
    content = {"cluster_name": name, "endpoints": [locality]}
    return resource(ENDPOINT, name, endpoint_pb2.ClusterLoadAssignment, content)


def route(name: str, to: str) -> Resource:
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": ""}, "route": {"cluster": to}}],
    }
    return resource(ROUTE, name, route_pb2.RouteConfiguration, {"name": name, "virtual_hosts": [host]})


def listener(name: str, routes: str) -> Resource:
    manager = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "rds": {"route_config_name": routes, "config_source": ADS},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"}}],
    }
    content = {"name": name, "api_listener": {"api_listener": manager}}
    return resource(LISTENER, name, listener_pb2.Listener, content)


@contextlib.asynccontextmanager
async def backend(name: str, at: str = "127.0.0.1:0") -> AsyncIterator[int]:
    """A gRPC server that says its name; yields its port."""

    async def who(_request: bytes, _context: Any) -> bytes:
        return name.encode()

    server = grpc.aio.server()
    handlers = {"Who": grpc.unary_unary_rpc_method_handler(who)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    port = server.add_insecure_port(at)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def client(
    socket: Path, name: str, bootstrap: dict[str, Any] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    bootstrap = bootstrap or {
        "xds_servers": [
            {
                "server_uri": f"unix:{socket}",
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }
        ],
        "node": {"id": NODE, "metadata": {"GENERATOR": "grpc"}},
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("grpc_xds_client.py")),
        name,
        env=os.environ | {"GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(bootstrap)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def call(process: asyncio.subprocess.Process, header: str = "") -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{header}\n".encode())
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


async def test_grpc_resolves_a_name_and_follows_a_change(tmp_path: Path) -> None:
    cache = Cache()
    cache.assign(NODE, ("part",))
    async with backend("one") as one, backend("two") as two, serving(cache, tmp_path / "s") as server:
        base = [listener("echo", "r"), cluster("a"), endpoints("a", one)]
        cache.put("part", [*base, route("r", "a")])
        async with client(tmp_path / "s", "echo") as process:
            assert await call(process) == "one"
            assert await server.wait_synced([NODE], 20) == {}
            cache.put("part", [*base, route("r", "b"), cluster("b"), endpoints("b", two)])
            answers = [await call(process)]
            while answers[-1] == "one":
                answers.append(await call(process))
            assert set(answers) <= {"one", "two"}, "no call fails because of the change"
            assert await server.wait_synced([NODE], 20) == {}
            subscription = server.subscription(NODE)
            assert subscription is not None
            assert set(subscription.acknowledged(LISTENER)) == {"echo"}
            assert set(subscription.acknowledged(ROUTE)) == {"r"}
