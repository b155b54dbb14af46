"""The state-of-the-world subscription, as gRPC's own clients use it."""

from __future__ import annotations

from tulle.ads.cache import Cache, View
from tulle.ads.channel import Progress, Response
from tulle.ads.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource
from tulle.ads.stateoftheworld import StateOfTheWorld
from tulle.ads.wire import StateOfTheWorldRequest


class Scene:
    def __init__(self, *resources: Resource, complete: bool = True) -> None:
        self.cache = Cache()
        self.cache.put("part", resources)
        self.cache.assign("node", ("part",), complete=complete)
        self.subscription = StateOfTheWorld(View(self.cache, "node"))
        self.cache.watch("node", self.subscription.changed)

    def ask(self, type_url: str, *names: str, nonce: str = "", refusal: str | None = None) -> list[Response]:
        self.subscription.request(StateOfTheWorldRequest(type_url, names, nonce, refusal))
        return self.subscription.poll()

    def put(self, *resources: Resource, remove: tuple[Resource, ...] = ()) -> list[Response]:
        self.cache.update("part", resources, [resource.key for resource in remove])
        return self.subscription.poll()


def names(responses: list[Response]) -> list[list[str]]:
    return [[resource.name for resource in response.resources] for response in responses]


def test_named_listeners_come_whole_and_endpoints_one_by_one() -> None:
    scene = Scene(
        *(Resource(LISTENER, name, b"1") for name in "lm"), *(Resource(ENDPOINT, name, b"1") for name in "ef")
    )
    (listeners,) = scene.ask(LISTENER, "l", "m")
    assert names([listeners]) == [["l", "m"]]
    assert scene.ask(LISTENER, "l", "m", nonce=listeners.nonce) == []
    (endpoints,) = scene.ask(ENDPOINT, "e", "f")
    assert scene.ask(ENDPOINT, "e", "f", nonce=endpoints.nonce) == []
    assert scene.subscription.settled
    (again,) = scene.put(Resource(LISTENER, "m", b"2"))
    assert names([again]) == [["l", "m"]]
    assert again.version != listeners.version
    assert names(scene.put(Resource(ENDPOINT, "f", b"2"))) == [["f"]]


def test_what_a_full_response_leaves_out_is_gone() -> None:
    scene = Scene(Resource(CLUSTER, "a", b"1"), Resource(CLUSTER, "b", b"1"))
    (first,) = scene.ask(CLUSTER)
    assert names([first]) == [["a", "b"]]
    scene.ask(CLUSTER, nonce=first.nonce)
    (second,) = scene.put(remove=(Resource(CLUSTER, "a", b"1"),))
    assert names([second]) == [["b"]]
    assert scene.ask(CLUSTER, nonce=second.nonce) == []
    assert scene.subscription.acknowledged(CLUSTER) == {"b": Resource(CLUSTER, "b", b"1").version}


def test_a_listener_that_does_not_exist_is_answered_and_routes_are_not() -> None:
    scene = Scene()
    assert names(scene.ask(LISTENER, "ghost")) == [[]]
    assert scene.ask(ROUTE, "ghost") == []
    assert names(scene.put(Resource(ROUTE, "ghost", b"1"))) == [["ghost"]]


def test_of_what_is_not_known_nothing_is_said() -> None:
    scene = Scene(complete=False)
    assert scene.ask(LISTENER, "l") == []
    scene.cache.settle("node", LISTENER)
    assert names(scene.subscription.poll()) == [[]]


def test_a_request_with_a_stale_nonce_does_not_count() -> None:
    scene = Scene(Resource(ENDPOINT, "e", b"1"), Resource(ENDPOINT, "f", b"1"))
    (first,) = scene.ask(ENDPOINT, "e")
    assert scene.ask(ENDPOINT, "e", "f", nonce="stale") == []
    assert names(scene.ask(ENDPOINT, "e", "f", nonce=first.nonce)) == [["f"]]


def test_a_refused_version_is_not_sent_again_until_it_changes() -> None:
    scene = Scene(Resource(ENDPOINT, "e", b"bad"))
    (first,) = scene.ask(ENDPOINT, "e")
    assert scene.ask(ENDPOINT, "e", nonce=first.nonce, refusal="no") == []
    assert scene.subscription.errors() == ((ENDPOINT, "no", ("e",)),)
    version = Resource(ENDPOINT, "e", b"bad").version
    assert scene.subscription.progress(ENDPOINT, "e", version) == (Progress.REJECTED, "no")
    (second,) = scene.put(Resource(ENDPOINT, "e", b"2"))
    assert scene.subscription.moving
    assert scene.ask(ENDPOINT, "e", nonce=second.nonce) == []
    assert scene.subscription.errors() == ()
    assert scene.subscription.settled


def test_an_emptied_list_gives_up_what_was_named() -> None:
    scene = Scene(Resource(CLUSTER, "a", b"1"))
    (first,) = scene.ask(CLUSTER, "a")
    assert scene.ask(CLUSTER, nonce=first.nonce) == []
    assert scene.put(Resource(CLUSTER, "a", b"2")) == []
    assert scene.subscription.subscribed(CLUSTER) == frozenset()
