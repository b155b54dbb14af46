"""Hand-made Views, as `resolve` would make them of a small shop."""

from __future__ import annotations

from tulle.mesh.view import (
    Cluster,
    Discovery,
    Endpoint,
    EndpointSet,
    Forward,
    Gateway,
    GatewayChain,
    GatewayListener,
    HttpChain,
    Inbound,
    InboundMtls,
    InboundPort,
    MatchKind,
    MutualTls,
    NamedMatch,
    Origin,
    Outbound,
    OutboundChain,
    OutboundListener,
    Protocol,
    RequestMatch,
    Route,
    RouteTable,
    ServerTls,
    TcpChain,
    ValueMatch,
    VirtualHost,
    WeightedCluster,
)

HERE = Origin("Service", "shop", "reviews")
REVIEWS = "outbound|9080||reviews.shop.svc.cluster.local"
ORDERS = "outbound|7000||orders.shop.svc.cluster.local"
TRUST_DOMAIN = "cluster.local"


def identity(account: str) -> str:
    return f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/{account}"


def named(address: str, port: int) -> EndpointSet:
    return EndpointSet(address, (Endpoint(address, port, mtls=False),), HERE)


def eds_cluster(name: str, protocol: Protocol, alpn: str) -> Cluster:
    names = ("a",) if alpn == "tulle-http" else ("a", "b")
    mtls = MutualTls(tuple(map(identity, names)), alpn, "outbound_.9080_._.reviews")
    return Cluster(name, Discovery.EDS, HERE, protocol=protocol, mtls=mtls)


def host(name: str, *routes: Route, domains: tuple[str, ...] = ()) -> VirtualHost:
    return VirtualHost(name, domains or (name,), routes, HERE)


def route(name: str, match: RequestMatch, *clusters: tuple[str, int]) -> Route:
    return Route(name, match, Forward(tuple(WeightedCluster(*one) for one in clusters)), HERE)


def header(name: str, value: str, kind: MatchKind = MatchKind.EXACT, invert: bool = False) -> RequestMatch:
    return RequestMatch(headers=(NamedMatch(name, ValueMatch(kind, value, invert=invert)),))


def outbound(allow_any: bool = True, routes: tuple[Route, ...] = ()) -> Outbound:
    any_tcp = OutboundChain("any", TcpChain((WeightedCluster("PassthroughCluster"),), "passthrough"), HERE)
    return Outbound(
        scope="outbound/shop",
        allow_any=allow_any,
        listeners=(
            OutboundListener(
                "0.0.0.0_9080",
                "0.0.0.0",
                9080,
                (
                    OutboundChain(
                        "http", HttpChain("9080", "outbound_9080"), HERE, destination_cidrs=("10.96.0.0/12",)
                    ),
                ),
                any_tcp,
                HERE,
            ),
            OutboundListener(
                "10.96.0.7_7000",
                "10.96.0.7",
                7000,
                (),
                OutboundChain("tcp", TcpChain((WeightedCluster(ORDERS),), "orders"), HERE),
                HERE,
            ),
            OutboundListener(
                "10.96.0.8_4000",
                "10.96.0.8",
                4000,
                (
                    OutboundChain("h", HttpChain("9080", "detect"), HERE, application="http"),
                    OutboundChain(
                        "sni", TcpChain((WeightedCluster(ORDERS),), "sni"), HERE, server_names=("a.example",)
                    ),
                ),
                any_tcp,
                HERE,
                inspect_seconds=0.1,
            ),
        ),
        route_tables=(
            RouteTable(
                "9080",
                (
                    host(
                        "reviews.shop.svc.cluster.local:9080",
                        *(routes or (route("all", RequestMatch(), (REVIEWS, 1)),)),
                        domains=("reviews.shop.svc.cluster.local", "reviews", "10.96.0.6"),
                    ),
                ),
                HERE,
            ),
        ),
        clusters=(
            eds_cluster(REVIEWS, Protocol.HTTP, "tulle-http"),
            eds_cluster(ORDERS, Protocol.TCP, "tulle"),
            Cluster(
                "outbound|80||example.com",
                Discovery.DNS,
                HERE,
                protocol=Protocol.HTTP,
                named_endpoints=named("example.com", 80),
            ),
            Cluster("outbound|5432||db", Discovery.ORIGINAL_DESTINATION, HERE, restrict_to=("10.68.0.9",)),
        ),
    )


def inbound(
    *ports: tuple[int, Protocol, InboundMtls], default: InboundMtls = InboundMtls.PERMISSIVE
) -> Inbound:
    return Inbound(
        namespace="shop",
        workload="reviews-v1",
        address="10.68.0.5",
        identity=identity("a"),
        trust_domain=TRUST_DOMAIN,
        ports=tuple(InboundPort(*one, f"inbound|{one[0]}||", HERE) for one in ports),
        clusters=tuple(
            Cluster(
                f"inbound|{number}||",
                Discovery.STATIC,
                HERE,
                protocol=protocol,
                addresses=(("10.68.0.5", number),),
                source_address="127.0.0.6",
            )
            for number, protocol, _ in ports
        ),
        default_mtls=default,
    )


def endpoints(name: str = REVIEWS) -> EndpointSet:
    return EndpointSet(
        name,
        (
            Endpoint("10.68.0.5", 9080, mtls=True),
            Endpoint("10.68.0.6", 9080, mtls=False, weight=3, healthy=False),
            Endpoint("10.68.0.7", 9080, mtls=True, priority=7, locality=("r", "z", "")),
        ),
        HERE,
    )


def gateway(
    *, port: int = 8080, routes: tuple[Route, ...] = (), clusters: tuple[Cluster, ...] = ()
) -> Gateway:
    return Gateway(
        namespace="istio-system",
        workload="istio-ingressgateway",
        address="10.68.0.2",
        identity=identity("gateway"),
        trust_domain=TRUST_DOMAIN,
        listeners=(
            GatewayListener(
                f"0.0.0.0_{port}",
                port,
                "HTTP",
                (GatewayChain("http", HttpChain(f"http.{port}", "gateway"), HERE),),
                HERE,
            ),
            GatewayListener(
                "0.0.0.0_443",
                443,
                "HTTPS",
                (
                    GatewayChain(
                        "https",
                        HttpChain(f"http.{port}", "gateway"),
                        HERE,
                        server_names=("shop.example",),
                        tls=ServerTls(("istio-system/shop-certificate",)),
                    ),
                    GatewayChain(
                        "passthrough",
                        TcpChain((WeightedCluster(ORDERS),), "tls"),
                        HERE,
                        server_names=("raw.example", "*.raw.example"),
                    ),
                ),
                HERE,
            ),
        ),
        route_tables=(
            RouteTable(
                f"http.{port}",
                (
                    host(
                        "shop.example:80",
                        *(routes or (route("all", RequestMatch(), (REVIEWS, 1)),)),
                        domains=("*",),
                    ),
                ),
                HERE,
            ),
        ),
        clusters=clusters
        or (eds_cluster(REVIEWS, Protocol.HTTP, "tulle-http"), eds_cluster(ORDERS, Protocol.TCP, "tulle")),
    )
