"""The delta subscription, one paragraph of the protocol after another."""

from __future__ import annotations

import pytest

from tulle.ads.cache import Cache, View
from tulle.ads.channel import Progress, Response
from tulle.ads.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, WORKLOAD, Resource
from tulle.ads.subscription import Subscription
from tulle.ads.wire import DeltaRequest


class Scene:
    """A subscription over a cache, and what it sent."""

    def __init__(self, *resources: Resource, complete: bool = True, resend_needs: bool = True) -> None:
        self.cache = Cache()
        self.cache.put("part", resources)
        self.cache.assign("node", ("part",), complete=complete)
        self.subscription = Subscription(View(self.cache, "node"), resend_needs=resend_needs)
        self.cache.watch("node", self.subscription.changed)

    def ask(self, type_url: str, *subscribe: str, **more: object) -> list[Response]:
        self.subscription.request(DeltaRequest(type_url, subscribe, **more))  # type: ignore[arg-type]
        return self.subscription.poll()

    def accept(self, *responses: Response) -> list[Response]:
        return [
            found for response in responses for found in self.ask(response.type_url, nonce=response.nonce)
        ]

    def refuse(self, response: Response, detail: str = "no") -> list[Response]:
        return self.ask(response.type_url, nonce=response.nonce, refusal=detail)

    def put(self, *resources: Resource, remove: tuple[Resource, ...] = ()) -> list[Response]:
        self.cache.update("part", resources, [resource.key for resource in remove])
        return self.subscription.poll()

    def settle(self, responses: list[Response]) -> None:
        """Accept until nothing comes any more."""
        while responses:
            responses = self.accept(*responses)


def shape(responses: list[Response]) -> list[tuple[str, list[str], list[str]]]:
    return [
        (found.type_url.rpartition(".")[2], [r.name for r in found.resources], list(found.removed))
        for found in responses
    ]


def cluster(name: str, body: bytes = b"1") -> Resource:
    return Resource(CLUSTER, name, body, ((ENDPOINT, name),))


def endpoint(name: str, body: bytes = b"1") -> Resource:
    return Resource(ENDPOINT, name, body)


def route(name: str, body: bytes = b"1") -> Resource:
    return Resource(ROUTE, name, body)


def listener(name: str, body: bytes = b"1") -> Resource:
    return Resource(LISTENER, name, body, ((ROUTE, "r"),))


def running(*resources: Resource) -> Scene:
    """A client that has a cluster a with endpoints, a listener l, and a route r."""
    scene = Scene(cluster("a"), endpoint("a"), listener("l"), route("r"), *resources)
    scene.settle(scene.ask(CLUSTER))
    scene.settle(scene.ask(ENDPOINT, "a"))
    scene.settle(scene.ask(LISTENER))
    scene.settle(scene.ask(ROUTE, "r"))
    assert scene.subscription.settled
    return scene


# -- what is subscribed to ---------------------------------------------------------------------------


def test_an_empty_first_request_means_everything() -> None:
    scene = Scene(cluster("a"), cluster("b"))
    assert shape(scene.ask(CLUSTER)) == [("Cluster", ["a", "b"], [])]


def test_a_wildcard_is_answered_even_if_there_is_nothing() -> None:
    scene = Scene()
    (answer,) = scene.ask(CLUSTER, "*")
    assert shape([answer]) == [("Cluster", [], [])]
    assert scene.accept(answer) == []


@pytest.mark.parametrize("type_url", [ENDPOINT, ROUTE, SECRET])
def test_an_empty_request_means_nothing_for_types_that_are_always_named(type_url: str) -> None:
    scene = Scene(Resource(type_url, "a", b"1"))
    assert scene.ask(type_url) == []


def test_a_wildcard_goes_on_beside_names_and_ends_alone() -> None:
    scene = Scene(Resource(WORKLOAD, "a", b"1"), Resource(WORKLOAD, "b", b"1"))
    scene.settle(scene.ask(WORKLOAD))
    scene.settle(scene.ask(WORKLOAD, "a"))
    assert scene.ask(WORKLOAD, unsubscribe=("*",)) == []
    assert scene.put(Resource(WORKLOAD, "b", b"2")) == []
    assert shape(scene.put(Resource(WORKLOAD, "a", b"2"))) == [("Workload", ["a"], [])]


def test_giving_up_a_name_beside_a_wildcard_is_answered() -> None:
    scene = Scene(Resource(WORKLOAD, "a", b"1"))
    scene.settle(scene.ask(WORKLOAD, "*", "a", "ghost"))
    answer = scene.ask(WORKLOAD, unsubscribe=("a", "ghost"))
    assert shape(answer) == [("Workload", ["a"], ["ghost"])]


def test_a_name_that_is_asked_for_again_is_answered_again() -> None:
    scene = Scene(endpoint("a"))
    scene.settle(scene.ask(ENDPOINT, "a"))
    assert shape(scene.ask(ENDPOINT, "a")) == [("ClusterLoadAssignment", ["a"], [])]


def test_what_does_not_exist_is_said_to_and_comes_when_it_does() -> None:
    scene = Scene()
    answer = scene.ask(ENDPOINT, "a")
    assert shape(answer) == [("ClusterLoadAssignment", [], ["a"])]
    scene.settle(answer)
    assert shape(scene.put(endpoint("a"))) == [("ClusterLoadAssignment", ["a"], [])]


def test_of_what_is_not_known_nothing_is_said_until_it_is() -> None:
    scene = Scene(complete=False)
    assert scene.ask(ENDPOINT, "a", "b") == []
    assert scene.ask(CLUSTER) == []
    scene.cache.absent("node", [(ENDPOINT, "a")])
    assert shape(scene.subscription.poll()) == [("ClusterLoadAssignment", [], ["a"])]
    scene.cache.settle("node", CLUSTER)
    assert shape(scene.subscription.poll()) == [("Cluster", [], [])]


def test_nothing_is_taken_from_a_client_whose_node_is_not_assigned() -> None:
    scene = Scene(cluster("a"))
    scene.cache.unassign("node")
    assert scene.ask(CLUSTER, versions={"a": cluster("a").version, "b": "1"}) == []


def test_giving_up_what_was_never_asked_for_is_ignored() -> None:
    scene = Scene(endpoint("a"))
    assert scene.ask(ENDPOINT, unsubscribe=("a", "*", "x")) == []


# -- reconnecting ------------------------------------------------------------------------------------


def test_what_the_client_brings_along_is_not_sent_again() -> None:
    scene = running()
    again = Scene(*scene.cache.content("part"))
    assert again.ask(CLUSTER, versions={"a": cluster("a").version}) == []
    assert again.ask(ENDPOINT, "a", versions={"a": endpoint("a").version}) == []
    assert again.ask(LISTENER, "*", versions={"l": listener("l").version}) == []
    assert again.ask(ROUTE, "r", versions={"r": route("r").version}) == []
    assert again.subscription.settled


def test_what_changed_or_went_meanwhile_is_sent() -> None:
    scene = Scene(Resource(WORKLOAD, "a", b"2"), Resource(WORKLOAD, "b", b"1"))
    answer = scene.ask(WORKLOAD, "*", versions={"a": "old", "gone": "1"})
    assert shape(answer) == [("Workload", ["a", "b"], ["gone"])]


def test_no_cluster_is_taken_away_before_the_client_said_what_its_routes_are() -> None:
    scene = Scene(cluster("b"), endpoint("b"), listener("l"), route("r", b"2"))
    first = scene.ask(CLUSTER, versions={"a": "1", "b": cluster("b").version})
    first += scene.ask(ENDPOINT, "b", versions={"b": endpoint("b").version})
    assert first == []
    assert scene.ask(LISTENER, versions={"l": listener("l").version}) == []
    new_route = scene.ask(ROUTE, "r", versions={"r": route("r").version})
    assert shape(new_route) == [("RouteConfiguration", ["r"], [])]
    assert shape(scene.accept(*new_route)) == [("Cluster", [], ["a"])]


# -- make before break -------------------------------------------------------------------------------


def test_a_route_waits_for_its_cluster_and_the_old_cluster_for_the_route() -> None:
    scene = running()
    with scene.cache.transaction():
        scene.cache.update("part", [cluster("b"), endpoint("b"), route("r", b"2")], [cluster("a").key])
        scene.cache.update("part", (), [endpoint("a").key])
    make = scene.subscription.poll()
    assert shape(make) == [("Cluster", ["b"], [])]
    assert scene.accept(*make) == [], "the client did not ask for the endpoints yet"
    endpoints = scene.ask(ENDPOINT, "b")
    assert shape(endpoints) == [("ClusterLoadAssignment", ["b"], [])]
    use = scene.accept(*endpoints)
    assert shape(use) == [("RouteConfiguration", ["r"], [])]
    leave = scene.accept(*use)
    assert shape(leave) == [("Cluster", [], ["a"])]
    assert shape(scene.accept(*leave)) == [("ClusterLoadAssignment", [], ["a"])]


def test_old_routes_go_after_the_listener_that_named_them() -> None:
    scene = running()
    swap = scene.put(Resource(LISTENER, "l", b"2", ((ROUTE, "s"),)), route("s"), remove=(route("r"),))
    assert shape(swap) == [("Listener", ["l"], [])]
    new = scene.ask(ROUTE, "s")
    assert shape(new) == [("RouteConfiguration", ["s"], [])]
    assert scene.accept(*new) == []
    assert shape(scene.accept(*swap)) == [("RouteConfiguration", [], ["r"])]


def test_a_cluster_stays_until_the_new_listener_has_its_routes() -> None:
    scene = running()
    swap = scene.put(
        Resource(LISTENER, "l", b"2", ((ROUTE, "s"),)), route("s"), remove=(cluster("a"), endpoint("a"))
    )
    assert scene.accept(*swap) == [], "the old listener serves until the client has the routes of the new one"
    new = scene.ask(ROUTE, "s")
    assert shape(scene.accept(*new)) == [("Cluster", [], ["a"])]


def test_a_cluster_whose_endpoints_do_not_exist_is_not_waited_for() -> None:
    scene = running()
    make = scene.put(cluster("b"), route("r", b"2"))
    assert shape(scene.accept(*make)) == [("RouteConfiguration", ["r"], [])]


def test_endpoints_that_change_hold_nothing_up() -> None:
    scene = running()
    flip = scene.put(endpoint("a", b"2"))
    assert shape(flip) == [("ClusterLoadAssignment", ["a"], [])]
    assert shape(scene.put(route("r", b"2"))) == [("RouteConfiguration", ["r"], [])]


def test_an_updated_cluster_is_followed_by_its_endpoints() -> None:
    scene = running()
    make = scene.put(cluster("a", b"2"), route("r", b"2"))
    assert shape(make) == [("Cluster", ["a"], []), ("ClusterLoadAssignment", ["a"], [])]
    # Envoy acknowledges the cluster when it is warm, after its endpoints.
    assert scene.accept(make[1]) == []
    assert shape(scene.accept(make[0])) == [("RouteConfiguration", ["r"], [])]


def test_a_client_that_keeps_everything_gets_an_updated_cluster_alone() -> None:
    scene = Scene(cluster("a"), endpoint("a"), resend_needs=False)
    scene.settle(scene.ask(CLUSTER))
    scene.settle(scene.ask(ENDPOINT, "a"))
    assert shape(scene.put(cluster("a", b"2"))) == [("Cluster", ["a"], [])]


def test_what_comes_back_while_its_removal_waits_stays() -> None:
    scene = running()
    use = scene.put(route("r", b"2"), remove=(cluster("a"),))
    assert shape(use) == [("RouteConfiguration", ["r"], [])]
    assert scene.put(cluster("a")) == []
    assert scene.accept(*use) == []
    assert scene.subscription.settled


def test_what_comes_back_while_its_removal_is_on_its_way_is_sent_again() -> None:
    scene = running()
    leave = scene.put(remove=(cluster("a"),))
    assert shape(leave) == [("Cluster", [], ["a"])]
    assert scene.put(cluster("a"), route("r", b"2")) == []
    make = scene.accept(*leave)
    assert shape(make) == [("Cluster", ["a"], []), ("ClusterLoadAssignment", ["a"], [])]


def test_a_slow_client_is_sent_the_newest_content_once() -> None:
    scene = running()
    first = scene.put(endpoint("a", b"2"))
    assert [scene.put(endpoint("a", b"%d" % number)) for number in range(3, 10)] == [[]] * 7
    (answer,) = scene.accept(*first)
    assert answer.resources == (endpoint("a", b"9"),)
    assert scene.accept(answer) == []


# -- acknowledgements and refusals -------------------------------------------------------------------


def test_a_stale_nonce_acknowledges_nothing_but_subscribes() -> None:
    scene = Scene(endpoint("a"), endpoint("b"))
    first = scene.ask(ENDPOINT, "a")
    assert scene.ask(ENDPOINT, "b", nonce="17") == []
    assert not scene.subscription.settled
    assert shape(scene.accept(*first)) == [("ClusterLoadAssignment", ["b"], [])]


def test_a_refused_cluster_holds_the_routes_until_its_content_changes() -> None:
    scene = running()
    make = scene.put(cluster("a", b"bad"), route("r", b"to a, v2"))
    assert scene.accept(make[1]) == []
    assert scene.refuse(make[0], "a is bad") == []
    assert scene.subscription.errors() == ((CLUSTER, "a is bad", ("a",)),)
    assert not scene.subscription.settled
    better = scene.put(cluster("a", b"3"))
    assert scene.subscription.errors() == ()
    use = [found for response in better for found in scene.accept(response)]
    assert shape(use) == [("RouteConfiguration", ["r"], [])]


def test_going_back_to_what_the_client_has_needs_no_message() -> None:
    scene = running()
    make = scene.put(cluster("a", b"bad"))
    scene.settle([make[1]])
    scene.refuse(make[0])
    assert scene.put(cluster("a")) == []
    assert scene.subscription.settled


def test_a_refused_route_keeps_the_old_cluster() -> None:
    scene = running()
    use = scene.put(route("r", b"bad"), remove=(cluster("a"),))
    assert scene.refuse(*use) == []
    assert shape(scene.put(route("r", b"2"))) == [("RouteConfiguration", ["r"], [])]


def test_the_bad_one_of_many_is_found_and_the_good_ones_arrive() -> None:
    scene = Scene(*(Resource(WORKLOAD, name, b"1") for name in ("good", "fine", "bad")))
    first = scene.ask(WORKLOAD)
    (second,) = scene.refuse(*first, detail="the resource bad is bad")
    assert {resource.name for resource in second.resources} == {"good", "fine"}
    (third,) = scene.accept(second)
    assert shape([third]) == [("Workload", ["bad"], [])]
    assert scene.refuse(third, "bad is bad") == []
    assert scene.subscription.errors() == ((WORKLOAD, "bad is bad", ("bad",)),)
    assert set(scene.subscription.acknowledged(WORKLOAD)) == {"good", "fine"}
    assert not scene.subscription.moving


def test_without_a_hint_each_is_tried_alone() -> None:
    scene = Scene(*(Resource(WORKLOAD, name, b"1") for name in ("x", "y", "z")))
    answers = scene.refuse(*scene.ask(WORKLOAD), detail="?")
    seen: list[str] = []
    while answers:
        (answer,) = answers
        (resource,) = answer.resources
        seen.append(resource.name)
        answers = scene.refuse(answer, "?") if resource.name == "y" else scene.accept(answer)
    assert sorted(seen) == ["x", "y", "z"]
    assert scene.subscription.errors() == ((WORKLOAD, "?", ("y",)),)


def test_a_removal_that_is_refused_is_not_tried_for_ever() -> None:
    scene = Scene(Resource(WORKLOAD, "a", b"1"))
    scene.settle(scene.ask(WORKLOAD))
    assert scene.refuse(*scene.put(remove=(Resource(WORKLOAD, "a", b"1"),))) == []
    assert scene.subscription.settled


def test_a_client_that_starts_with_a_bad_cluster_gets_the_rest() -> None:
    scene = Scene(cluster("bad"), endpoint("bad"), listener("l"), route("r"))
    assert scene.refuse(*scene.ask(CLUSTER)) == []
    assert shape(scene.ask(LISTENER)) == [("Listener", ["l"], [])]
    assert shape(scene.ask(ROUTE, "r")) == [("RouteConfiguration", ["r"], [])]


def test_a_running_client_with_a_bad_cluster_gets_no_new_listener() -> None:
    scene = running()
    make = scene.put(cluster("bad"), listener("m", b"to bad"))
    assert scene.refuse(*make) == []
    assert scene.put(remove=(listener("l"),)) == []
    assert shape(scene.put(remove=(cluster("bad"),))) == [("Listener", ["m"], ["l"])]


def test_a_bad_cluster_holds_up_nothing_that_does_not_name_it() -> None:
    scene = running()
    make = scene.put(cluster("bad"), listener("m", b"to a"), route("r", b"to a, v2"))
    use = scene.refuse(*make)
    assert shape(use) == [("Listener", ["m"], []), ("RouteConfiguration", ["r"], [])]
    assert scene.accept(*use) == []
    assert shape(scene.put(remove=(listener("m"),))) == [("Listener", [], ["m"])]
    assert scene.subscription.errors() == ((CLUSTER, "no", ("bad",)),)


def test_a_listener_whose_routes_name_a_bad_cluster_is_held_back() -> None:
    scene = running()
    needy = Resource(LISTENER, "m", b"1", ((ROUTE, "s"),))
    assert scene.refuse(*scene.put(cluster("bad"), needy, route("s", b"to bad"))) == []


def test_secrets_wait_for_nothing() -> None:
    scene = running()
    scene.put(cluster("b"))
    assert shape(scene.ask(SECRET, "default")) == [("Secret", [], ["default"])]


# -- questions ---------------------------------------------------------------------------------------


def test_progress_of_a_version() -> None:
    scene = running()
    ask = scene.subscription.progress
    version = endpoint("a", b"2").version
    assert ask(ENDPOINT, "other", version) == (Progress.UNASKED, "")
    assert ask(WORKLOAD, "a", version) == (Progress.UNASKED, "")
    flip = scene.put(endpoint("a", b"2"))
    assert ask(ENDPOINT, "a", version) == (Progress.WAITING, "")
    scene.settle(flip)
    assert ask(ENDPOINT, "a", version) == (Progress.ACKNOWLEDGED, "")
    bad = scene.put(endpoint("a", b"3"))
    scene.refuse(*bad, detail="no")
    assert ask(ENDPOINT, "a", endpoint("a", b"3").version) == (Progress.REJECTED, "no")
    leave = scene.put(remove=(cluster("a"), endpoint("a")))
    assert ask(CLUSTER, "a", None) == (Progress.WAITING, "")
    scene.settle(leave)
    assert ask(CLUSTER, "a", None) == (Progress.ACKNOWLEDGED, "")
    assert ask(ENDPOINT, "a", None) == (Progress.ACKNOWLEDGED, "")


def test_a_client_that_asked_for_clusters_only_is_starting() -> None:
    scene = Scene()
    assert not scene.subscription.settled
    scene.settle(scene.ask(CLUSTER))
    assert not scene.subscription.settled
    scene.settle(scene.ask(LISTENER))
    assert scene.subscription.settled


def test_a_change_of_what_nobody_asked_for_concerns_nobody() -> None:
    scene = running()
    assert not scene.subscription.changed([(ENDPOINT, "other"), (SECRET, "x")])
    assert scene.subscription.changed([(ENDPOINT, "a")])
