"""A delta subscription against a naive model, over random requests, changes, refusals and reconnects.

The client is written from the protocol's text (Envoy's documentation, "Incremental xDS"). Both directions
of the stream are queues, so that messages cross each other in every order.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tulle.ads.cache import Cache, View
from tulle.ads.channel import Progress, Response
from tulle.ads.mirror import Mirror
from tulle.ads.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, WORKLOAD, Resource
from tulle.ads.subscription import Subscription
from tulle.ads.wire import DeltaRequest, DeltaResponse

NODE = "node"
NAMES = st.sampled_from(["a", "b", "c", "ab"])
BODIES = st.sampled_from([b"one", b"two", b"three", b"bad"])


class Stream:
    """Both directions of one stream, and the server's end of it."""

    def __init__(
        self, cache: Cache, heard: Callable[[], None] = lambda: None, *, resend_needs: bool = True
    ) -> None:
        self.subscription = Subscription(View(cache, NODE), resend_needs=resend_needs)
        self._heard = heard
        self.to_server: deque[DeltaRequest] = deque()
        self.to_client: deque[Response] = deque()
        self.flying: dict[str, str] = {}
        self._cancel = cache.watch(NODE, self._changed)

    def _changed(self, keys: frozenset[tuple[str, str]]) -> None:
        self.subscription.changed(keys)
        self.pump()

    def serve_one(self) -> None:
        request = self.to_server.popleft()
        if self.flying.get(request.type_url) == request.nonce:
            del self.flying[request.type_url]
        self.subscription.request(request)
        self._heard()
        self.pump()

    def pump(self) -> None:
        for response in self.subscription.poll():
            assert response.type_url not in self.flying, "two responses of one type on their way"
            names = [resource.name for resource in response.resources] + list(response.removed)
            assert len(names) == len(set(names)), "one name twice in one response"
            self.flying[response.type_url] = response.nonce
            self.to_client.append(response)
        assert not self.subscription.poll(), "asking twice gives nothing new"

    def close(self) -> None:
        self._cancel()


class OneType(RuleBasedStateMachine):
    """Wildcard and explicit subscriptions of one type that has no order among others."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache()
        self.cache.assign(NODE, ("mine", "shared"))
        self.wildcard = False
        self.names: set[str] = set()
        self.content: dict[str, Resource] = {}
        self.nonces: list[str] = []
        self.stream = Stream(self.cache)
        self.asked = False

    # -- the client's side -------------------------------------------------------------------------

    def say(self, request: DeltaRequest) -> None:
        self.stream.to_server.append(request)

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names

    @initialize(legacy=st.booleans())
    def start_with_everything(self, legacy: bool) -> None:
        if legacy:
            self.wildcard = self.asked = True
            self.say(DeltaRequest(WORKLOAD))

    @rule(names=st.sets(NAMES, min_size=1), star=st.booleans(), stale=st.booleans())
    def subscribe(self, names: set[str], star: bool, stale: bool) -> None:
        self.names |= names
        self.wildcard |= star
        self.asked = True
        nonce = self.nonces[0] if stale and len(self.nonces) > 1 else ""
        self.say(DeltaRequest(WORKLOAD, (*sorted(names), *(["*"] if star else [])), nonce=nonce))

    @rule(names=st.sets(NAMES, min_size=1))
    @precondition(lambda self: self.asked)
    def unsubscribe(self, names: set[str]) -> None:
        self.names -= names
        if not self.wildcard:
            for name in names:
                self.content.pop(name, None)
        self.say(DeltaRequest(WORKLOAD, unsubscribe=sorted(names)))

    @rule()
    @precondition(lambda self: self.wildcard)
    def unsubscribe_from_the_wildcard(self) -> None:
        self.wildcard = False
        self.content = {name: found for name, found in self.content.items() if name in self.names}
        self.say(DeltaRequest(WORKLOAD, unsubscribe=("*",)))

    @rule()
    @precondition(lambda self: self.stream.to_client)
    def receive(self) -> None:
        response = self.stream.to_client.popleft()
        self.nonces.append(response.nonce)
        bad = [resource.name for resource in response.resources if resource.body == b"bad"]
        if bad:
            self.say(DeltaRequest(WORKLOAD, nonce=response.nonce, refusal=f"I do not like {bad[0]}"))
            return
        for resource in response.resources:
            if self.wants(resource.name):
                self.content[resource.name] = resource
        for name in response.removed:
            self.content.pop(name, None)
        self.say(DeltaRequest(WORKLOAD, nonce=response.nonce))

    @rule()
    @precondition(lambda self: self.stream.to_server)
    def serve(self) -> None:
        self.stream.serve_one()

    @rule()
    def reconnect(self) -> None:
        self.stream.close()
        self.stream = Stream(self.cache)
        self.nonces = []
        if self.asked and (self.names or self.wildcard):
            names = (*sorted(self.names), *(["*"] if self.wildcard else []))
            versions = {name: resource.version for name, resource in self.content.items()}
            self.say(DeltaRequest(WORKLOAD, names, versions=versions))
        else:
            self.asked = False

    # -- the content -------------------------------------------------------------------------------

    @rule(part=st.sampled_from(["mine", "shared"]), name=NAMES, body=BODIES)
    def put(self, part: str, name: str, body: bytes) -> None:
        self.cache.update(part, [Resource(WORKLOAD, name, body)])

    @rule(part=st.sampled_from(["mine", "shared"]), name=NAMES)
    def remove(self, part: str, name: str) -> None:
        self.cache.update(part, (), [(WORKLOAD, name)])

    @rule(parts=st.permutations(["mine", "shared"]), count=st.integers(0, 2))
    def assign(self, parts: list[str], count: int) -> None:
        self.cache.assign(NODE, parts[:count])

    # -- what must hold ----------------------------------------------------------------------------

    @rule()
    def quiesce(self) -> None:
        for _ in range(1000):
            if self.stream.to_server:
                self.serve()
            elif self.stream.to_client:
                self.receive()
            else:
                break
        else:
            raise AssertionError("it never comes to rest")
        there = {name: self.cache.resource(NODE, WORKLOAD, name) for name in ("a", "b", "c", "ab")}
        refused = {name for name, found in there.items() if found is not None and found.body == b"bad"}
        for name, found in there.items():
            if name in refused and self.wants(name):
                kept = self.content.get(name)
                assert kept is None or kept.body != b"bad"
            else:
                assert self.content.get(name) == (found if self.wants(name) else None), name
        wanted = {name for name in refused if self.wants(name)}
        assert {name for _, _, names in self.stream.subscription.errors() for name in names} == wanted
        if self.asked:
            assert self.stream.subscription.settled == (not wanted)
            held = self.stream.subscription.acknowledged(WORKLOAD)
            assert held == {name: resource.version for name, resource in self.content.items()}

    def teardown(self) -> None:
        self.quiesce()


Worlds = st.dictionaries(
    st.sampled_from(["l0", "l1"]),
    st.dictionaries(
        st.sampled_from(["r0", "r1", "r2"]), st.sets(st.sampled_from(["c0", "c1", "c2", "c3"])), max_size=2
    ),
)
"""listener -> route -> clusters"""


class EnvoyLike(RuleBasedStateMachine):
    """A client that asks as Envoy does: every listener and cluster, and what these name. It must never have a
    route that names a cluster that it does not have, nor a new cluster without its endpoints."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache()
        self.cache.assign(NODE, ("part",))
        self.have: dict[str, dict[str, Resource]] = {t: {} for t in (CLUSTER, ENDPOINT, LISTENER, ROUTE)}
        self.names: dict[str, set[str]] = {ENDPOINT: set(), ROUTE: set()}
        self.bad = False
        self.connect()

    def open(self) -> Stream:
        return Stream(self.cache)

    def connect(self) -> None:
        self.stream = self.open()
        for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE):
            versions = {name: resource.version for name, resource in self.have[type_url].items()}
            if type_url in (CLUSTER, LISTENER):
                self.stream.to_server.append(DeltaRequest(type_url, versions=versions))
            elif self.names[type_url]:
                names = sorted(self.names[type_url])
                self.stream.to_server.append(DeltaRequest(type_url, names, versions=versions))

    @rule(world=Worlds, flavours=st.lists(st.integers(0, 2), min_size=4, max_size=4), mute=st.booleans())
    def change(self, world: dict[str, dict[str, set[str]]], flavours: list[int], mute: bool) -> None:
        routes: dict[str, set[str]] = {}
        for below in world.values():
            for route, clusters in below.items():
                routes[route] = routes.get(route, set()) | clusters
        clusters = sorted(set[str]().union(*routes.values()))
        resources = [Resource(CLUSTER, c, b"%d" % flavours[int(c[1])], ((ENDPOINT, c),)) for c in clusters]
        resources += [
            Resource(ENDPOINT, c, b"%d" % flavours[3 - int(c[1])])
            for c in clusters
            if not (mute and c == "c0")
        ]
        resources += [Resource(ROUTE, r, json.dumps(sorted(c)).encode()) for r, c in routes.items()]
        resources += [
            Resource(LISTENER, name, json.dumps(sorted(r)).encode(), tuple((ROUTE, x) for x in sorted(r)))
            for name, r in world.items()
        ]
        self.cache.put("part", resources)

    @rule(number=st.integers(0, 9))
    def flip_an_endpoint(self, number: int) -> None:
        for name in sorted(self.cache.names(NODE, ENDPOINT))[:1]:
            self.cache.update("part", [Resource(ENDPOINT, name, b"flip %d" % number)])

    @rule()
    @precondition(lambda self: self.stream.to_server)
    def serve(self) -> None:
        self.stream.serve_one()

    @rule()
    @precondition(lambda self: self.stream.to_client)
    def receive(self) -> None:
        response = self.stream.to_client.popleft()
        for resource in response.resources:
            if response.type_url not in self.names or resource.name in self.names[response.type_url]:
                self.have[response.type_url][resource.name] = resource
        for name in response.removed:
            self.have[response.type_url].pop(name, None)
        below = {CLUSTER: ENDPOINT, LISTENER: ROUTE}.get(response.type_url)
        acknowledgement = DeltaRequest(response.type_url, nonce=response.nonce)
        if below is None:
            self.stream.to_server.append(acknowledgement)
            return
        named = {name for found in self.have[response.type_url].values() for _, name in found.needs}
        new, old = sorted(named - self.names[below]), sorted(self.names[below] - named)
        self.names[below] = named
        for name in old:
            self.have[below].pop(name, None)
        if response.nonce.endswith(("1", "3", "5", "7", "9")):
            self.stream.to_server.append(acknowledgement)
        if new or old:
            self.stream.to_server.append(DeltaRequest(below, new, old))
        if not response.nonce.endswith(("1", "3", "5", "7", "9")):
            self.stream.to_server.append(acknowledgement)

    @rule()
    def reconnect(self) -> None:
        self.stream.close()
        self.connect()

    @invariant()
    def no_route_names_what_the_client_lacks(self) -> None:
        used = {name for found in self.have[LISTENER].values() for _, name in found.needs}
        for name in used & self.have[ROUTE].keys():
            for cluster in json.loads(self.have[ROUTE][name].body):
                assert cluster in self.have[CLUSTER], f"{name} names {cluster}"
                if self.cache.resource(NODE, ENDPOINT, cluster) and cluster != "c0":
                    assert cluster in self.have[ENDPOINT], f"{name} names {cluster} without endpoints"

    def step(self) -> bool:
        """Deliver one message, if there is one."""
        if self.stream.to_client:
            self.receive()
            self.no_route_names_what_the_client_lacks()
        elif self.stream.to_server:
            self.serve()
        else:
            return False
        return True

    @rule()
    def quiesce(self) -> None:
        for _ in range(2000):
            if not self.step():
                break
        else:
            raise AssertionError("it never comes to rest")
        for type_url in (CLUSTER, LISTENER):
            names = self.cache.names(NODE, type_url)
            assert self.have[type_url] == {n: self.cache.resource(NODE, type_url, n) for n in names}
        for type_url, asked in self.names.items():
            there = {name: self.cache.resource(NODE, type_url, name) for name in asked}
            assert self.have[type_url] == {name: found for name, found in there.items() if found}
        assert self.stream.subscription.settled

    def teardown(self) -> None:
        self.quiesce()


class BehindAnAgent(EnvoyLike):
    """The same client, of an agent that mirrors the control plane; each of the two streams may break."""

    def __init__(self) -> None:
        self.local = Cache()
        self.stream: Stream | None = None  # type: ignore[assignment]  # the agent is there before the proxy
        self.mirror = Mirror(NODE, self.local, NODE, part="upstream", downstream=self)
        self.local.assign(NODE, ("upstream",), complete=False)
        super().__init__()
        self.connect_upstream()

    # -- what the mirror asks of the agent's server ------------------------------------------------

    def subscription(self, node: str) -> Subscription | None:
        return self.stream.subscription if self.stream is not None else None

    def progress(self, node: str, type_url: str, name: str, version: str | None) -> tuple[Progress, str]:
        found = self.subscription(node)
        return (Progress.UNASKED, "") if found is None else found.progress(type_url, name, version)

    def watch(self, node: str, callback: Callable[[], None]) -> Callable[[], None]:
        raise NotImplementedError("the tests tell the mirror themselves")

    # -- the two streams ---------------------------------------------------------------------------

    def open(self) -> Stream:
        return Stream(self.local, self.heard)

    def heard(self) -> None:
        if self.upstream is not None:
            self.upstream.to_server.extend(self.mirror.advance())
        else:
            self.mirror.judge()

    upstream: Stream | None = None

    def connect_upstream(self) -> None:
        self.upstream = Stream(self.cache, resend_needs=False)
        self.upstream.to_server.extend(self.mirror.start())

    @rule()
    @precondition(lambda self: self.upstream)
    def upstream_breaks(self) -> None:
        assert self.upstream is not None
        self.upstream.close()
        self.upstream = None

    @rule()
    @precondition(lambda self: not self.upstream)
    def upstream_comes_back(self) -> None:
        self.connect_upstream()

    @rule()
    @precondition(lambda self: self.upstream and self.upstream.to_server)
    def serve_upstream(self) -> None:
        assert self.upstream is not None
        self.upstream.serve_one()

    @rule()
    @precondition(lambda self: self.upstream and self.upstream.to_client)
    def receive_from_upstream(self) -> None:
        assert self.upstream is not None
        response = self.upstream.to_client.popleft()
        received = DeltaResponse(response.type_url, response.nonce, response.resources, response.removed)
        self.upstream.to_server.extend(self.mirror.received(received))

    @rule()
    def a_new_proxy_starts(self) -> None:
        self.stream.close()
        self.have = {type_url: {} for type_url in self.have}
        self.names = {ENDPOINT: set(), ROUTE: set()}
        self.connect()

    def step(self) -> bool:
        if self.upstream is None:
            self.connect_upstream()
        assert self.upstream is not None
        if super().step():
            return True
        if self.upstream.to_client:
            self.receive_from_upstream()
        elif self.upstream.to_server:
            self.serve_upstream()
        else:
            return False
        return True

    @rule()
    def quiesce(self) -> None:
        super().quiesce()
        assert self.upstream is not None
        assert self.upstream.subscription.settled
        assert {r.key: r for r in self.mirror.content()} == {
            r.key: r for r in self.local.content("upstream")
        }, "all that is here was accepted"


TestOneType = OneType.TestCase
TestOneType.settings = settings(max_examples=250, stateful_step_count=40, deadline=None)
TestEnvoyLike = EnvoyLike.TestCase
TestEnvoyLike.settings = settings(max_examples=250, stateful_step_count=40, deadline=None)
TestBehindAnAgent = BehindAnAgent.TestCase
TestBehindAnAgent.settings = settings(max_examples=250, stateful_step_count=50, deadline=None)


def test_endpoints_that_are_gone_for_a_while_are_waited_for_when_they_are_back() -> None:
    """The client keeps the cluster all the time, so nothing but its endpoints is sent when they come back."""
    state = BehindAnAgent()
    same = [0, 0, 0, 0]
    state.change(world={"l0": {"r0": {"c1"}}}, flavours=same, mute=False)
    state.quiesce()
    state.reconnect()
    state.change(world={}, flavours=same, mute=False)
    state.receive_from_upstream()
    state.change(world={"l0": {"r0": {"c0", "c1", "c2", "c3"}}}, flavours=[0, 0, 1, 0], mute=False)
    state.receive_from_upstream()
    state.change(world={}, flavours=same, mute=False)
    state.serve_upstream()
    state.change(world={"l0": {"r0": {"c3"}}}, flavours=same, mute=False)
    state.teardown()
