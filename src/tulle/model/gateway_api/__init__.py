"""The Gateway API's kinds (gateway.networking.k8s.io), field by field as published in v1.6."""

from tulle.model.gateway_api.backend_tls_policy import BackendTLSPolicySpec
from tulle.model.gateway_api.backend_traffic_policy import (
    BackendTrafficPolicySpec,
    PolicyTargetReference,
)
from tulle.model.gateway_api.gateway import (
    AllowedRoutes,
    FrontendTLSValidation,
    GatewayClassSpec,
    GatewayInfrastructure,
    GatewaySpec,
    Listener,
    ListenerNamespaces,
    ListenerTLSConfig,
    ParametersReference,
    RouteGroupKind,
    RouteNamespaces,
)
from tulle.model.gateway_api.grpc_route import (
    GRPCBackendRef,
    GRPCHeaderMatch,
    GRPCMethodMatch,
    GRPCRouteFilter,
    GRPCRouteMatch,
    GRPCRouteRule,
    GRPCRouteSpec,
)
from tulle.model.gateway_api.http_filter import (
    HTTPCORSFilter,
    HTTPHeader,
    HTTPHeaderFilter,
    HTTPPathModifier,
    HTTPRequestMirrorFilter,
    HTTPRequestRedirectFilter,
)
from tulle.model.gateway_api.http_route import (
    HTTPBackendRef,
    HTTPHeaderMatch,
    HTTPPathMatch,
    HTTPQueryParamMatch,
    HTTPRouteFilter,
    HTTPRouteMatch,
    HTTPRouteRule,
    HTTPRouteSpec,
    HTTPRouteTimeouts,
)
from tulle.model.gateway_api.l4_route import (
    L4RouteRule,
    TCPRouteSpec,
    TLSRouteSpec,
    TLSRouteV1Alpha2Spec,
    UDPRouteSpec,
)
from tulle.model.gateway_api.listener_set import ListenerSetSpec
from tulle.model.gateway_api.reference_grant import ReferenceGrantFrom, ReferenceGrantSpec, ReferenceGrantTo
from tulle.model.gateway_api.shared import (
    BackendObjectReference,
    LocalObjectReference,
    ObjectReference,
    ParentReference,
    SecretObjectReference,
    SessionPersistence,
)

GROUP = "gateway.networking.k8s.io"
EXPERIMENTAL_GROUP = "gateway.networking.x-k8s.io"

__all__ = [
    "EXPERIMENTAL_GROUP",
    "GROUP",
    "AllowedRoutes",
    "BackendObjectReference",
    "BackendTLSPolicySpec",
    "BackendTrafficPolicySpec",
    "FrontendTLSValidation",
    "GRPCBackendRef",
    "GRPCHeaderMatch",
    "GRPCMethodMatch",
    "GRPCRouteFilter",
    "GRPCRouteMatch",
    "GRPCRouteRule",
    "GRPCRouteSpec",
    "GatewayClassSpec",
    "GatewayInfrastructure",
    "GatewaySpec",
    "HTTPBackendRef",
    "HTTPCORSFilter",
    "HTTPHeader",
    "HTTPHeaderFilter",
    "HTTPHeaderMatch",
    "HTTPPathMatch",
    "HTTPPathModifier",
    "HTTPQueryParamMatch",
    "HTTPRequestMirrorFilter",
    "HTTPRequestRedirectFilter",
    "HTTPRouteFilter",
    "HTTPRouteMatch",
    "HTTPRouteRule",
    "HTTPRouteSpec",
    "HTTPRouteTimeouts",
    "L4RouteRule",
    "Listener",
    "ListenerNamespaces",
    "ListenerSetSpec",
    "ListenerTLSConfig",
    "LocalObjectReference",
    "ObjectReference",
    "ParametersReference",
    "ParentReference",
    "PolicyTargetReference",
    "ReferenceGrantFrom",
    "ReferenceGrantSpec",
    "ReferenceGrantTo",
    "RouteGroupKind",
    "RouteNamespaces",
    "SecretObjectReference",
    "SessionPersistence",
    "TCPRouteSpec",
    "TLSRouteSpec",
    "TLSRouteV1Alpha2Spec",
    "UDPRouteSpec",
]
