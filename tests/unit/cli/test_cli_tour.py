"""The tour of the demo, with a shop that does what the applied route says; and how `up` is asked."""

from __future__ import annotations

import json
import random
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.unit.api.fake import FakeMesh, in_thread, served, workload
from tests.unit.cli.conftest import Tulle
from tulle.agent.layout import Layout
from tulle.api.contract import GatewayStatus, ListenerStatus, Progress, Rejection, Status
from tulle.app import supervisor
from tulle.app.settings import UpOptions
from tulle.cli import client, tour, up
from tulle.cli.customer import Counts, Customer, Visit
from tulle.cli.failure import Failure
from tulle.kit import unix_http

CALLS = 20


class Shop(ThreadingHTTPServer):
    """The page, with reviews of a version drawn by the weights of the stored HTTPRoute."""

    daemon_threads = True

    def __init__(self, mesh: FakeMesh) -> None:
        self.mesh = mesh
        self.broken = False
        self.draw = random.Random(7)
        super().__init__(("127.0.0.1", 0), Page)

    def version(self) -> str:
        for item in self.mesh.objects.values():
            if item["kind"] == "HTTPRoute":
                backends = item["spec"]["rules"][0]["backendRefs"]
                names = [each["name"].removeprefix("reviews-") for each in backends]
                return self.draw.choices(names, [each["weight"] for each in backends])[0]
        return self.draw.choice(["v1", "v2", "v3"])


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Shop

    def do_GET(self) -> None:
        status = 503 if self.server.broken else 200
        page = {"reviews": {"version": self.server.version()}, "status": {"reviews": 200}}
        body = json.dumps(page).encode() if status == 200 else b"no healthy upstream"
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class TouredMesh(FakeMesh):
    """Its gateway is the shop; `ratings-1` is a process of ours, and starts again when it was killed."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop(self)
        self.victim = subprocess.Popen(["sleep", "600"])

    async def status(self) -> Status:
        restarts = 0 if self.victim.poll() is None else 1
        self.workloads = (workload("ratings-1", restarts=restarts), workload("storefront-1"))
        local = f"127.0.0.1:{self.shop.server_port}"
        listener = ListenerStatus(name="http", port=80, protocol="HTTP", local=local)
        gateway = GatewayStatus(name="shop", namespace="shop", listeners=(listener,))
        return (await super().status()).model_copy(update={"gateways": (gateway,)})


@pytest.fixture
def mesh(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Iterator[TouredMesh]:
    monkeypatch.setattr(tour, "CALLS", CALLS)
    fake = TouredMesh()
    thread = threading.Thread(target=fake.shop.serve_forever)
    thread.start()

    async def enter(request: Request) -> Response:
        assert request.path_params["name"] == "ratings-1"
        return JSONResponse({"pid": fake.victim.pid})

    agent = Starlette(routes=[Route("/v1/workloads/{namespace}/{name}/enter", enter)])
    try:
        with (
            served(fake, layout.api_socket),
            in_thread(lambda ready: unix_http.serve(agent, layout.agent_socket, ready=ready)),
        ):
            yield fake
    finally:
        fake.victim.kill()
        fake.victim.wait()
        fake.shop.shutdown()
        thread.join()
        fake.shop.server_close()


def test_the_tour_does_what_it_says(mesh: TouredMesh, capsys: pytest.CaptureFixture[str]) -> None:
    tour.walk(client.mesh())
    said = capsys.readouterr().out
    assert f"The shop is at http://127.0.0.1:{mesh.shop.server_port}/" in said
    assert said.count(f"{CALLS} calls, all answered") == 5
    assert "reviews v1  ████████████████████████████████████████ 100.0 %" in said
    assert "reviews v3  ████████████████████████████████████████ 100.0 %" in said
    assert f"kill -9 {mesh.victim.pid}, which is ratings-1" in said
    assert "calls meanwhile: no call failed." in said
    assert mesh.victim.poll() == -9


def test_a_refusing_proxy_ends_the_tour(mesh: TouredMesh, capsys: pytest.CaptureFixture[str]) -> None:
    mesh.progress = (Progress(revision=8, rejected=(Rejection(proxy="shop/a", error="bad"),), done=True),)
    with pytest.raises(Failure, match="a proxy refused the route: bad"):
        tour.walk(client.mesh())
    assert "1. Calls through the gateway" in capsys.readouterr().out


def test_a_shop_that_does_not_answer_ends_the_tour(mesh: TouredMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.shop.broken = True
    monkeypatch.setattr(tour, "WAIT_SECONDS", 0.3)
    with pytest.raises(Failure, match=r"the shop does not answer within 0.3 s"):
        tour.walk(client.mesh())


def test_a_failed_call_is_counted_and_told(mesh: TouredMesh) -> None:
    customer = Customer(f"http://127.0.0.1:{mesh.shop.server_port}/api/books/1")
    mesh.shop.broken = True
    assert customer.visit() == Visit(ok=False, failure="503 no healthy upstream")
    counts = customer.visits(3)
    assert (counts.total, counts.failed, counts.succeeded) == (3, 3, 0)
    nowhere = Customer("http://127.0.0.1:1/").visit()
    assert not nowhere.ok
    assert nowhere.failure.startswith("ConnectError")
    assert Counts.of([]).first_failure == ""


def test_the_bookshop_is_found() -> None:
    assert (tour.bookshop() / "bookshop.yaml").is_file()


def test_the_demo_does_not_touch_a_mesh_that_runs(tulle: Tulle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "running", lambda _: 4711)
    done = tulle("demo", "--once")
    assert (done.status, "error: a mesh is running here already" in done.err) == (1, True)


def test_the_demo_without_a_terminal_ends_after_the_tour(
    tulle: Tulle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[UpOptions, object, bool]] = []

    def fake_up(options: UpOptions, then: object, *, stay: bool) -> int:
        asked.append((options, then, stay))
        return 0

    monkeypatch.setattr(supervisor, "running", lambda _: None)
    monkeypatch.setattr(up, "up", fake_up)
    assert tulle("demo").status == 0
    ((options, then, stay),) = asked
    assert (options.paths, then, stay) == ((tour.bookshop(),), tour.walk, False)


def test_up_passes_on_what_it_is_told(
    tulle: Tulle, layout: Layout, route: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[UpOptions] = []
    monkeypatch.setattr(up, "up", lambda options: asked.append(options) or 1)
    assert tulle("up", route, "-d", "--timeout", "2m").status == 1
    assert asked == [UpOptions(paths=(route,), home=layout.home, detach=True, timeout_seconds=120.0)]
    nowhere = tulle("up", "nowhere.yaml")
    assert (nowhere.status, "error: there is no file or folder nowhere.yaml" in nowhere.err) == (1, True)
    assert tulle("up", route, "--images", "nowhere").status == 2
