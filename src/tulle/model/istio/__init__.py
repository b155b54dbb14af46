"""Istio's networking kinds (networking.istio.io; v1, v1beta1 and v1alpha3 have one schema)."""

from tulle.model.istio.destination_rule import (
    ClientTLSSettings,
    DestinationRuleSpec,
    LoadBalancerSettings,
    Subset,
    TrafficPolicy,
)
from tulle.model.istio.gateway import GatewaySpec, Server, ServerPort, ServerTLSSettings
from tulle.model.istio.service_entry import ServiceEntrySpec
from tulle.model.istio.shared import (
    Destination,
    HeaderMatch,
    HTTPRouteDestination,
    PortSelector,
    RouteDestination,
    StringMatch,
)
from tulle.model.istio.virtual_service import (
    HTTPMatchRequest,
    HTTPRoute,
    L4MatchAttributes,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
    VirtualServiceSpec,
)

GROUP = "networking.istio.io"

__all__ = [
    "GROUP",
    "ClientTLSSettings",
    "Destination",
    "DestinationRuleSpec",
    "GatewaySpec",
    "HTTPMatchRequest",
    "HTTPRoute",
    "HTTPRouteDestination",
    "HeaderMatch",
    "L4MatchAttributes",
    "LoadBalancerSettings",
    "PortSelector",
    "RouteDestination",
    "Server",
    "ServerPort",
    "ServerTLSSettings",
    "ServiceEntrySpec",
    "StringMatch",
    "Subset",
    "TCPRoute",
    "TLSMatchAttributes",
    "TLSRoute",
    "TrafficPolicy",
    "VirtualServiceSpec",
]
