"""Istio's networking kinds (networking.istio.io; v1, v1beta1 and v1alpha3 have one schema)."""

from tulle.model.istio.client_tls import ClientTLSSettings
from tulle.model.istio.connection_pool import (
    ConnectionPoolSettings,
    HTTPSettings,
    OutlierDetection,
    TcpKeepalive,
    TCPSettings,
)
from tulle.model.istio.destination_rule import (
    DestinationRuleSpec,
    ProxyProtocol,
    RetryBudget,
    Subset,
    TrafficPolicy,
    TunnelSettings,
)
from tulle.model.istio.envoy_filter import EnvoyConfigObjectPatch, EnvoyFilterSpec
from tulle.model.istio.fault import HTTPFaultInjection
from tulle.model.istio.gateway import (
    HTTP_PROTOCOLS,
    TCP_PROTOCOLS,
    GatewaySpec,
    Server,
    ServerPort,
)
from tulle.model.istio.http_action import (
    CorsPolicy,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
)
from tulle.model.istio.http_route import Delegate, HTTPMatchRequest, HTTPRoute
from tulle.model.istio.load_balancer import (
    ConsistentHash,
    LoadBalancerSettings,
    LocalityLoadBalancerSetting,
    ZoneAwareLoadBalancerSetting,
)
from tulle.model.istio.proxy_config import ProxyConfigSpec
from tulle.model.istio.server_tls import ServerTLSSettings
from tulle.model.istio.service_entry import ServiceEntrySpec
from tulle.model.istio.shared import (
    Destination,
    HeaderMatch,
    HTTPRouteDestination,
    PortSelector,
    RouteDestination,
    StringMatch,
    UriMatch,
)
from tulle.model.istio.sidecar import SidecarSpec
from tulle.model.istio.virtual_service import (
    MESH,
    L4MatchAttributes,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
    VirtualServiceSpec,
)
from tulle.model.istio.workload_entry import WorkloadEntrySpec, WorkloadGroupSpec, WorkloadTemplate

GROUP = "networking.istio.io"

__all__ = [
    "GROUP",
    "HTTP_PROTOCOLS",
    "MESH",
    "TCP_PROTOCOLS",
    "ClientTLSSettings",
    "ConnectionPoolSettings",
    "ConsistentHash",
    "CorsPolicy",
    "Delegate",
    "Destination",
    "DestinationRuleSpec",
    "EnvoyConfigObjectPatch",
    "EnvoyFilterSpec",
    "GatewaySpec",
    "HTTPFaultInjection",
    "HTTPMatchRequest",
    "HTTPRedirect",
    "HTTPRetry",
    "HTTPRewrite",
    "HTTPRoute",
    "HTTPRouteDestination",
    "HTTPSettings",
    "HeaderMatch",
    "L4MatchAttributes",
    "LoadBalancerSettings",
    "LocalityLoadBalancerSetting",
    "OutlierDetection",
    "PortSelector",
    "ProxyConfigSpec",
    "ProxyProtocol",
    "RetryBudget",
    "RouteDestination",
    "Server",
    "ServerPort",
    "ServerTLSSettings",
    "ServiceEntrySpec",
    "SidecarSpec",
    "StringMatch",
    "Subset",
    "TCPRoute",
    "TCPSettings",
    "TLSMatchAttributes",
    "TLSRoute",
    "TcpKeepalive",
    "TrafficPolicy",
    "TunnelSettings",
    "UriMatch",
    "VirtualServiceSpec",
    "WorkloadEntrySpec",
    "WorkloadGroupSpec",
    "WorkloadTemplate",
    "ZoneAwareLoadBalancerSetting",
]
