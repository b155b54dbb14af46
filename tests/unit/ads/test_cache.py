"""The cache: parts, nodes, watchers."""

from __future__ import annotations

from tulle.ads.cache import Cache, View
from tulle.ads.resource import CLUSTER, ENDPOINT, LISTENER, Resource

A = Resource(CLUSTER, "a", b"1")
B = Resource(CLUSTER, "b", b"1")


class Heard:
    """Collects what a node's watcher is told."""

    def __init__(self, cache: Cache, node: str) -> None:
        self.changes: list[frozenset[tuple[str, str]]] = []
        self.stop = cache.watch(node, self.changes.append)

    def take(self) -> list[frozenset[tuple[str, str]]]:
        taken, self.changes[:] = list(self.changes), []
        return taken


def test_a_node_sees_its_parts_and_the_first_counts() -> None:
    cache = Cache()
    other = Resource(CLUSTER, "a", b"2")
    cache.put("first", [A])
    cache.put("second", [other, B])
    cache.assign("node", ("first", "second"))
    assert cache.resource("node", CLUSTER, "a") is A
    assert cache.names("node", CLUSTER) == {"a", "b"}
    assert cache.resource("node", LISTENER, "a") is None
    cache.assign("node", ("second", "first"))
    assert cache.resource("node", CLUSTER, "a") is other
    assert cache.resource("stranger", CLUSTER, "a") is None
    assert cache.names("stranger", CLUSTER) == set()


def test_putting_what_is_there_tells_nobody_and_keeps_the_encoded_value() -> None:
    cache = Cache()
    cache.assign("node", ("part",))
    cache.put("part", [A])
    heard = Heard(cache, "node")
    cache.put("part", [Resource(CLUSTER, "a", b"1")])
    assert heard.take() == []
    assert cache.resource("node", CLUSTER, "a") is A
    cache.put("part", [Resource(CLUSTER, "a", b"1", ((ENDPOINT, "a"),))])
    assert heard.take() == [{A.key}]


def test_a_transaction_is_told_once_and_those_who_share_a_part_share_the_set() -> None:
    cache = Cache()
    cache.assign("one", ("shared", "one"))
    cache.assign("two", ("shared",))
    one, two, three = Heard(cache, "one"), Heard(cache, "two"), Heard(cache, "three")
    with cache.transaction():
        cache.put("shared", [A, B])
        cache.update("shared", [], [B.key])
        cache.put("one", [B])
    assert one.take() == [{A.key, B.key}]
    assert two.take() == [{A.key, B.key}]
    assert three.take() == []
    cache.update("shared", [Resource(CLUSTER, "a", b"2")])
    (first,), (second,) = one.take(), two.take()
    assert first is second


def test_put_replaces_and_drop_removes() -> None:
    cache = Cache()
    cache.put("part", [A, B])
    cache.assign("node", ("part",))
    heard = Heard(cache, "node")
    cache.put("part", [B])
    assert heard.take() == [{A.key}]
    cache.drop("part")
    assert heard.take() == [{B.key}]
    assert cache.names("node", CLUSTER) == set()
    cache.put("part", [A])
    assert heard.take() == [{A.key}]
    assert cache.content("part") == (A,)
    assert cache.found("part", A.key) is A
    assert cache.found("nothing", A.key) is None
    assert cache.content("nothing") == ()


def test_assigning_other_parts_tells_what_they_hold() -> None:
    cache = Cache()
    cache.put("one", [A])
    cache.put("two", [B])
    cache.assign("node", ("one",))
    heard = Heard(cache, "node")
    cache.assign("node", ("two",))
    assert heard.take() == [{A.key, B.key}]
    cache.put("one", [])
    assert heard.take() == []


def test_unassigning_tells_nobody_and_leaves_nothing_known() -> None:
    cache = Cache()
    cache.put("part", [A])
    cache.assign("node", ("part",))
    heard = Heard(cache, "node")
    cache.unassign("node")
    cache.unassign("stranger")
    assert heard.take() == []
    assert not View(cache, "node").knows(CLUSTER, "a")
    heard.stop()
    cache.assign("node", ("part",))
    assert heard.take() == []
    assert View(cache, "node").resource(CLUSTER, "a") is A


def test_what_an_incomplete_node_does_not_have_is_unknown_until_it_is_said() -> None:
    cache = Cache()
    cache.put("part", [A])
    view = View(cache, "node")
    assert not view.knows(CLUSTER, "a")
    cache.assign("node", ("part",), complete=False)
    heard = Heard(cache, "node")
    assert view.knows(CLUSTER, "a")
    assert not view.knows(CLUSTER, "b")
    assert not view.knows_all(CLUSTER)
    cache.settle("node", CLUSTER)
    cache.settle("node", CLUSTER)
    assert heard.take() == [frozenset()]
    assert view.knows(CLUSTER, "b")
    assert view.knows_all(CLUSTER)
    assert not view.knows(ENDPOINT, "b")
    cache.absent("node", [(ENDPOINT, "b")])
    assert heard.take() == [{(ENDPOINT, "b")}]
    assert view.knows(ENDPOINT, "b")
    cache.unknown("node", [(ENDPOINT, "b")])
    assert not view.knows(ENDPOINT, "b")


def test_a_callback_may_change_the_cache() -> None:
    cache = Cache()
    cache.assign("node", ("part",))
    told: list[frozenset[tuple[str, str]]] = []

    def react(keys: frozenset[tuple[str, str]]) -> None:
        told.append(keys)
        cache.update("part", [B])

    cache.watch("node", react)
    cache.update("part", [A])
    assert told == [{A.key}, {B.key}]
