"""status, logs, proxy, exec: what runs, from the outside and from within."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.unit.api.fake import FakeMesh, in_thread, workload
from tests.unit.cli.conftest import Tulle
from tests.unit.cli.envoy import CLUSTERS, CONFIG_DUMP
from tulle.agent import enter
from tulle.agent.layout import Layout
from tulle.api.contract import Because, ProxyStatus
from tulle.kit import unix_http

ENTRY = {
    "pid": 4711,
    "uid": 1000,
    "gid": 1001,
    "groups": [1001, 27],
    "env": {"PATH": "/bin", "STARS": "red"},
    "workdir": "/srv/shop",
}


async def _enter(request: Request) -> Response:
    if request.path_params["name"] == "far":
        return JSONResponse({"error": "no workload shop/far on this host", "remedy": "see"}, status_code=404)
    return JSONResponse(ENTRY)


async def _logs(request: Request) -> Response:
    return PlainTextResponse(f"{request.path_params['name']} {dict(request.query_params)}\n")


async def _admin(request: Request) -> Response:
    answers: dict[str, Any] = {"config_dump": CONFIG_DUMP, "clusters": CLUSTERS}
    path = request.path_params["path"]
    return JSONResponse(answers[path]) if path in answers else PlainTextResponse("envoy_up 1\n")


@pytest.fixture
def agent(layout: Layout) -> Iterator[None]:
    place = "/v1/workloads/{namespace}/{name}"
    app = Starlette(
        routes=[
            Route(f"{place}/enter", _enter),
            Route(f"{place}/logs", _logs),
            Route("/v1/proxies/{namespace}/{name}/admin/{path:path}", _admin),
        ]
    )
    with in_thread(lambda ready: unix_http.serve(app, layout.agent_socket, ready=ready)):
        yield


def test_the_status_as_json_is_what_scripts_rely_on(tulle: Tulle, mesh: FakeMesh) -> None:
    status = json.loads(tulle("status", "-o", "json").out)
    first = status["workloads"][0]
    assert (first["name"], first["namespace"], first["ready"]) == ("reviews-v1", "shop", True)
    assert first["identity"] == "spiffe://cluster.local/ns/shop/sa/reviews-v1"
    assert first["proxy"]["state"] == "synced"
    assert first["proxy"]["certificateExpires"] == "2099-01-01T00:00:00Z"
    assert status["gateways"][0]["listeners"][0]["local"] == "127.0.0.1:8080"
    assert "controlPlane" in status


def test_the_status_as_a_table(tulle: Tulle, mesh: FakeMesh) -> None:
    mesh.workloads = (
        workload("reviews-v1"),
        workload("ratings", ready=False, phase="backoff", restarts=3, message="it ended with status 1"),
        workload("plain", proxy=ProxyStatus(state="none"), namespace="other"),
        workload(
            "sick",
            proxy=ProxyStatus(
                state="rejected",
                error="bad regex",
                because=Because(
                    kind="HTTPRoute", namespace="shop", name="r", file="/r.yaml", line=7, column=2
                ),
            ),
        ),
    )
    lines = tulle("status").out.splitlines()
    assert lines[0].split() == [
        *("NAMESPACE", "NAME", "ADDRESS", "READY", "RESTARTS", "IDENTITY", "PROXY", "CERTIFICATE"),
    ]
    assert lines[1].split()[:6] == ["shop", "reviews-v1", "10.212.0.5", "yes", "0", "shop/reviews-v1"]
    assert lines[2].split()[:6] == ["shop", "ratings", "10.212.0.5", "no", "(backoff)", "3"]
    text = "\n".join(lines)
    assert "not ready: shop/ratings: it ended with status 1" in text
    assert "rejected: shop/sick: bad regex (HTTPRoute shop/r at /r.yaml:7:2)" in text
    assert "http://127.0.0.1:8080/" not in text and "(not ready)" in text
    assert "3 of 4 workloads ready, 2 of 3 proxies in sync" in text
    assert "other" not in tulle("status", "-n", "shop").out
    assert "spiffe://cluster.local/ns/shop/sa/sick" in tulle("status", "--wide").out
    mesh.workloads = (workload("shop-istio"),)
    assert "http://127.0.0.1:8080/" in tulle("status").out


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (("reviews-v1", "-n", "shop"), "reviews-v1"),
        (("reviews-v1.shop",), "reviews-v1"),
        (("shop/reviews-v1",), "reviews-v1"),
        (("reviews-v1",), "reviews-v1"),
        (("storefront", "-n", "shop"), "storefront-2"),
        (("web.shop",), "web-0"),
        (("deployed", "-n", "shop"), "deployed-x"),
    ],
)
def test_a_workload_is_found_by_any_of_its_names(
    tulle: Tulle, mesh: FakeMesh, agent: None, name: tuple[str, ...], found: str
) -> None:
    mesh.workloads = (
        workload("reviews-v1"),
        workload("storefront-1", ready=False),
        workload("storefront-10"),
        workload("storefront-2"),
        workload("web-0", owner="StatefulSet/web", services=()),
        workload("deployed-x", owner="Deployment/deployed", services=()),
    )
    done = tulle("logs", *name)
    assert done.status == 0, done.err
    assert done.out.split()[0] == found


def test_a_workload_that_is_not_found_is_looked_for_elsewhere(tulle: Tulle, mesh: FakeMesh) -> None:
    mesh.workloads = (workload("a", "one"), workload("a", "two"))
    vague = tulle("logs", "a")
    assert vague.status == 1
    assert vague.err == (
        "error: no workload a in the namespace default\n  fix: it is in one, two: add -n one\n"
    )
    assert "no workload default/b" in tulle("logs", "b").err
    assert tulle("logs", "a.one", "-n", "two").status == 2


def test_logs_are_passed_on(tulle: Tulle, mesh: FakeMesh, agent: None) -> None:
    done = tulle("logs", "reviews-v1", "-n", "shop", "--proxy", "-f", "--tail", "5")
    assert done.out == "reviews-v1 {'proxy': 'true', 'follow': 'true', 'tail': '5'}\n"


def test_proxy_tables(tulle: Tulle, mesh: FakeMesh, agent: None) -> None:
    listeners = tulle("proxy", "listeners", "reviews-v1.shop").out
    assert "virtualOutbound" in listeners
    assert "http, routes 9080" in listeners
    routes = tulle("proxy", "routes", "reviews-v1.shop").out
    assert "/api[/*] header end-user=jason" in routes
    assert "outbound|9080|v1|reviews 90%, outbound|9080|v3|reviews 10%" in routes
    rest = [line.split(maxsplit=2)[2] for line in routes.splitlines() if "allow_any" in line]
    assert [line.split() for line in rest] == [
        ["to", "10.213.0.7", "/*", "outbound|9080||reviews"],
        ["to", "10.213.0.0/16", "/*", "answer", "503"],
        ["otherwise", "PassthroughCluster"],
    ]
    assert "least request" in tulle("proxy", "clusters", "reviews-v1.shop").out
    endpoints = tulle("proxy", "endpoints", "reviews-v1.shop").out
    assert "10.212.0.7:9080" in endpoints
    assert "failed active health check" in endpoints
    secrets = tulle("proxy", "secrets", "reviews-v1.shop").out
    assert "spiffe://cluster.local/ns/shop/sa/reviews" in secrets
    assert tulle("proxy", "stats", "reviews-v1.shop").out == "envoy_up 1\n"


@pytest.mark.parametrize("part", ["listeners", "routes", "clusters", "endpoints", "secrets", "config"])
def test_private_keys_are_never_shown(tulle: Tulle, mesh: FakeMesh, agent: None, part: str) -> None:
    done = tulle("proxy", part, "reviews-v1.shop", "-o", "json")
    assert json.loads(done.out)
    assert "UFJJVkFURQ" not in done.out


def test_a_workload_without_a_proxy_has_nothing_to_show(tulle: Tulle, mesh: FakeMesh) -> None:
    mesh.workloads = (workload("plain", proxy=ProxyStatus(state="none")),)
    done = tulle("proxy", "routes", "plain.shop")
    assert (done.status, "error: shop/plain has no proxy" in done.err) == (1, True)


def described(descriptor: int) -> dict[str, Any]:
    """What the program that enters the workload will read."""
    size = os.fstat(descriptor).st_size
    return json.loads(os.pread(descriptor, size, 0))


def test_exec_becomes_the_program_that_enters(
    tulle: Tulle, mesh: FakeMesh, agent: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[tuple[list[str], dict[str, str], dict[str, Any]]] = []

    def become(_: str, arguments: list[str], env: dict[str, str]) -> None:
        became.append((list(arguments), env, described(int(arguments[-1]))))

    monkeypatch.setattr(os, "execve", become)
    monkeypatch.setenv("TERM", "vt100")
    assert tulle("exec", "reviews", "-n", "shop", "--wd", "/", "--", "A=1", "-n", "--wd=x").status == 0
    ((arguments, env, spec),) = became
    assert arguments[1:3] == ["-I", "-S"]
    assert env == {}
    assert "red" not in " ".join(arguments)  # nothing of the environment is in the list of processes
    assert spec["argv"] == ["A=1", "-n", "--wd=x"]
    assert spec["env"] == {"PATH": "/bin", "STARS": "red", "TERM": "vt100"} | {
        name: os.environ[name] for name in ("COLORTERM", "LANG") if name in os.environ
    }
    assert (spec["uid"], spec["gid"], spec["groups"]) == (1000, 1001, [1001, 27])
    assert (spec["pid"], spec["workdir"], spec["capabilities"]) == (4711, "/", [])


def test_exec_says_what_is_missing(tulle: Tulle, mesh: FakeMesh, agent: None) -> None:
    mesh.workloads = (workload("far"), workload("near"))
    assert "error: no workload shop/far on this host" in tulle("exec", "far.shop", "--", "ls").err
    assert tulle("exec", "near.shop").status == 2


def test_run_puts_a_process_into_the_mesh_while_it_runs(
    tulle: Tulle, mesh: FakeMesh, agent: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh.workloads = (workload("hello-v2", "default"),)
    seen: list[dict[str, Any]] = []

    def plain(descriptor: int) -> list[str]:
        seen.append(dict(next(iter(mesh.objects.values()))))
        return ["/bin/sh", *described(descriptor)["argv"][1:]]

    monkeypatch.setattr(enter, "command", plain)
    command = ("run", "-s", "hello", "-p", "8000", "-V", "v2", "-l", "team=a", "--protocol", "http")
    done = tulle(*command, "--", "sh", "-c", "exit 7")
    assert (done.status, done.out) == (7, "")
    assert seen[0]["metadata"] == {"name": "run-hello-v2", "namespace": "default"}
    assert seen[0]["spec"]["services"]["hello"] == {
        "external": True,
        "port": 8000,
        "protocol": "http",
        "labels": {"team": "a"},
        "versions": {"v2": {}},
    }
    assert not mesh.objects
    assert tulle(*command, "--", "sh", "-c", "kill -TERM $$").status == 128 + 15
    assert not mesh.objects


def test_run_leaves_the_mesh_when_there_is_no_place_for_it(tulle: Tulle, mesh: FakeMesh, agent: None) -> None:
    mesh.workloads = (workload("hello", "default", proxy=ProxyStatus(state="pending")),)
    done = tulle("run", "-s", "hello", "-p", "1", "--timeout", "0s", "--", "true")
    assert done.status == 1
    assert "default/hello has no place after 0 s: its proxy is pending" in done.err
    assert not mesh.objects
    assert tulle("run", "-s", "hello", "-p", "1", "-l", "bad", "--", "true").status == 2
