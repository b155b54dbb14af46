"""A translated gateway in the real Envoy, between a client and two servers on loopback."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.envoy import bootstrap, running, unprivileged
from tests.unit.xds import views
from tests.wire.application import free_port, http_application
from tulle.mesh.view import (
    MISSING_CLUSTER,
    Cluster,
    Discovery,
    Gateway,
    GatewayChain,
    GatewayListener,
    HttpChain,
    MatchKind,
    NamedMatch,
    Protocol,
    RequestMatch,
    Route,
    RouteTable,
    ValueMatch,
)
from tulle.xds.translate import translate_gateway


def at(kind: MatchKind, path: str, ignore_case: bool = False) -> RequestMatch:
    return RequestMatch(path=ValueMatch(kind, path, ignore_case))


def query(name: str, match: ValueMatch) -> RequestMatch:
    return RequestMatch(query=(NamedMatch(name, match),))


ROUTES = (
    views.route("header", views.header("X-Version", "two"), ("two", 1)),
    views.route("method", views.header(":method", "DELETE"), ("two", 1)),
    views.route("regex", views.header("user-agent", "(curl|wget)/.*", MatchKind.REGEX), ("two", 1)),
    views.route("present", views.header("x-canary", "", MatchKind.PRESENT), ("two", 1)),
    views.route("query", query("version", ValueMatch(MatchKind.EXACT, "two")), ("two", 1)),
    views.route("exact", at(MatchKind.EXACT, "/exact"), ("two", 1)),
    views.route("elements", at(MatchKind.PATH_PREFIX, "/elements/"), ("two", 1)),
    views.route("prefix", at(MatchKind.PREFIX, "/Prefix", ignore_case=True), ("two", 1)),
    views.route("pattern", at(MatchKind.REGEX, "/item/[0-9]+"), ("two", 1)),
    views.route("missing", at(MatchKind.PATH_PREFIX, "/missing"), (MISSING_CLUSTER, 1)),
    views.route("weights", at(MatchKind.EXACT, "/weights"), ("one", 80), ("two", 20)),
    views.route("half", at(MatchKind.EXACT, "/half"), ("one", 50), (MISSING_CLUSTER, 50)),
    views.route(
        "not-mobile",
        RequestMatch(
            path=ValueMatch(MatchKind.EXACT, "/without"),
            headers=(NamedMatch("x-mobile", ValueMatch(MatchKind.EXACT, "yes", invert=True)),),
        ),
        ("two", 1),
    ),
    views.route("rest", RequestMatch(), ("one", 1)),
)


def gateway(port: int, applications: dict[str, int], routes: tuple[Route, ...] = ROUTES) -> Gateway:
    listener = GatewayListener(
        f"0.0.0.0_{port}",
        port,
        "HTTP",
        (GatewayChain("http", HttpChain("http.80", "gateway"), views.HERE),),
        views.HERE,
    )
    return Gateway(
        namespace="istio-system",
        workload="istio-ingressgateway",
        address="127.0.0.1",
        identity=views.identity("gateway"),
        trust_domain=views.TRUST_DOMAIN,
        listeners=(listener,),
        route_tables=(
            RouteTable("http.80", (views.host("shop", *routes, domains=("shop.example",)),), views.HERE),
        ),
        clusters=tuple(
            Cluster(
                name,
                Discovery.STATIC,
                views.HERE,
                protocol=Protocol.HTTP,
                addresses=(("127.0.0.1", application),),
            )
            for name, application in applications.items()
        ),
    )


def on_loopback(tree: dict[str, Any], directory: Path) -> dict[str, Any]:
    for listener in tree["static_resources"]["listeners"]:
        if "pipe" in listener["address"]:
            listener["address"]["pipe"]["path"] = str(directory / "gateway.sock")
        else:
            listener["address"]["socket_address"]["address"] = "127.0.0.1"
    return tree


Get = Callable[..., Awaitable[httpx2.Response]]


@pytest.fixture
async def get(tmp_path: Path) -> AsyncIterator[Get]:
    """Ask the gateway: `get(path, method=..., headers=...)`."""
    port = free_port()
    async with AsyncExitStack() as stack:
        applications = {
            name: await stack.enter_async_context(http_application(name)) for name in ("one", "two")
        }
        tree = unprivileged(bootstrap(translate_gateway(gateway(port, applications))))
        await stack.enter_async_context(running(on_loopback(tree, tmp_path), tmp_path))
        client = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)
        )

        async def ask(path: str, method: str = "GET", **headers: str) -> httpx2.Response:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers={"host": "shop.example", **sent})

        yield ask


async def server(answer: Awaitable[httpx2.Response]) -> str:
    return (await answer).json()["server"]


async def test_every_kind_of_match_takes_what_it_should_and_nothing_else(get: Get) -> None:
    for second in (
        get("/", x_version="two"),
        get("/", method="DELETE"),
        get("/", user_agent="curl/8.1"),
        get("/", x_canary=""),
        get("/?a=b&version=two"),
        get("/exact"),
        get("/exact?with=query"),
        get("/elements"),
        get("/elements/"),
        get("/elements/below?x=y"),
        get("/prefixed"),
        get("/PREFIX"),
        get("/item/42"),
        get("/without"),
        get("/without", x_mobile="no"),
    ):
        assert await server(second) == "two"
    for first in (
        get("/", x_version="twofold"),
        get("/", user_agent="not-curl/8.1"),
        get("/?version=twofold"),
        get("/exact/"),
        get("/elementsbeside"),
        get("/item/42/more"),
        get("/without", x_mobile="yes"),
    ):
        assert await server(first) == "one"


async def test_a_missing_backend_answers_500_in_proportion(get: Get) -> None:
    assert (await get("/missing/one")).status_code == 500
    seen = Counter([(await get("/half")).status_code for _ in range(60)])
    assert seen[200] + seen[500] == 60
    assert seen[200] and seen[500]


async def test_an_unknown_host_is_not_found_and_the_port_of_a_host_does_not_matter(get: Get) -> None:
    assert (await get("/", host="other.example")).status_code == 404
    assert await server(get("/", host="shop.example:8443")) == "one"


async def test_weights_hold_within_five_standard_deviations(get: Get) -> None:
    requests, share = 1000, 0.2
    answers = await asyncio.gather(*(server(get("/weights")) for _ in range(requests)))
    deviation = math.sqrt(requests * share * (1 - share))
    assert abs(answers.count("two") - requests * share) < 5 * deviation


async def test_headers_tell_the_truth(get: Get) -> None:
    answer = await get(
        "/a/../b",
        x_envoy_upstream_rq_timeout_ms="1",
        x_envoy_peer_metadata="forged",
        x_forwarded_client_cert="URI=spiffe://forged",
        x_request_id="mine",
    )
    received = answer.json()["headers"]
    assert answer.json()["path"] == "/b"
    assert "," not in received["x-forwarded-for"]  # for a client on loopback Envoy writes its own address
    assert received["x-forwarded-proto"] == "http"
    assert received["x-request-id"] == "mine"
    assert "x-forwarded-client-cert" not in received
    assert not [
        name for name in received if name.startswith("x-envoy") and name != "x-envoy-external-address"
    ]
    assert not [name for name in answer.headers if name.startswith("x-envoy")]
    assert "server" not in answer.headers
    assert "x-request-id" not in (await get("/")).json()["headers"]


async def test_the_relay_on_the_host_hands_the_clients_address_on(get: Get, tmp_path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "gateway.sock"))
    writer.write(b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 8080\r\n")
    writer.write(b"GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert b'"x-forwarded-for": "203.0.113.7"' in answer
    assert (tmp_path / "gateway.sock").stat().st_mode & 0o777 == 0o600
