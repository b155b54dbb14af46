"""Waiting until a mesh is ready, with a clock that the test turns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.api.fake import workload
from tulle.api.contract import ControlPlaneStatus, ProxyStatus, Status, WorkloadStatus
from tulle.cli.options import seconds
from tulle.cli.options import workload as workload_name
from tulle.cli.progress import follow_until_ready, missing, some

PENDING = ProxyStatus(state="pending")
PLANE = ControlPlaneStatus(version="0", revision=1, trust_domain="cluster.local")


class ScriptedClient:
    """None: the control plane does not answer."""

    def __init__(self, *statuses: tuple[WorkloadStatus, ...] | None) -> None:
        self._statuses = iter(statuses)
        self._now = next(self._statuses)

    def is_ready(self) -> bool:
        return self._now is not None

    def status(self) -> Status:
        return Status(workloads=self._now or (), control_plane=PLANE)

    def sleep(self, _: float) -> None:
        self._now = next(self._statuses, self._now)


def clock(step: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += step


def test_it_waits_for_workloads_and_proxies_and_says_for_what(capsys: pytest.CaptureFixture[str]) -> None:
    client = ScriptedClient(
        None,
        (workload("a", ready=False, message="its probe fails"), workload("b", proxy=PENDING)),
        (workload("a"), workload("b", proxy=PENDING)),
        (workload("a"), workload("b")),
    )
    ticks = clock(1)
    outcome = follow_until_ready(client, 60, clock=lambda: next(ticks), sleep=client.sleep)
    assert outcome.ready
    assert outcome.reasons == ()
    assert capsys.readouterr().err.splitlines() == [
        "waiting for the workloads",
        "0 of 2 ready; its probe fails: shop/a; its proxy is pending: shop/b",
        "1 of 2 ready; its proxy is pending: shop/b",
    ]


def test_a_program_that_ends_at_once_is_not_taken_for_ready() -> None:
    failed = workload("a", ready=False, message="exit status 3")
    client = ScriptedClient((workload("a"),), (failed,), (workload("a"),), (failed,))
    ticks = clock(10)
    outcome = follow_until_ready(client, 60, clock=lambda: next(ticks), sleep=client.sleep)
    assert (outcome.ready, outcome.reasons) == (False, ("shop/a: exit status 3",))


def test_it_gives_up_after_its_time_with_the_reasons() -> None:
    client = ScriptedClient((workload("a", ready=False, message="", phase="starting"),))
    ticks = clock(10)
    outcome = follow_until_ready(client, 25, clock=lambda: next(ticks), sleep=client.sleep)
    assert (outcome.ready, outcome.reasons) == (False, ("shop/a: starting",))


def test_it_ends_at_once_when_the_mesh_has_ended() -> None:
    client = ScriptedClient(None)
    outcome = follow_until_ready(client, 60, alive=lambda: False, sleep=client.sleep)
    assert (outcome.ready, outcome.status) == (False, None)
    assert outcome.reasons == ("the control plane does not answer",)


def test_what_is_missing() -> None:
    rejected = ProxyStatus(state="rejected", error="bad")
    status = Status(
        workloads=(
            workload("job", ready=False, phase="succeeded", proxy=ProxyStatus(state="disconnected")),
            workload("plain", proxy=ProxyStatus(state="none")),
            workload("sick", proxy=rejected),
        ),
        control_plane=PLANE,
    )
    assert missing(status) == ("shop/sick: its proxy refused: bad",)


def test_long_lists_are_cut() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("90s", 90), ("1.5m", 90), ("1h30m", 5400), ("0", 0), ("0.05s", 0.05)]
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("name", "namespace", "found"),
    [
        ("a", None, ("default", "a")),
        ("a", "n", ("n", "a")),
        ("a.n", None, ("n", "a")),
        ("n/a", None, ("n", "a")),
        ("n/a", "n", ("n", "a")),
    ],
)
def test_names_of_workloads(name: str, namespace: str | None, found: tuple[str, str]) -> None:
    assert workload_name(name, namespace) == found
