"""The agent's link to the control plane is cut, half-open or slow, at 300 requests/s.

The data plane does not need the link: no request fails. What was applied meanwhile arrives when it can.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.netns.faults.link import Link, link_at
from tests.netns.faults.load import hold, load
from tests.netns.faults.test_process import ALL, URL, all_ready, daemon, restarts, tell
from tests.netns.mesh import Mesh, wait_for

CUT_SECONDS = 8.0
SLOW_SECONDS = 0.3
SLOW_BYTES_PER_SECOND = 50_000.0


@pytest.fixture(scope="module")
def link(three: Mesh) -> Iterator[Link]:
    """The agent is connected through it."""
    with link_at(three.layout.controlplane_socket) as link:
        restart_agent(three)
        assert link.accepted >= 2, "signing and discovery"
        yield link
    restart_agent(three)


def restart_agent(mesh: Mesh) -> None:
    first = daemon(mesh, "agent")
    os.kill(first, signal.SIGKILL)
    wait_for("it was started again", lambda: daemon(mesh, "agent") != first)
    all_ready(mesh)
    mesh.synced()


def added(number: int) -> str:
    """A path that nobody serves (500, as the Gateway API says of a rule without a backend that exists)."""
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: added, namespace: three}}
spec:
  parentRefs: [{{group: "", kind: Service, name: echo}}]
  rules:
  - matches: [{{path: {{type: Exact, value: /{number}}}}}]
    backendRefs: [{{name: nobody, port: 8080}}]
  - backendRefs: [{{name: echo, port: 8080}}]
"""


def arrived(mesh: Mesh, number: int) -> bool:
    return mesh.request("client.three", f"{URL}{number}")["status"] == 500


def change(mesh: Mesh, number: int) -> None:
    mesh.tulle("apply", "-f", "-", "--no-wait", text=added(number))


def test_a_link_that_is_cut_fails_no_request_and_what_was_applied_arrives(three: Mesh, link: Link) -> None:
    before = restarts(three)
    with load(three, "client.three", URL, *ALL) as outcome:
        change(three, 1)
        wait_for("the change has arrived", lambda: arrived(three, 1))
        link.cut()
        change(three, 2)
        hold(CUT_SECONDS)
        assert arrived(three, 1)
        link.mend()
        wait_for("the change has arrived", lambda: arrived(three, 2))
        all_ready(three)
    tell("link cut", outcome)
    assert outcome.failures() == []
    assert restarts(three) == before


def test_a_link_that_is_half_open_is_given_up_and_made_anew(three: Mesh, link: Link) -> None:
    with load(three, "client.three", URL, *ALL) as outcome:
        link.lose()
        change(three, 3)
        wait_for("the change has come over a new connection", lambda: arrived(three, 3))
        all_ready(three)
    tell("link half-open", outcome)
    assert outcome.failures() == []


def test_a_slow_link_delays_what_is_applied_and_nothing_else(three: Mesh, link: Link) -> None:
    with load(three, "client.three", URL, *ALL) as outcome:
        link.slow(SLOW_SECONDS, SLOW_BYTES_PER_SECOND)
        change(three, 4)
        wait_for("the change has arrived", lambda: arrived(three, 4))
        link.slow(0, 0)
        all_ready(three)
    tell("link slow", outcome)
    assert outcome.failures() == []
