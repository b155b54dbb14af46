"""The agent's mirror of one node, without any stream."""

from __future__ import annotations

import pytest

from tulle.ads import wire
from tulle.ads.cache import Cache, View
from tulle.ads.channel import Progress
from tulle.ads.mirror import Mirror
from tulle.ads.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, Resource
from tulle.ads.wire import DeltaRequest, DeltaResponse

NODE = "ns/web"


class Proxy:
    """What the mirror sees of a proxy: what it asks for, and what it said of each version."""

    def __init__(self, asks: dict[str, set[str]] | None = None) -> None:
        self.asks = asks or {}
        self.said: dict[tuple[str, str], tuple[Progress, str]] = {}
        self.refused: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
        self.revision = 0
        self.settled = True

    def types(self) -> tuple[str, ...]:
        return tuple(self.asks)

    def subscribed(self, type_url: str) -> frozenset[str]:
        return frozenset(self.asks.get(type_url, ()))

    def errors(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        return self.refused


class Scene:
    """A mirror, its cache, and a proxy that a test lets come, speak and go."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.proxy: Proxy | None = None
        self.mirror = Mirror(NODE, self.cache, NODE, part="upstream", downstream=self)
        self.cache.assign(NODE, ("upstream",), complete=False)
        self._nonce = 0

    def subscription(self, node: str) -> Proxy | None:
        return self.proxy

    def progress(self, node: str, type_url: str, name: str, version: str | None) -> tuple[Progress, str]:
        if self.proxy is None:
            return Progress.UNASKED, ""
        return self.proxy.said.get((type_url, name), (Progress.WAITING, ""))

    def watch(self, node: str, callback: object) -> object:
        raise AssertionError("the mirror is told by its owner")

    def give(self, *resources: Resource, removed: tuple[str, ...] = (), of: str = "") -> list[DeltaRequest]:
        self._nonce += 1
        type_url = of or resources[0].type_url
        return self.mirror.received(DeltaResponse(type_url, str(self._nonce), resources, removed))

    def here(self, resource: Resource) -> Resource | None:
        return View(self.cache, NODE).resource(*resource.key)


def cluster(name: str, body: bytes = b"1") -> Resource:
    return Resource(CLUSTER, name, body, ((ENDPOINT, name),))


A, B = cluster("a"), cluster("a", b"2")


def test_the_first_request_names_the_node_and_all_clusters_and_listeners_are_asked_for() -> None:
    first, second = Scene().mirror.start()
    assert (first.type_url, first.subscribe, first.node_id) == (CLUSTER, ("*",), NODE)
    assert first.features == (wire.MIRROR,)
    assert (second.type_url, second.subscribe, second.node_id) == (LISTENER, ("*",), "")


def test_what_a_cluster_needs_is_asked_for_and_given_up_with_it() -> None:
    scene = Scene()
    scene.mirror.start()
    assert scene.give(A) == [DeltaRequest(ENDPOINT, ["a"], []), DeltaRequest(CLUSTER, nonce="1")]
    endpoints = Resource(ENDPOINT, "a", b"1")
    assert scene.give(endpoints) == [DeltaRequest(ENDPOINT, nonce="2")]
    assert scene.here(endpoints) == endpoints
    gone = scene.give(removed=("a",), of=CLUSTER)
    assert gone == [DeltaRequest(ENDPOINT, [], ["a"]), DeltaRequest(CLUSTER, nonce="3")]
    assert scene.here(endpoints) is None


def test_a_proxy_that_restarts_keeps_what_it_asked_for() -> None:
    scene = Scene()
    scene.mirror.start()
    scene.proxy = Proxy({ROUTE: {"r", "s"}, SECRET: {"default", "kubernetes://ns/certificate"}})
    asked = scene.mirror.advance()
    assert asked == [
        DeltaRequest(ROUTE, ["r", "s"], []),
        DeltaRequest(SECRET, ["kubernetes://ns/certificate"], []),
    ]
    scene.proxy = None
    assert scene.mirror.advance() == []
    scene.proxy = Proxy()
    assert scene.mirror.advance() == []
    scene.proxy.asks, scene.proxy.revision = {ROUTE: {"r", "s"}}, 1
    scene.mirror.advance()
    scene.proxy.asks, scene.proxy.revision = {ROUTE: {"r"}}, 2
    assert scene.mirror.advance() == [DeltaRequest(ROUTE, [], ["s"])]


def test_upstream_hears_the_proxys_words_and_the_last_good_content_comes_back() -> None:
    scene = Scene()
    scene.mirror.start()
    scene.give(A)
    scene.proxy = Proxy()
    assert scene.give(B) == []
    assert scene.here(A) == B
    assert scene.mirror.content() == (A,), "what is not decided on is not what the disk keeps"
    scene.proxy.said[B.key] = (Progress.REJECTED, "no")
    assert scene.mirror.advance() == [DeltaRequest(CLUSTER, nonce="2", refusal="no")]
    assert scene.here(A) == A
    assert scene.give(B) == [DeltaRequest(CLUSTER, nonce="3", refusal="no")], "it is not tried again"
    assert scene.here(A) == A
    scene.proxy = Proxy()
    assert scene.give(B) == [], "another proxy may judge differently"
    assert scene.here(A) == B


def test_a_refusal_of_what_was_accepted_before_the_proxy_was_there_is_told() -> None:
    scene = Scene()
    scene.mirror.start()
    scene.give(A)
    scene.give(B)
    scene.proxy = Proxy()
    scene.proxy.refused = ((CLUSTER, "no", ("a",)), (SECRET, "not upstream's", ("default",)))
    assert scene.mirror.advance() == [DeltaRequest(CLUSTER, ("a",))]
    assert scene.here(A) == A
    scene.proxy.refused = ()
    assert scene.give(B) == [DeltaRequest(CLUSTER, nonce="3", refusal="no")]


def test_a_removal_that_upstream_broke_off_is_asked_for_again() -> None:
    scene = Scene()
    scene.mirror.start()
    scene.give(A)
    scene.proxy = Proxy()
    scene.give(removed=("a",), of=CLUSTER)
    assert scene.mirror.content() == (A,)
    (clusters, *_) = scene.mirror.start()
    assert clusters.versions == {"a": "?"}
    scene.proxy.said[A.key] = (Progress.ACKNOWLEDGED, "")
    assert scene.give(removed=("a",), of=CLUSTER) == [DeltaRequest(CLUSTER, nonce="3")]
    assert scene.mirror.content() == ()


def test_while_upstream_is_away_the_proxys_word_still_counts() -> None:
    scene = Scene()
    scene.mirror.start()
    scene.give(A)
    scene.proxy = Proxy()
    scene.give(B)
    scene.proxy.said[B.key] = (Progress.ACKNOWLEDGED, "")
    scene.mirror.judge()
    assert scene.mirror.content() == (B,)
    (clusters, *_) = scene.mirror.start()
    assert clusters.versions == {"a": B.version}


def test_what_does_not_exist_upstream_is_known_not_to() -> None:
    scene = Scene()
    scene.mirror.start()
    view = View(scene.cache, NODE)
    scene.proxy = Proxy({ROUTE: {"r"}})
    scene.mirror.advance()
    assert not view.knows(ROUTE, "r")
    scene.give(removed=("r",), of=ROUTE)
    assert view.knows(ROUTE, "r")
    assert not view.knows_all(CLUSTER)
    scene.give(of=CLUSTER)
    assert view.knows_all(CLUSTER)


def test_a_response_that_contradicts_itself_is_malformed() -> None:
    scene = Scene()
    scene.mirror.start()
    with pytest.raises(wire.MalformedError):
        scene.give(A, of=LISTENER)
    assert scene.cache.content("upstream") == ()
