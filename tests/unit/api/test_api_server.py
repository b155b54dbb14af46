"""The API on a real socket: shapes, refusals, limits."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.unit.api.fake import DISK_FULL, FakeMesh, finding, served
from tulle.api.contract import BODY_LIMIT, Because, Progress, Rejection
from tulle.kit.unix_http import SocketError, listen

ROUTE = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, namespace: shop}\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def mesh() -> FakeMesh:
    return FakeMesh()


@pytest.fixture
def http(mesh: FakeMesh, folder: Path) -> Iterator[httpx2.Client]:
    path = folder / "api.sock"
    with (
        served(mesh, path),
        httpx2.Client(
            transport=httpx2.HTTPTransport(uds=str(path)), base_url="http://tulle", timeout=10
        ) as client,
    ):
        yield client


def apply(http: httpx2.Client, text: str = ROUTE) -> httpx2.Response:
    return http.post("/v1/apply", json={"documents": [{"file": "r.yaml", "text": text}]})


def test_the_socket_is_for_its_owner_alone_and_goes_away(mesh: FakeMesh, folder: Path) -> None:
    path = folder / "api.sock"
    with served(mesh, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_the_mode_does_not_depend_on_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        listener = listen(folder / "a.sock")
    finally:
        os.umask(before)
    with listener:
        assert stat.S_IMODE((folder / "a.sock").stat().st_mode) == 0o600


def test_a_socket_that_a_dead_process_left_is_replaced(folder: Path) -> None:
    path = folder / "api.sock"
    listen(path).close()
    assert path.exists()
    with listen(path), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))


def test_a_socket_that_is_in_use_is_refused(folder: Path) -> None:
    with listen(folder / "api.sock"), pytest.raises(SocketError, match="another process already listens"):
        listen(folder / "api.sock")


def test_a_path_that_no_socket_can_have_is_refused(folder: Path) -> None:
    with pytest.raises(SocketError, match="longer than 107 bytes"):
        listen(folder / ("x" * 120))


def test_apply_answers_what_became_of_each_object(http: httpx2.Client, mesh: FakeMesh) -> None:
    mesh.warn = (finding("no-backend"),)
    answer = apply(http).json()
    assert answer["revision"] == 8
    assert answer["results"] == [
        {
            "group": "gateway.networking.k8s.io",
            "kind": "HTTPRoute",
            "namespace": "shop",
            "name": "r",
            "result": "created",
        }
    ]
    assert answer["findings"][0]["code"] == "no-backend"
    assert apply(http).json()["results"][0]["result"] == "unchanged"


def test_documents_with_errors_are_answered_422(http: httpx2.Client, mesh: FakeMesh) -> None:
    mesh.refuse = (finding(file="r.yaml"),)
    answer = apply(http)
    assert answer.status_code == 422
    assert answer.json()["error"] == "1 error in the documents; nothing was changed"
    assert answer.json()["findings"] == [
        {
            "file": "r.yaml",
            "line": 3,
            "column": 5,
            "code": "unknown-field",
            "severity": "error",
            "message": "there is no field",
            "remedy": "remove it",
            "kind": "HTTPRoute",
            "namespace": "shop",
            "name": "r",
            "field": "spec.x",
        }
    ]
    assert not mesh.objects


def test_what_cannot_be_done_now_is_answered_503(http: httpx2.Client, mesh: FakeMesh) -> None:
    mesh.failure = DISK_FULL
    answer = apply(http)
    assert answer.status_code == 503
    assert answer.json() == {"error": "the disk is full", "remedy": "make room", "findings": []}


def test_a_mistake_of_ours_is_answered_500_and_serving_goes_on(http: httpx2.Client, mesh: FakeMesh) -> None:
    mesh.failure = ZeroDivisionError("a mistake")
    answer = apply(http)
    assert answer.status_code == 500
    assert "ZeroDivisionError: a mistake" in answer.json()["error"]
    mesh.failure = None
    assert apply(http).status_code == 200


@pytest.mark.parametrize(
    "body", ["", "{", "[]", '{"documents": [{"file": "x"}]}', '{"documents": [], "dry": 1}']
)
def test_a_malformed_request_is_answered_400(http: httpx2.Client, body: str) -> None:
    answer = http.post("/v1/apply", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the request is malformed")


def test_a_body_over_the_limit_is_answered_413(http: httpx2.Client, mesh: FakeMesh) -> None:
    answer = apply(http, "x" * (BODY_LIMIT + 1))
    assert answer.status_code == 413
    assert answer.json()["error"] == "the request is larger than 16 MiB"
    assert not mesh.requests


def test_sync_streams_a_line_for_each_step(http: httpx2.Client, mesh: FakeMesh) -> None:
    because = Because(kind="HTTPRoute", namespace="shop", name="r", file="r.yaml", line=4, column=2)
    mesh.progress = (
        Progress(revision=8, waiting=("shop/a", "shop/b")),
        Progress(revision=8, rejected=(Rejection(proxy="shop/a", error="bad", because=because),), done=True),
    )
    lines = [json.loads(line) for line in http.get("/v1/sync", params={"revision": 8}).iter_lines()]
    assert lines[0]["waiting"] == ["shop/a", "shop/b"]
    assert lines[1]["done"] is True
    assert lines[1]["rejected"][0]["because"]["line"] == 4


def test_sync_ends_when_the_time_is_over(http: httpx2.Client, mesh: FakeMesh) -> None:
    mesh.progress, mesh.never_done = (Progress(revision=8, waiting=("shop/a",)),), True
    answer = http.get("/v1/sync", params={"revision": 8, "timeout": 0.05})
    assert [json.loads(line)["done"] for line in answer.iter_lines()] == [False]


def test_readiness_is_the_status_code(http: httpx2.Client, mesh: FakeMesh) -> None:
    assert http.get("/v1/ready").status_code == 200
    mesh.ready = False
    answer = http.get("/v1/ready")
    assert answer.status_code == 503
    assert answer.json()["message"] == "reading the store"


def test_resources_are_found_by_any_part_of_their_key(http: httpx2.Client) -> None:
    apply(http)
    assert len(http.get("/v1/resources").json()["items"]) == 1
    assert (
        len(http.get("/v1/resources", params={"kind": "HTTPRoute", "namespace": "shop"}).json()["items"]) == 1
    )
    assert http.get("/v1/resources", params={"namespace": "other"}).json()["items"] == []


def test_the_status_has_the_documented_shape(http: httpx2.Client) -> None:
    status = http.get("/v1/status").json()
    first = status["workloads"][0]
    assert {"name", "namespace", "address", "ready", "identity", "proxy"} <= first.keys()
    assert {"state", "since", "certificateExpires"} <= first["proxy"].keys()
    listener = status["gateways"][0]["listeners"][0]
    assert listener == {"name": "http", "port": 80, "protocol": "HTTP", "local": "127.0.0.1:8080"}
    assert status["controlPlane"]["trustDomain"] == "cluster.local"


def test_what_is_not_there_is_answered_404(http: httpx2.Client) -> None:
    answer = http.get("/v1/render/shop/nobody")
    assert answer.status_code == 404
    assert answer.json()["error"] == "no workload shop/nobody"
    target = {"kind": "HTTPRoute", "namespace": "shop", "name": "none"}
    assert http.post("/v1/delete", json={"targets": [target]}).status_code == 404


def test_the_openapi_document_names_the_operations(http: httpx2.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    assert {
        "/v1/apply",
        "/v1/delete",
        "/v1/sync",
        "/v1/resources",
        "/v1/status",
        "/v1/findings",
    } <= paths.keys()
