"""A change costs work and bytes for whom it concerns: a thousand proxies, from the World to the wire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from tests.unit.mesh.certificate import secret
from tests.unit.mesh.worldly import publish, report, report_all, world_of
from tulle.ads import wire
from tulle.ads.cache import Cache, View
from tulle.ads.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, Resource
from tulle.ads.subscription import Subscription
from tulle.ads.wire import DeltaRequest
from tulle.app.pipeline import Pipeline, proxy_node
from tulle.mesh.policy.envoy_filter import ENVOY_FILTER
from tulle.mesh.resolve import Resolution
from tulle.model.resource import Key

pytestmark = pytest.mark.xdist_group("thousand")  # one such mesh is enough for all tests

NAMESPACES = 50
PER_NAMESPACE = 20
GATEWAY = "ns0/edge-istio"
MANAGER = "envoy.filters.network.http_connection_manager"
MANAGER_TYPE = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def app(number: int) -> str:
    replicas = PER_NAMESPACE // 4
    return f"""
apiVersion: tulle.dev/v1
kind: App
metadata: {{name: app, namespace: ns{number}}}
spec:
  services:
    web: {{ports: [{{port: 80, name: http}}], command: web, replicas: {replicas}}}
    api: {{ports: [{{port: 80, name: http}}], command: api, replicas: {replicas}}}
    rpc: {{ports: [{{port: 9000, name: grpc}}], command: rpc, replicas: {replicas}}}
    log: {{ports: [{{port: 514, name: tcp}}], command: log, replicas: {replicas}}}
"""


def http_route(path: str, namespace: str = "ns7", comment: str = "") -> str:
    """A route for web.ns7; written in another namespace it holds for the callers there alone (GEP-1426)."""
    return f"""{comment}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web, namespace: {namespace}}}
spec:
  parentRefs: [{{group: "", kind: Service, name: web, namespace: ns7}}]
  rules: [{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{{name: api, port: 80}}]}}]
"""


def virtual_service(weight: int) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: rpc, namespace: ns9}}
spec:
  hosts: [rpc]
  http:
  - route: [{{destination: {{host: rpc}}, weight: {weight}}}, {{destination: {{host: rpc.ns8}}, weight: 1}}]
"""


EDGE = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: ns0}
spec:
  gatewayClassName: tulle
  listeners:
  - {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: edge}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: edge, namespace: ns0}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: api, port: 80}]}]
"""


@dataclass(frozen=True)
class Message:
    node: str
    type_url: str
    resources: tuple[Resource, ...]
    content: int
    """The hash of its bytes."""


class Proxy:
    """An Envoy on its incremental stream, without the stream: it accepts everything, and asks for what its
    clusters and listeners need."""

    def __init__(self, node: str, cache: Cache, encoder: wire.Encoder, sent: list[Message]) -> None:
        self._node = node
        self._encoder = encoder
        self._sent = sent
        self._subscription = Subscription(View(cache, node))
        self.listeners: dict[str, bytes] = {}
        cache.watch(node, self._changed)
        for type_url in (CLUSTER, LISTENER):
            self._subscription.request(DeltaRequest(type_url, ("*",)))
        self._converse()

    @property
    def settled(self) -> bool:
        return self._subscription.settled

    def _changed(self, keys: frozenset[tuple[str, str]]) -> None:
        if self._subscription.changed(keys):
            self._converse()

    def _converse(self) -> None:
        while responses := self._subscription.poll():
            for response in responses:
                fields = [self._encoder.delta(resource) for resource in response.resources]
                content = wire.delta_response(response.type_url, response.nonce, fields, response.removed)
                self._sent.append(Message(self._node, response.type_url, response.resources, hash(content)))
                if response.type_url == LISTENER:
                    self.listeners |= {each.name: each.body for each in response.resources}
                self._subscription.request(DeltaRequest(response.type_url, nonce=response.nonce))
                self._ask(need for resource in response.resources for need in resource.needs)
                if response.type_url == LISTENER and self._node == GATEWAY:
                    self._ask([(SECRET, "kubernetes://ns0/edge")])

    def _ask(self, needs: Iterable[tuple[str, str]]) -> None:
        wanted: dict[str, set[str]] = {}
        for type_url, name in needs:
            wanted.setdefault(type_url, set()).add(name)
        for type_url, names in wanted.items():
            if new := names - self._subscription.subscribed(type_url):
                self._subscription.request(DeltaRequest(type_url, sorted(new)))


@dataclass
class Done:
    """What one change led to."""

    computed: Counter[str]
    """How often each derived function ran."""
    serialised: int
    """How many resources were encoded."""
    messages: list[Message] = field(default_factory=list[Message])

    @property
    def nodes(self) -> set[str]:
        return {each.node for each in self.messages}

    @property
    def types(self) -> Counter[str]:
        return Counter(each.type_url for each in self.messages)


class Mesh:
    def __init__(self) -> None:
        apps = "---".join(app(number) for number in range(NAMESPACES))
        rest = (EDGE, secret("edge", "ns0"), http_route("/a"), http_route("/a", "ns3"), virtual_service(1))
        self.world = world_of("---".join((apps, *rest)))
        report_all(self.world)
        self._cache = Cache()
        resolution = Resolution(self.world)
        self._pipeline = Pipeline(self.world, resolution, self._cache)
        self._pipeline.turn()
        self._encoder = wire.Encoder()
        self._sent: list[Message] = []
        nodes = [proxy_node(at) for at in resolution.proxies()]
        self.proxies = {node: Proxy(node, self._cache, self._encoder, self._sent) for node in nodes}
        self.first = Done(self.world.graph.computed.copy(), self._encoder.serialised, self._sent.copy())

    def after(self, change: Callable[[], object]) -> Done:
        """Take a turn after a change, until every proxy has all that it is to have."""
        self._sent.clear()
        computed, serialised = self.world.graph.computed.copy(), self._encoder.serialised
        change()
        self._pipeline.turn()
        assert all(proxy.settled for proxy in self.proxies.values())
        done = self.world.graph.computed - computed
        return Done(done, self._encoder.serialised - serialised, self._sent.copy())

    def write(self, text: str) -> Done:
        return self.after(lambda: publish(self.world, text))

    def listeners(self) -> dict[str, dict[str, bytes]]:
        return {node: proxy.listeners.copy() for node, proxy in self.proxies.items()}


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return Mesh()


def of_namespace(number: int) -> set[str]:
    return {
        f"ns{number}/{service}-{replica}"
        for service in ("web", "api", "rpc", "log")
        for replica in range(1, PER_NAMESPACE // 4 + 1)
    }


SIDECARS = set[str]().union(*map(of_namespace, range(NAMESPACES)))


def test_everybody_has_everything_and_each_content_is_serialised_once(mesh: Mesh) -> None:
    assert mesh.proxies.keys() == SIDECARS | {GATEWAY}
    assert len(SIDECARS) == 1000
    assert all(proxy.settled for proxy in mesh.proxies.values())
    sent = {(each.name, each.body) for message in mesh.first.messages for each in message.resources}
    assert mesh.first.serialised == len(sent)
    assert mesh.first.computed["translate"] == NAMESPACES + 1000 + 1, "outbound, inbound, gateway"


def test_a_route_of_a_service_is_for_all_its_callers(mesh: Mesh) -> None:
    done = mesh.write(http_route("/b"))
    assert done.computed == {
        "ranked_routes": 1,
        "special_hosts": 1,
        "attached": 3,  # as ns7, ns3 and all others see the host
        "host_routes": 2,  # not as ns3, which has a route of its own
        "virtual_hosts": 2,
        "routes_by_address": 2,
        "shared_hosts": 1,
        "route_table": NAMESPACES,
        "outbound": NAMESPACES - 1,
        "translate": NAMESPACES - 1,
        "part_content": NAMESPACES - 1,
        "all_parts": 1,
    }
    assert done.nodes == SIDECARS - of_namespace(3), (
        "no byte to the gateway, nor to who has a route of its own"
    )
    assert done.types == {ROUTE: 1000 - PER_NAMESPACE}
    assert done.serialised == NAMESPACES - 1, "each namespace has a table of its own"
    assert {each.name for message in done.messages for each in message.resources} == {"80"}


def test_a_route_of_one_namespace_is_for_that_namespace(mesh: Mesh) -> None:
    done = mesh.write(http_route("/b", "ns3"))
    assert done.computed == {
        "ranked_routes": 1,
        "special_hosts": 1,
        "attached": 3,
        "host_routes": 1,
        "virtual_hosts": 1,
        "routes_by_address": 1,
        "route_table": 1,
        "outbound": 1,
        "translate": 1,
        "part_content": 1,
        "all_parts": 1,
    }
    assert done.types == {ROUTE: PER_NAMESPACE}
    assert done.nodes == of_namespace(3), "no byte to the other 981"
    assert done.serialised == 1
    assert len({message.content for message in done.messages}) == 1


def test_a_weight_is_for_the_callers_of_its_host(mesh: Mesh) -> None:
    done = mesh.write(virtual_service(3))
    assert done.computed == {
        "attached": 2,
        "host_routes": 2,  # as ns9 and all others see the host
        "virtual_hosts": 2,
        "routes_by_address": 2,
        "shared_hosts": 1,
        "foreign_hosts": NAMESPACES,  # whether it names hosts that are not in the mesh
        "route_table": NAMESPACES,
        "outbound": NAMESPACES,
        "translate": NAMESPACES,
        "part_content": NAMESPACES,
        "all_parts": 1,
    }
    assert done.types == {ROUTE: 1000}
    assert {each.name for message in done.messages for each in message.resources} == {"9000"}


def test_a_readiness_is_serialised_once_and_is_one_message_for_each(mesh: Mesh) -> None:
    for name in ("web-1", "web-2"):
        done = mesh.after(lambda name=name: report(mesh.world, "ns7", name, ready=False))
        assert done.computed == {
            "presence": 1,
            "endpoints": 1,
            "translate_endpoints": 1,
            "records": 1,  # what the agents' DNS answers of this service
            "encode_names": 1,
            "all_content": 2,
        }
        assert done.serialised == 1
        assert done.types == {ENDPOINT: 1000}
        assert done.nodes == SIDECARS
        (changed,) = {each for message in done.messages for each in message.resources}
        assert changed.name == "outbound|80||web.ns7.svc.cluster.local"


def test_a_certificate_is_a_secret_of_its_gateway(mesh: Mesh) -> None:
    done = mesh.write(secret("edge", "ns0", edition=2))
    assert done.computed == {"listener_states": 1, "certificates": 1, "all_parts": 1}
    (message,) = done.messages
    assert (message.node, message.type_url) == (GATEWAY, SECRET)
    assert done.serialised == 1
    gone = mesh.after(lambda: mesh.world.resources.remove(Key("", "Secret", "ns0", "edge")))
    assert gone.nodes == {GATEWAY}
    back = mesh.write(secret("edge", "ns0", edition=2))
    assert back.nodes == {GATEWAY}


def test_a_comment_is_for_nobody(mesh: Mesh) -> None:
    mesh.write(http_route("/d"))
    done = mesh.write(http_route("/d", comment="# every line moves"))
    assert (done.computed, done.serialised, done.messages) == ({}, 0, [])


def test_nothing_costs_nothing(mesh: Mesh) -> None:
    done = mesh.after(lambda: None)
    assert (done.computed, done.serialised, done.messages) == ({}, 0, [])


def test_a_new_service_is_one_cluster_for_all(mesh: Mesh) -> None:
    done = mesh.write(
        """
        apiVersion: v1
        kind: Service
        metadata: {name: logs, namespace: ns5}
        spec: {selector: {app: log}, ports: [{name: tcp, port: 515, targetPort: 514}]}
        """
    )
    assert done.nodes == SIDECARS
    made = {each for message in done.messages for each in message.resources}
    assert {each.type_url for each in made} == {CLUSTER, ENDPOINT, LISTENER}
    assert done.serialised == len(made) == 3, "in fifty parts"


def test_listeners_stay_whatever_happens_behind_them(mesh: Mesh) -> None:
    before = mesh.listeners()
    mesh.write(http_route("/c"))
    mesh.write(http_route("/c", "ns3"))
    mesh.write(virtual_service(7))
    mesh.write(secret("edge", "ns0", edition=3))
    for ready in (False, True):
        mesh.after(lambda ready=ready: report(mesh.world, "ns9", "rpc-2", ready))
    assert mesh.listeners() == before


def envoy_filter(seconds: int, context: str, comment: str = "") -> str:
    return f"""{comment}
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: idle, namespace: ns7}}
spec:
  workloadSelector: {{labels: {{app: api}}}}
  configPatches:
  - applyTo: NETWORK_FILTER
    match: {{context: {context}, listener: {{filterChain: {{filter: {{name: {MANAGER}}}}}}}}}
    patch:
      operation: MERGE
      value:
        typed_config:
          "@type": type.googleapis.com/{MANAGER_TYPE}
          common_http_protocol_options: {{idle_timeout: {seconds}s}}
"""


def test_an_envoy_filter_is_for_whom_it_selects(mesh: Mesh) -> None:
    selected = {f"ns7/api-{number}" for number in range(1, 6)}
    before = mesh.listeners()
    inbound = mesh.write(envoy_filter(30, "SIDECAR_INBOUND"))
    assert inbound.nodes == selected
    assert inbound.types == {LISTENER: 5}
    assert inbound.computed["patch_part"] == 5, "each has ports of its own"
    changed = mesh.write(envoy_filter(31, "SIDECAR_INBOUND"))
    assert changed.nodes == selected
    assert changed.computed["patch_part"] == 5
    moved = mesh.write(envoy_filter(31, "SIDECAR_INBOUND", "# every line moves"))
    assert (moved.nodes, moved.serialised, moved.computed["patch_part"]) == (set(), 0, 0)
    outbound = mesh.write(envoy_filter(31, "SIDECAR_OUTBOUND"))
    assert outbound.nodes == selected
    assert outbound.computed["patch_part"] == 1, "what they call is the same, patched once"
    mesh.after(lambda: mesh.world.resources.remove(Key(*ENVOY_FILTER, "ns7", "idle")))
    assert mesh.listeners() == before
