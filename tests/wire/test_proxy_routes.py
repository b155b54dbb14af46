"""Everything that a route may do, in the real Envoy between a client and two servers on loopback."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import h11
import httpx2
import pytest

from tests.envoy import Proxy, bootstrap, running, unprivileged
from tests.unit.xds import views
from tests.wire.application import free_port, http_application
from tests.wire.test_proxy_gateway import gateway, on_loopback
from tulle.mesh.view import (
    MISSING_CLUSTER,
    Cors,
    Fault,
    Forward,
    HeaderChanges,
    MatchKind,
    Mirror,
    PathChange,
    PathRewrite,
    PortChoice,
    Redirect,
    RequestMatch,
    Respond,
    Retry,
    Route,
    Session,
    ValueMatch,
    WeightedCluster,
)
from tulle.xds.translate import translate_gateway

ONE = (WeightedCluster("one"),)


def under(path: str, kind: MatchKind = MatchKind.PATH_PREFIX) -> RequestMatch:
    return RequestMatch(path=ValueMatch(kind, path))


def rewritten(path: str, change: PathRewrite, kind: MatchKind = MatchKind.PATH_PREFIX) -> Route:
    return Route(path, under(path, kind), Forward(ONE, path=change), views.HERE)


def retried(path: str, retry: Retry | None, attempt_seconds: float | None = None) -> Route:
    return Route(path, under(path), Forward(ONE, attempt_seconds=attempt_seconds, retry=retry), views.HERE)


def redirected(path: str, action: Redirect) -> Route:
    return Route(path, under(path), action, views.HERE)


ROUTES = (
    Route(
        "headers",
        under("/headers"),
        Forward(
            (
                WeightedCluster(
                    "one",
                    request=HeaderChanges(set=(("x-order", "cluster"),), remove=("x-route",)),
                    response=HeaderChanges(add=(("x-answer", "cluster"),)),
                    authority="backend.example",
                ),
            )
        ),
        views.HERE,
        request=HeaderChanges(
            set=(
                ("x-order", "route"),
                ("x-route", "here"),
                ("x-client", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
            ),
            add=(("x-both", "added"), ("x-share", "100%%")),
            remove=("x-gone",),
        ),
        response=HeaderChanges(set=(("x-answer", "route"),), remove=("content-type",)),
    ),
    rewritten("/full", PathRewrite(PathChange.FULL, "/else\\where")),
    rewritten("/elements", PathRewrite(PathChange.PREFIX, "/xyz/")),
    rewritten("/removed", PathRewrite(PathChange.PREFIX, "/")),
    rewritten("/text", PathRewrite(PathChange.PREFIX, "/t"), MatchKind.PREFIX),
    rewritten("/regex", PathRewrite(PathChange.REGEX, r"/\2/\1", r"/regex/([^/]+)/([^/]+)")),
    Route("host", under("/host"), Forward(ONE, authority="rewritten.example"), views.HERE),
    redirected("/r/host", Redirect(301, authority="other.example")),
    redirected("/r/scheme", Redirect(302, scheme="https", port=PortChoice.SCHEME)),
    redirected("/r/port", Redirect(307, port=8443)),
    redirected("/r/full", Redirect(303, path=PathRewrite(PathChange.FULL, "/full"))),
    redirected("/r/prefix", Redirect(308, path=PathRewrite(PathChange.PREFIX, "/p"))),
    redirected("/r/removed", Redirect(302, path=PathRewrite(PathChange.PREFIX, ""))),
    Route(
        "call",
        under("/shop.Ratings/", MatchKind.PREFIX),
        Forward((WeightedCluster("one", 1), WeightedCluster(MISSING_CLUSTER, 1)), missing_status=503),
        views.HERE,
    ),
    Route("answer", under("/answer"), Respond(418, b"tea " * 2000), views.HERE),
    Route("bytes", under("/bytes"), Respond(200, b"\xff\x00"), views.HERE),
    Route(
        "mirror",
        under("/mirror"),
        Forward(ONE, mirrors=(Mirror("two"), Mirror("two", 500_000))),
        views.HERE,
    ),
    Route(
        "cors",
        under("/cors"),
        Forward(ONE),
        views.HERE,
        cors=Cors(
            origins=(
                ValueMatch(MatchKind.EXACT, "https://good.example"),
                ValueMatch(MatchKind.REGEX, r"https://.*\.fine\.example"),
            ),
            methods=("GET", "PUT"),
            headers=("x-a", "x-b"),
            expose=("x-c",),
            max_age_seconds=600,
            credentials=True,
        ),
        fault=Fault(abort_status=503, abort_per_million=0),
    ),
    Route(
        "any",
        under("/anywhere"),
        Forward(ONE),
        views.HERE,
        cors=Cors(
            (ValueMatch(MatchKind.PREFIX),),
            ("*",),
            ("*",),
            credentials=True,
            forward_unmatched_preflights=False,
        ),
    ),
    Route(
        "abort",
        under("/abort"),
        Forward(ONE),
        views.HERE,
        fault=Fault(abort_status=555, abort_per_million=1_000_000),
    ),
    Route(
        "half",
        under("/half"),
        Forward(ONE),
        views.HERE,
        fault=Fault(abort_status=555, abort_per_million=500_000),
    ),
    Route(
        "delay",
        under("/delay"),
        Forward(ONE),
        views.HERE,
        fault=Fault(delay_seconds=0.1, delay_per_million=1_000_000),
    ),
    Route(
        "refused",
        under("/grpc"),
        Forward(ONE),
        views.HERE,
        fault=Fault(abort_grpc_status=8, abort_per_million=1_000_000),
    ),
    Route(
        "cookie",
        under("/cookie"),
        Forward(
            (WeightedCluster("both"),), session=Session("whom", cookie_seconds=60, cookie_path="/cookie")
        ),
        views.HERE,
    ),
    Route(
        "token",
        under("/token"),
        Forward((WeightedCluster("both"),), session=Session("x-whom", cookie=False)),
        views.HERE,
    ),
    retried("/retry/own", None),
    retried("/retry/statuses", Retry(2, statuses=(503,), backoff_seconds=0.001)),
    retried("/retry/words", Retry(2, conditions=("5xx",), backoff_seconds=0.001, other_localities=True)),
    retried("/retry/never", Retry(0)),
    retried("/retry/slow", Retry(0), attempt_seconds=0.2),
    retried("/retry/again", Retry(1, conditions=("reset",), tried_hosts_again=True), attempt_seconds=0.2),
    retried("/retry/default", None, attempt_seconds=0.2),
)


class Mesh:
    """A client, the proxy, and what its two servers saw."""

    proxy: Proxy

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self.seen: dict[str, list[h11.Request]] = {"one": [], "two": []}

    async def ask(self, path: str, method: str = "GET", **headers: str) -> httpx2.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(method, path, headers={"host": "shop.example", **sent})

    async def path(self, path: str) -> str:
        return (await self.ask(path)).json()["path"]

    async def location(self, path: str, **headers: str) -> tuple[int, str]:
        answer = await self.ask(path, **headers)
        return answer.status_code, answer.headers["location"]

    def answering(self, name: str) -> Callable[[h11.Request], Awaitable[int]]:
        async def status(request: h11.Request) -> int:
            self.seen[name].append(request)
            if b"slow" in request.target or b"again" in request.target or b"default" in request.target:
                await asyncio.sleep(5)
            return 503 if b"retry" in request.target else 200

        return status


def together(clusters: list[dict[str, Any]]) -> dict[str, Any]:
    """A cluster `both` with the endpoints of all others."""
    parts = [one["load_assignment"]["endpoints"][0]["lb_endpoints"] for one in clusters]
    endpoints = [endpoint for part in parts for endpoint in part]
    assignment = {"cluster_name": "both", "endpoints": [{"lb_endpoints": endpoints}]}
    return clusters[0] | {"name": "both", "load_assignment": assignment}


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    port = free_port()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}"))
        made = Mesh(client)
        applications = {
            name: await stack.enter_async_context(http_application(name, status=made.answering(name)))
            for name in ("one", "two")
        }
        tree = unprivileged(bootstrap(translate_gateway(gateway(port, applications, ROUTES))))
        tree["static_resources"]["clusters"].append(together(tree["static_resources"]["clusters"]))
        made.proxy = await stack.enter_async_context(running(on_loopback(tree, tmp_path), tmp_path))
        yield made


async def test_headers_are_removed_then_set_then_added_and_the_clusters_come_last(mesh: Mesh) -> None:
    answer = await mesh.ask("/headers", x_both="there", x_gone="yes", x_order="client")
    received = answer.json()["headers"]
    assert received["x-order"] == "cluster"
    assert "x-route" not in received
    assert received["x-client"] == "127.0.0.1"
    assert received["x-share"] == "100%"
    assert "x-gone" not in received
    sent = mesh.seen["one"][0].headers
    assert [value for name, value in sent if name == b"x-both"] == [b"there", b"added"]
    assert received["host"] == "backend.example"
    assert answer.headers.get_list("x-answer") == ["route", "cluster"]
    assert "content-type" not in answer.headers


async def test_paths_are_rewritten_and_queries_stay(mesh: Mesh) -> None:
    assert await mesh.path("/full/of/it?a=/b") == "/else\\where?a=/b"
    assert await mesh.path("/elements/below?x=y") == "/xyz/below?x=y"
    assert await mesh.path("/elements") == "/xyz"
    assert await mesh.path("/elements/") == "/xyz/"
    assert await mesh.path("/removed/below?x=/y") == "/below?x=/y"
    assert await mesh.path("/removed/") == "/"
    assert await mesh.path("/removed?x=y") == "/?x=y"
    assert await mesh.path("/textual") == "/tual"
    assert await mesh.path("/regex/a/b?c=d") == "/b/a?c=d"
    assert (await mesh.ask("/host")).json()["headers"]["host"] == "rewritten.example"


async def test_redirects(mesh: Mesh) -> None:
    assert await mesh.location("/r/host/x?y=z") == (301, "http://other.example/r/host/x?y=z")
    assert await mesh.location("/r/scheme") == (302, "https://shop.example/r/scheme")
    assert await mesh.location("/r/scheme", host="shop.example:8080") == (
        302,
        "https://shop.example:443/r/scheme",
    )
    assert await mesh.location("/r/port", host="shop.example:80") == (307, "http://shop.example:8443/r/port")
    assert await mesh.location("/r/full/of?a=b") == (303, "http://shop.example/full?a=b")
    assert await mesh.location("/r/prefix/of?a=b") == (308, "http://shop.example/p/of?a=b")
    assert await mesh.location("/r/removed/of?a=b") == (302, "http://shop.example/of?a=b")
    assert await mesh.location("/r/removed") == (302, "http://shop.example/")


async def test_answers_in_place(mesh: Mesh) -> None:
    answer = await mesh.ask("/answer")
    assert (answer.status_code, answer.content) == (418, b"tea " * 2000)
    assert (await mesh.ask("/bytes")).content == b"\xff\x00"
    assert not mesh.seen["one"]


async def test_copies_are_sent_under_the_same_name(mesh: Mesh) -> None:
    answers = [(await mesh.ask("/mirror")).json()["server"] for _ in range(40)]
    assert answers == ["one"] * 40
    while len(mesh.seen["two"]) <= 40:  # all of the first mirror's, and some of the second's
        await asyncio.sleep(0.01)
    assert len(mesh.seen["two"]) < 80
    assert {dict(one.headers)[b"host"] for one in mesh.seen["two"]} == {b"shop.example"}


async def test_cross_origin_requests(mesh: Mesh) -> None:
    good, fine, bad = "https://good.example", "https://a.fine.example", "https://bad.example"
    for origin in (good, fine):
        preflight = await mesh.ask("/cors", "OPTIONS", origin=origin, access_control_request_method="PUT")
        assert preflight.status_code == 200
        allowed = {key: value for key, value in preflight.headers.items() if key.startswith("access-")}
        assert allowed == {
            "access-control-allow-origin": origin,
            "access-control-allow-methods": "GET,PUT",
            "access-control-allow-headers": "x-a,x-b",
            "access-control-max-age": "600",
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": "x-c",
        }
    assert not mesh.seen["one"]
    simple = await mesh.ask("/cors", origin=good)
    assert simple.json()["server"] == "one"
    assert simple.headers["access-control-allow-origin"] == good
    assert simple.headers["access-control-expose-headers"] == "x-c"
    refused = await mesh.ask("/cors", "OPTIONS", origin=bad, access_control_request_method="PUT")
    assert refused.json()["server"] == "one"  # the application's own business
    assert not [name for name in refused.headers if name.startswith("access-")]
    anywhere = await mesh.ask(
        "/anywhere",
        "OPTIONS",
        origin=bad,
        access_control_request_method="PUT",
        access_control_request_headers="x-a, x-b",
    )
    assert anywhere.headers["access-control-allow-origin"] == bad
    assert anywhere.headers["access-control-allow-methods"] == "PUT"  # with credentials `*` means itself
    assert anywhere.headers["access-control-allow-headers"] == "x-a, x-b"
    elsewhere = await mesh.ask("/host", origin=good)
    assert not [name for name in elsewhere.headers if name.startswith("access-")]


async def test_faults(mesh: Mesh) -> None:
    assert (await mesh.ask("/abort")).status_code == 555
    assert not mesh.seen["one"]
    seen = Counter([(await mesh.ask("/half")).status_code for _ in range(60)])
    assert seen[200] + seen[555] == 60
    assert seen[200] and seen[555]
    assert (await mesh.ask("/delay")).status_code == 200
    assert await mesh.proxy.statistic("fault.delays_injected") == 1
    refused = await mesh.ask("/grpc", "POST", content_type="application/grpc")
    assert refused.headers["grpc-status"] == "8"


async def servers(mesh: Mesh, path: str, requests: int, **headers: str) -> set[str]:
    return {(await mesh.ask(path, **headers)).json()["server"] for _ in range(requests)}


async def test_a_call_without_a_backend_is_unavailable(mesh: Mesh) -> None:
    answers = [
        await mesh.ask("/shop.Ratings/Rate", "POST", content_type="application/grpc") for _ in range(40)
    ]
    assert {each.headers.get("grpc-status") for each in answers} == {None, "14"}


async def test_sessions_stay_with_the_endpoint_that_they_met(mesh: Mesh) -> None:
    first = await mesh.ask("/cookie")
    cookie = first.headers["set-cookie"]
    assert "Path=/cookie" in cookie
    assert "Max-Age=60" in cookie
    mesh.client.cookies.clear()
    token = cookie.partition(";")[0]
    assert await servers(mesh, "/cookie", 20, cookie=token) == {first.json()["server"]}
    mesh.client.cookies.clear()
    assert await servers(mesh, "/cookie", 40, cookie="") == {"one", "two"}
    first = await mesh.ask("/token")
    token = first.headers["x-whom"]
    assert await servers(mesh, "/token", 20, x_whom=token) == {first.json()["server"]}


@pytest.mark.parametrize(
    ("path", "status", "attempts"),
    [
        ("/retry/own", 503, 1),  # an answer, which the application gave itself
        ("/retry/statuses", 503, 3),
        ("/retry/words", 503, 3),
        ("/retry/never", 503, 1),
        ("/retry/slow", 504, 1),
        ("/retry/again", 504, 2),
        ("/retry/default", 504, 1),
    ],
)
async def test_requests_are_tried_again_as_written(mesh: Mesh, path: str, status: int, attempts: int) -> None:
    assert (await mesh.ask(path)).status_code == status
    assert len(mesh.seen["one"]) == attempts
