"""The View: what one proxy shall do, with every name, selector and merge rule already answered.

`mesh/` writes it (`resolve`), `xds/` translates it, `render` and `explain` show it. It speaks of routes,
clusters and ports, never of the language in which a user wrote them: that is only in `Origin`.

Everything is frozen and compares by content, so equal parts of two proxies are made once. The View is
put together from *parts* (outbound per scope, inbound per workload, gateways one by one); a part is the
unit of sharing and of change. Names of clusters, virtual hosts and listeners are those that mesh tools
and EnvoyFilters know from Istio (`outbound|9080|v1|reviews.shop.svc.cluster.local`).
"""

from __future__ import annotations

from tulle.mesh.view.cluster import Balancing, Cluster, Discovery, Endpoint, EndpointSet, MutualTls
from tulle.mesh.view.gateway import Certificate, Gateway, GatewayChain, GatewayListener, ServerTls
from tulle.mesh.view.listener import (
    HttpChain,
    Inbound,
    InboundMtls,
    InboundPort,
    Outbound,
    OutboundChain,
    OutboundListener,
    Reject,
    TcpChain,
)
from tulle.mesh.view.origin import Origin, Protocol
from tulle.mesh.view.proxyless import Proxyless, Target
from tulle.mesh.view.route import (
    MISSING_CLUSTER,
    Cors,
    DestinationRoutes,
    Fault,
    Forward,
    HashKey,
    HashSource,
    HeaderChanges,
    MatchKind,
    Mirror,
    NamedMatch,
    PathChange,
    PathRewrite,
    PortChoice,
    Redirect,
    RequestMatch,
    Respond,
    Retry,
    Route,
    RouteTable,
    Session,
    ValueMatch,
    VirtualHost,
    WeightedCluster,
)
from tulle.mesh.view.whole import View, WorkloadView

__all__ = [
    "MISSING_CLUSTER",
    "Balancing",
    "Certificate",
    "Cluster",
    "Cors",
    "DestinationRoutes",
    "Discovery",
    "Endpoint",
    "EndpointSet",
    "Fault",
    "Forward",
    "Gateway",
    "GatewayChain",
    "GatewayListener",
    "HashKey",
    "HashSource",
    "HeaderChanges",
    "HttpChain",
    "Inbound",
    "InboundMtls",
    "InboundPort",
    "MatchKind",
    "Mirror",
    "MutualTls",
    "NamedMatch",
    "Origin",
    "Outbound",
    "OutboundChain",
    "OutboundListener",
    "PathChange",
    "PathRewrite",
    "PortChoice",
    "Protocol",
    "Proxyless",
    "Redirect",
    "Reject",
    "RequestMatch",
    "Respond",
    "Retry",
    "Route",
    "RouteTable",
    "ServerTls",
    "Session",
    "Target",
    "TcpChain",
    "ValueMatch",
    "View",
    "VirtualHost",
    "WeightedCluster",
    "WorkloadView",
]
