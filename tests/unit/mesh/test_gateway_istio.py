"""Istio's Gateways with the VirtualServices bound to them."""

from __future__ import annotations

from tests.unit.mesh.certificate import secret
from tests.unit.mesh.routed import ask, codes, shop
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import Gateway, HttpChain, Reject, ServerTls, TcpChain

REVIEWS, RATINGS, DETAILS = (
    f"outbound|9080||{name}.shop.svc.cluster.local" for name in ("reviews", "ratings", "details")
)
ORDERS = "outbound|7000||orders.shop.svc.cluster.local"


def gateway(servers: str, name: str = "edge", namespace: str = "shop") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{istio: ingressgateway}}
  servers: {servers}
"""


def virtual_service(
    name: str, rest: str, hosts: str = "['*']", namespace: str = "shop", gateways: str = "[edge]"
) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: {hosts}
  gateways: {gateways}
  {rest}
"""


def to(host: str, match: str = "") -> str:
    return f"{{{match}route: [{{destination: {{host: {host}, port: {{number: 9080}}}}}}]}}"


def served(resolution: Resolution) -> Gateway:
    found = resolution.gateway(("istio-system", "istio-ingressgateway"))
    assert found is not None
    return found


HTTP = "{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}"


def test_a_virtual_service_bound_to_a_gateway_is_served_there() -> None:
    _, resolution = shop(
        gateway(f"[{HTTP}]"),
        virtual_service("book", f"http: [{to('reviews', 'match: [{uri: {prefix: /reviews}}], ')}]"),
    )
    view = served(resolution)
    assert view.listeners[0].chains[0].then == HttpChain("http.80", "outbound_0.0.0.0_80")
    assert ask(view, "http.80", "anything", "/reviews/1") == REVIEWS
    assert ask(view, "http.80", "anything", "/") == "404"
    assert [each.name for each in view.clusters] == [REVIEWS]
    assert ask(resolution.outbound("shop"), "9080", "reviews", "/other") == REVIEWS
    assert not resolution.findings()


def test_virtual_services_of_one_host_are_merged_what_takes_everything_last() -> None:
    _, resolution = shop(
        gateway(f"[{HTTP}]"),
        virtual_service("a", f"http: [{to('reviews')}]", "[a.example.com]"),
        virtual_service("b", f"http: [{to('ratings', 'match: [{uri: {prefix: /r}}], ')}]", "[a.example.com]"),
    )
    view = served(resolution)
    assert ask(view, "http.80", "a.example.com", "/r") == RATINGS
    assert ask(view, "http.80", "a.example.com", "/other") == REVIEWS


def test_hosts_are_those_that_the_server_and_the_virtual_service_have_in_common() -> None:
    _, resolution = shop(
        gateway("[{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*.example.com', b.org]}]"),
        virtual_service("a", f"http: [{to('reviews')}]", "[a.example.com, example.com, x.org]"),
        virtual_service("b", f"http: [{to('ratings')}]", "['*.org']"),
        virtual_service("c", f"http: [{to('ratings')}]", "[nothing.net]"),
    )
    view = served(resolution)
    assert ask(view, "http.80", "a.example.com") == REVIEWS
    assert ask(view, "http.80", "example.com") == "404"
    assert ask(view, "http.80", "b.org") == RATINGS
    assert ask(view, "http.80", "x.org") == "404"
    assert codes(resolution) == [("not-attached", "VirtualService/c", "spec.gateways[0]")]


def test_a_server_may_open_a_host_to_one_namespace() -> None:
    servers = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: [front/a.com, ./b.com, '*/c.com']}]"
    _, resolution = shop(
        gateway(servers),
        virtual_service("own", f"http: [{to('reviews')}]", "[a.com, b.com, c.com]"),
        virtual_service("front", f"http: [{to('ratings.shop')}]", "[a.com, b.com]", "front", "[shop/edge]"),
    )
    view = served(resolution)
    assert ask(view, "http.80", "a.com") == RATINGS
    assert ask(view, "http.80", "b.com") == REVIEWS
    assert ask(view, "http.80", "c.com") == REVIEWS


def test_several_gateways_share_a_port_by_host() -> None:
    _, resolution = shop(
        gateway("[{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com]}]", "one"),
        gateway("[{port: {number: 80, name: http, protocol: HTTP}, hosts: [b.com]}]", "two", "front"),
        virtual_service("a", f"http: [{to('reviews')}]", "[a.com, b.com]", gateways="[one]"),
        virtual_service("b", f"http: [{to('ratings.shop')}]", "[b.com]", "front", "[two]"),
    )
    view = served(resolution)
    assert len(view.listeners) == 1
    assert ask(view, "http.80", "a.com") == REVIEWS
    assert ask(view, "http.80", "b.com") == RATINGS


def test_routes_may_be_for_one_gateway_and_others_for_the_mesh() -> None:
    _, resolution = shop(
        gateway(f"[{HTTP}]"),
        virtual_service(
            "both",
            f"http: [{to('ratings', 'match: [{gateways: [edge]}], ')}, {to('details')}]",
            "[reviews]",
            gateways="[mesh, edge]",
        ),
    )
    assert ask(served(resolution), "http.80", "reviews.shop.svc.cluster.local") == RATINGS
    assert ask(resolution.outbound("shop"), "9080", "reviews") == DETAILS


HTTPS = (
    "{port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.com], "
    "tls: {mode: SIMPLE, credentialName: cert}}"
)


def test_https_ends_at_the_gateway_with_its_secret() -> None:
    texts = (
        gateway(f"[{HTTPS}]"),
        virtual_service("a", f"http: [{to('reviews')}]", "[a.com]"),
    )
    _, resolution = shop(*texts, secret("cert", "istio-system"))
    view = served(resolution)
    (chain,) = view.listeners[0].chains
    assert chain.server_names == ("a.com",)
    assert chain.tls == ServerTls(("istio-system/cert",))
    assert ask(view, "https.443.https.edge.shop", "a.com") == REVIEWS

    _, resolution = shop(*texts, secret("cert", "shop"))  # not where the gateway's proxy stands
    assert served(resolution).listeners == ()
    assert codes(resolution) == [
        ("invalid-certificate", "Gateway/edge", "spec.servers[0].tls.credentialName")
    ]


def test_tls_passes_through_by_name_and_tcp_as_a_whole() -> None:
    _, resolution = shop(
        gateway(
            "[{port: {number: 8443, name: tls, protocol: TLS}, hosts: ['*.com'], tls: {mode: PASSTHROUGH}},"
            "{port: {number: 7000, name: tcp, protocol: TCP}, hosts: ['*']},"
            "{port: {number: 7001, name: idle, protocol: TCP}, hosts: ['*']}]"
        ),
        virtual_service(
            "tls",
            "tls: [{match: [{port: 8443, sniHosts: [a.com, b.org]}], "
            "route: [{destination: {host: vault}}]}]\n  "
            "tcp: [{match: [{port: 7000}], route: [{destination: {host: orders}}]}]",
        ),
    )
    view = served(resolution)
    tcp, idle, tls = view.listeners
    assert [chain.server_names for chain in tls.chains] == [("a.com",)]
    assert isinstance(tls.chains[0].then, TcpChain)
    assert isinstance(tcp.chains[0].then, TcpChain)
    assert [each.cluster for each in tcp.chains[0].then.clusters] == [ORDERS]
    assert idle.chains[0].then == Reject()


def test_a_missing_gateway_is_a_finding() -> None:
    _, resolution = shop(virtual_service("a", f"http: [{to('reviews')}]"))
    assert codes(resolution) == [("reference-not-found", "VirtualService/a", "spec.gateways[0]")]


def test_a_subset_of_a_rule_has_its_cluster_at_the_gateway() -> None:
    _, resolution = shop(
        gateway(f"[{HTTP}]"),
        virtual_service(
            "a",
            "http: [{route: [{destination: {host: reviews, subset: v1}, weight: 1}, "
            "{destination: {host: reviews, subset: v2}, weight: 9}]}]",
        ),
        """
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: reviews, namespace: shop}
        spec:
          host: reviews
          subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
        """,
    )
    view = served(resolution)
    names = [f"outbound|9080|{subset}|reviews.shop.svc.cluster.local" for subset in ("v1", "v2")]
    assert [each.name for each in view.clusters] == names
    assert ask(view, "http.80", "x") == f"{names[0]}=1 {names[1]}=9"


def test_a_gateway_is_called_by_its_address_whatever_the_host_header() -> None:
    world, resolution = shop(gateway(f"[{HTTP}]"), virtual_service("a", f"http: [{to('reviews')}]"))
    host = "istio-ingressgateway.istio-system.svc.cluster.local"
    address = world.service(host).addresses[0]  # type: ignore[union-attr]
    view = resolution.outbound("front")
    (listener,) = [each for each in view.listeners if each.address == address and each.port == 80]
    assert listener.chains == ()
    assert isinstance(listener.otherwise.then, TcpChain)
    assert [each.cluster for each in listener.otherwise.then.clusters] == [f"outbound|80||{host}"]
    assert ask(view, "80", host) == "PassthroughCluster"


def test_plain_http_and_something_else_do_not_share_a_port() -> None:
    tcp = "{port: {number: 80, name: tcp, protocol: TCP}, hosts: ['*']}"
    _, resolution = shop(
        gateway(f"[{tcp}]", "younger"),
        gateway(f"[{HTTP}]", "older"),
        virtual_service("a", f"http: [{to('reviews')}]", gateways="[older]"),
        virtual_service("b", "tcp: [{route: [{destination: {host: orders}}]}]", gateways="[younger]"),
    )
    # From files both are equally old, and the name decides.
    assert ask(served(resolution), "http.80", "x") == REVIEWS
    assert codes(resolution) == [("listener-conflict", "Gateway/younger", "spec.servers[0].port")]


def test_nothing_comes_after_a_route_that_takes_everything() -> None:
    """In one resource. At gateways such a route is put behind those of others, and must not let pass before
    itself what stands after it."""
    _, resolution = shop(
        gateway(f"[{HTTP}]"),
        virtual_service("a", f"http: [{to('reviews')}, {to('ratings', 'match: [{uri: {exact: /x}}], ')}]"),
        virtual_service("b", f"http: [{to('details', 'match: [{uri: {exact: /y}}], ')}]"),
    )
    assert ask(served(resolution), "http.80", "any.example", "/x") == REVIEWS
    assert ask(served(resolution), "http.80", "any.example", "/y") == DETAILS
