"""The agent's local API on a real socket, with a fake Envoy behind its admin socket."""

from __future__ import annotations

import socketserver
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx2
import pytest

from tests.unit.api.fake import in_thread
from tulle.agent import api
from tulle.agent.api import Entry

ENTRY = Entry(pid=4711, uid=1000, gid=1000, groups=(27,), env={"A": "b"}, workdir="/srv")


class FakeAgent:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "w.log"

    def enter(self, namespace: str, name: str) -> Entry | None:
        return {("shop", "a"): ENTRY, ("shop", "starting"): None}[namespace, name]

    def log_path(self, namespace: str, name: str, proxy: bool) -> Path:
        {("shop", "a"): None}[namespace, name]
        return self.folder / "proxy.log" if proxy else self.log

    def proxy_directory(self, namespace: str, name: str) -> Path:
        return {("shop", "a"): self.folder, ("shop", "gone"): self.folder / "gone"}[namespace, name]


class FakeEnvoy(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    class Admin(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

        def address_string(self) -> str:
            return ""


@pytest.fixture
def agent() -> Iterator[FakeAgent]:
    with tempfile.TemporaryDirectory() as name:
        yield FakeAgent(Path(name))


@pytest.fixture
def http(agent: FakeAgent) -> Iterator[httpx2.Client]:
    path = agent.folder / "agent.sock"
    with (
        in_thread(lambda ready: api.serve(agent, path, ready=ready)),
        httpx2.Client(
            transport=httpx2.HTTPTransport(uds=str(path)), base_url="http://agent", timeout=10
        ) as client,
    ):
        yield client


def test_enter_says_how_to_run_something_as_the_workload(http: httpx2.Client) -> None:
    assert Entry.model_validate(http.get("/v1/workloads/shop/a/enter").json()) == ENTRY


def test_a_workload_that_is_unknown_or_not_there_yet_is_said_so(http: httpx2.Client) -> None:
    unknown = http.get("/v1/workloads/shop/b/enter")
    assert (unknown.status_code, unknown.json()["error"]) == (404, "no workload shop/b on this host")
    starting = http.get("/v1/workloads/shop/starting/enter")
    assert (starting.status_code, starting.json()["error"]) == (409, "shop/starting is not running yet")


def test_logs_are_the_rotated_files_and_the_newest(http: httpx2.Client, agent: FakeAgent) -> None:
    for suffix, text in ((".log.2", "one\n"), (".log.1", "two\n"), (".log", "three\nfour\n")):
        (agent.folder / f"w{suffix}").write_text(text)
    (agent.folder / "proxy.log").write_text("envoy\n")
    assert http.get("/v1/workloads/shop/a/logs").text == "one\ntwo\nthree\nfour\n"
    assert http.get("/v1/workloads/shop/a/logs", params={"tail": "3"}).text == "two\nthree\nfour\n"
    assert http.get("/v1/workloads/shop/a/logs", params={"tail": "0"}).text == ""
    assert http.get("/v1/workloads/shop/a/logs", params={"proxy": "true"}).text == "envoy\n"


def test_a_workload_that_wrote_nothing_has_an_empty_log(http: httpx2.Client) -> None:
    assert http.get("/v1/workloads/shop/a/logs").text == ""


def test_a_followed_log_goes_on_through_a_rotation(http: httpx2.Client, agent: FakeAgent) -> None:
    agent.log.write_text("old\n")
    with http.stream("GET", "/v1/workloads/shop/a/logs", params={"follow": "true"}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "old"
        with agent.log.open("a") as file:
            file.write("before\n")
            agent.log.rename(agent.folder / "w.log.1")
            file.write("meanwhile\n")
        agent.log.write_text("after\n")
        assert [next(lines) for _ in range(3)] == ["before", "meanwhile", "after"]


def test_only_reading_paths_of_the_admin_are_passed_on(http: httpx2.Client, agent: FakeAgent) -> None:
    envoy = FakeEnvoy(str(agent.folder / api.ADMIN_SOCKET), FakeEnvoy.Admin)
    thread = threading.Thread(target=envoy.serve_forever)
    thread.start()
    try:
        answer = http.get("/v1/proxies/shop/a/admin/config_dump", params={"include_eds": ""})
        assert answer.text == "/config_dump?include_eds="
        assert answer.headers["content-type"] == "application/json"
        assert http.get("/v1/proxies/shop/a/admin/stats/prometheus").text == "/stats/prometheus"
        for path in ("quitquitquit", "logging", "drain_listeners", "stats/../quitquitquit", "", "/"):
            assert http.get(f"/v1/proxies/shop/a/admin/{path}").status_code in (403, 404), path
        assert http.post("/v1/proxies/shop/a/admin/stats").status_code == 405
    finally:
        envoy.shutdown()
        thread.join()
        envoy.server_close()


def test_an_envoy_that_does_not_answer_is_said_so(http: httpx2.Client) -> None:
    answer = http.get("/v1/proxies/shop/gone/admin/stats")
    assert answer.status_code == 502
    assert answer.json()["error"].startswith("its Envoy does not answer")
