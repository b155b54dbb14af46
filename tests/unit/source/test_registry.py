import pytest

from tulle.kit.clock import ManualClock
from tulle.model.agentapi import Instance, Phase, Report
from tulle.source import registry
from tulle.source.registry import Name, RefusedReport, Registry

ORDERS = ("shop", "orders")
REVIEWS = ("shop", "reviews")


def instance(name: Name, *, ready: bool = True, restarts: int = 0) -> Instance:
    return Instance(namespace=name[0], name=name[1], phase=Phase.RUNNING, ready=ready, restarts=restarts)


def full(*instances: Instance) -> Report:
    return Report(sequence=1, full=True, instances=instances)


def change(*instances: Instance, gone: tuple[Name, ...] = ()) -> Report:
    return Report(sequence=2, full=False, instances=instances, gone=gone)


class Mesh:
    """A registry, what it was told of placements, and everything that it published."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.placements: dict[Name, str] = {ORDERS: "one", REVIEWS: "one"}
        self.events: list[tuple[str, str]] = []
        self.now: dict[Name, tuple[Instance, bool]] = {}
        self.saved: dict[tuple[str, Name], Instance] = {}
        self.registry = self.started()

    def started(self) -> Registry:
        return Registry(self.placed, self.publish, self.clock.boot, self.persist)

    def placed(self, host: str, namespace: str, workload: str) -> str | None:
        return "spiffe://td/x" if self.placements.get((namespace, workload)) == host else None

    def publish(self, name: Name, value: Instance | None, lapsed: bool) -> None:
        self.events.append((name[1], "gone" if value is None else "lapsed" if lapsed else "live"))
        if value is None:
            del self.now[name]
        else:
            self.now[name] = (value, lapsed)

    def persist(self, host: str, name: Name, value: Instance | None) -> None:
        if value is None:
            self.saved.pop((host, name), None)
        else:
            self.saved[host, name] = value


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


def test_publishes_what_a_host_reports_and_only_changes(mesh: Mesh) -> None:
    mesh.registry.report("one", full(instance(ORDERS), instance(REVIEWS)))
    assert mesh.now == {ORDERS: (instance(ORDERS), False), REVIEWS: (instance(REVIEWS), False)}
    mesh.events.clear()
    mesh.registry.report("one", full(instance(ORDERS), instance(REVIEWS)))
    mesh.registry.report("one", change(instance(ORDERS)))
    mesh.registry.report("one", change())
    assert mesh.events == []
    mesh.registry.report("one", change(instance(ORDERS, ready=False)))
    assert mesh.events == [("orders", "live")]
    assert not mesh.now[ORDERS][0].ready


def test_a_full_report_takes_away_what_it_does_not_name(mesh: Mesh) -> None:
    mesh.registry.report("one", full(instance(ORDERS), instance(REVIEWS)))
    mesh.registry.report("one", full(instance(ORDERS)))
    assert set(mesh.now) == {ORDERS}
    assert set(mesh.saved) == {("one", ORDERS)}


def test_gone_takes_away_what_this_host_had_and_nothing_else(mesh: Mesh) -> None:
    mesh.registry.report("one", full(instance(ORDERS), instance(REVIEWS)))
    mesh.registry.report("two", change(gone=(ORDERS,)))
    assert ORDERS in mesh.now
    mesh.registry.report("one", change(gone=(ORDERS, ("shop", "stranger"))))
    assert set(mesh.now) == {REVIEWS}


def test_a_host_has_no_say_in_what_is_not_placed_there(mesh: Mesh) -> None:
    mesh.registry.report("one", full(instance(ORDERS)))
    mesh.events.clear()
    mesh.registry.report("two", full(instance(ORDERS, ready=False), instance(("bank", "vault"))))
    assert mesh.events == []
    assert mesh.now == {ORDERS: (instance(ORDERS), False)}


def test_a_placement_that_comes_later_counts_from_then_on(mesh: Mesh) -> None:
    late = ("shop", "late")
    mesh.registry.report("two", full(instance(late)))
    assert late not in mesh.now
    mesh.placements[late] = "two"
    mesh.registry.reconsider()
    assert mesh.now[late] == (instance(late), False)
    del mesh.placements[late]
    mesh.registry.reconsider([late])
    assert late not in mesh.now


def test_a_workload_that_moves_is_where_it_is_placed(mesh: Mesh) -> None:
    mesh.registry.report("one", full(instance(ORDERS)))
    mesh.placements[ORDERS] = "two"
    mesh.registry.reconsider()
    mesh.registry.report("two", full(instance(ORDERS, ready=False)))
    mesh.registry.report("one", change(instance(ORDERS, restarts=9)))
    assert mesh.now[ORDERS] == (instance(ORDERS, ready=False), False)
    mesh.registry.report("one", change(gone=(ORDERS,)))
    assert mesh.now[ORDERS] == (instance(ORDERS, ready=False), False)


def test_a_lapsed_lease_marks_and_removes_nothing(mesh: Mesh) -> None:
    mesh.registry.report("one", full(instance(ORDERS)))
    assert mesh.registry.expire() == registry.LEASE_SECONDS
    mesh.clock.advance(registry.LEASE_SECONDS - 1)
    assert mesh.registry.expire() == 1
    assert mesh.now[ORDERS] == (instance(ORDERS), False)
    mesh.clock.advance(1)
    mesh.registry.expire()
    assert mesh.now[ORDERS] == (instance(ORDERS), True)
    assert mesh.registry.hosts() == {"one": True}
    mesh.clock.advance(1_000_000)
    mesh.registry.expire()
    assert mesh.now[ORDERS] == (instance(ORDERS), True)


def test_any_message_renews_the_lease(mesh: Mesh) -> None:
    mesh.registry.report("one", full(instance(ORDERS)))
    for _ in range(10):
        mesh.clock.advance(registry.LEASE_SECONDS * 0.9)
        mesh.registry.report("one", change())
        mesh.registry.expire()
    assert mesh.events == [("orders", "live")]


def test_a_silent_host_that_comes_back_is_live_again(mesh: Mesh) -> None:
    mesh.registry.report("one", full(instance(ORDERS), instance(REVIEWS)))
    mesh.clock.advance(registry.LEASE_SECONDS)
    mesh.registry.expire()
    mesh.events.clear()
    mesh.registry.report("one", change())
    assert mesh.events == [("orders", "live"), ("reviews", "live")]


def test_persisted_instances_are_live_for_one_lease_after_a_restart(mesh: Mesh) -> None:
    mesh.registry.report("one", full(instance(ORDERS)))
    saved = [(host, value) for (host, _), value in mesh.saved.items()]
    mesh.now.clear()
    mesh.clock.advance(3600)
    again = mesh.started()
    again.restore(saved)
    assert mesh.now == {ORDERS: (instance(ORDERS), False)}
    assert again.expire() == registry.LEASE_SECONDS
    mesh.clock.advance(registry.LEASE_SECONDS)
    again.expire()
    assert mesh.now == {ORDERS: (instance(ORDERS), True)}


def test_a_forgotten_host_leaves_nothing(mesh: Mesh) -> None:
    mesh.registry.report("one", full(instance(ORDERS)))
    mesh.registry.forget("one")
    mesh.registry.forget("stranger")
    assert mesh.now == {}
    assert mesh.saved == {}
    assert mesh.registry.hosts() == {}


def test_too_many_instances_are_refused_whole(mesh: Mesh) -> None:
    mesh.registry.report("one", full(instance(ORDERS)))
    many = tuple(instance(("shop", f"w{number}")) for number in range(10_001))
    with pytest.raises(RefusedReport):
        mesh.registry.report("one", full(*many))
    with pytest.raises(RefusedReport):
        mesh.registry.report("one", change(*many[:10_000]))
    assert set(mesh.now) == {ORDERS}
