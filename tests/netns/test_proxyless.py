"""A grpcio client that calls `xds:///...` from a workload without an Envoy, configured by its agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.netns.mesh import TULLE, Mesh, mesh_in, program, wait_for
from tests.netns.shop.binomial import bounds

MANIFEST = Path(__file__).with_name("manifests") / "proxyless.yaml"
TARGET = "xds:///names:50051"
CALLS = 500


def http_route(first: int, second: int) -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: names, namespace: calls}}
spec:
  parentRefs: [{{group: "", kind: Service, name: names}}]
  rules:
  - matches: [{{headers: [{{name: version, value: v2}}]}}]
    backendRefs: [{{name: names-v2, port: 50051}}]
  - backendRefs:
    - {{name: names-v1, port: 50051, weight: {first}}}
    - {{name: names-v2, port: 50051, weight: {second}}}
"""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with mesh_in(tmp_path_factory.mktemp("calls") / "home") as mesh:
        mesh.up(MANIFEST)
        yield mesh


Ask = Callable[..., dict[str, int]]


@contextmanager
def channel(mesh: Mesh, workload: str, target: str = TARGET) -> Iterator[Ask]:
    """A gRPC channel that stays open in a workload: `ask(times, header)` calls and counts who answered."""
    process = subprocess.Popen(
        [str(TULLE), "exec", workload, "--", "python3", "-c", program("names"), target],
        env=mesh.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(times: int, header: str = "") -> dict[str, int]:
        assert process.stdin and process.stdout
        process.stdin.write(f"{times} {header}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    with process:
        try:
            yield ask
        finally:
            assert process.stdin
            process.stdin.close()


@pytest.mark.parametrize("workload", ["caller", "template"])
def test_a_client_without_an_envoy_is_configured_like_a_proxy(calls: Mesh, workload: str) -> None:
    found = calls.ready("calls", workload)
    assert found["proxy"]["state"] == "synced"
    assert found["proxy"]["certificateExpires"] is None
    with channel(calls, f"{workload}.calls") as ask:
        assert ask(20).keys() == {"v1", "v2"}
    assert calls.execute(f"{workload}.calls", "ls", "/run/tulle-proxy").stdout.split() == [
        "grpc-bootstrap.json",
        "xds.sock",
    ]
    listening = calls.execute(f"{workload}.calls", "cat", "/proc/net/tcp").stdout
    assert f":{15001:04X} " not in listening, "no Envoy"
    said = calls.tulle("proxy", "routes", f"{workload}.calls", status=1).stderr
    assert "takes its configuration itself" in said
    rendered = calls.tulle("render", f"calls/{workload}", "-f", MANIFEST).stdout
    assert "name: names:50051" in rendered


def test_weights_and_headers_hold_and_follow_a_change_without_a_failed_call(calls: Mesh) -> None:
    with channel(calls, "caller.calls") as ask, calls.applied(http_route(80, 20)):
        wait_for("the route holds", lambda: ask(10, "version=v2") == {"v2": 10})
        counts = ask(CALLS)
        assert counts.keys() == {"v1", "v2"}
        assert counts["v2"] in bounds(CALLS, 0.2)
        calls.apply(http_route(0, 100))
        seen = [ask(50)]
        while seen[-1] != {"v2": 50}:
            seen.append(ask(50))
        assert {name for counts in seen for name in counts} <= {"v1", "v2"}


def test_a_killed_agent_costs_no_call_and_the_next_one_is_found(calls: Mesh) -> None:
    with channel(calls, "caller.calls") as ask:
        assert ask(10).keys() <= {"v1", "v2"}
        first = calls.daemon("agent")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert ask(100).keys() == {"v1", "v2"}, "no other answer"
        wait_for("another agent", lambda: calls.daemon("agent") not in (None, first))
        calls.ready("calls", "caller")
        with calls.applied(http_route(100, 0)):
            wait_for("the route has come", lambda: ask(20) == {"v1": 20})
