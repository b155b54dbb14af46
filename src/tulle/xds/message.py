"""Envoy's messages, and the few ways in which they are put together here.

The generated classes come without type stubs, so this is the one module that names them. Constructors
take nested dicts (enum values by name), which upb fills in C: a translation reads like the YAML that an
operator sees, at a tenth of `ParseDict`'s cost.
"""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any, TypeAlias

from google.protobuf.unknown_fields import UnknownFieldSet

from tulle.kit.protobuf import length_delimited

Tree: TypeAlias = dict[str, Any]
"""A message that is not built yet: field names as in the .proto files."""


def _message(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


_CONFIG = "envoy.config."
_EXTENSION = "envoy.extensions."
_HTTP_MANAGER = _EXTENSION + "filters.network.http_connection_manager.v3.http_connection_manager_pb2"

Cluster = _message(_CONFIG + "cluster.v3.cluster_pb2", "Cluster")
ClusterLoadAssignment = _message(_CONFIG + "endpoint.v3.endpoint_pb2", "ClusterLoadAssignment")
DynamicForwardProxyCluster = _message(
    _EXTENSION + "clusters.dynamic_forward_proxy.v3.cluster_pb2", "ClusterConfig"
)
DynamicForwardProxy = _message(
    _EXTENSION + "filters.http.dynamic_forward_proxy.v3.dynamic_forward_proxy_pb2", "FilterConfig"
)
SniDynamicForwardProxy = _message(
    _EXTENSION + "filters.network.sni_dynamic_forward_proxy.v3.sni_dynamic_forward_proxy_pb2", "FilterConfig"
)
DnsCluster = _message(_EXTENSION + "clusters.dns.v3.dns_cluster_pb2", "DnsCluster")
Listener = _message(_CONFIG + "listener.v3.listener_pb2", "Listener")
RouteConfiguration = _message(_CONFIG + "route.v3.route_pb2", "RouteConfiguration")
FilterChain = _message(_CONFIG + "listener.v3.listener_components_pb2", "FilterChain")
NetworkFilter = _message(_CONFIG + "listener.v3.listener_components_pb2", "Filter")
ListenerFilter = _message(_CONFIG + "listener.v3.listener_components_pb2", "ListenerFilter")
TypedExtensionConfig = _message(_CONFIG + "core.v3.extension_pb2", "TypedExtensionConfig")
Route = _message(_CONFIG + "route.v3.route_components_pb2", "Route")
VirtualHost = _message(_CONFIG + "route.v3.route_components_pb2", "VirtualHost")
RouteList = _message(_CONFIG + "route.v3.route_components_pb2", "RouteList")

HttpConnectionManager = _message(_HTTP_MANAGER, "HttpConnectionManager")
HttpFilter = _message(_HTTP_MANAGER, "HttpFilter")
TcpProxy = _message(_EXTENSION + "filters.network.tcp_proxy.v3.tcp_proxy_pb2", "TcpProxy")
UdpProxy = _message(_EXTENSION + "filters.udp.udp_proxy.v3.udp_proxy_pb2", "UdpProxyConfig")
UdpRoute = _message(_EXTENSION + "filters.udp.udp_proxy.v3.route_pb2", "Route")
SourcePortInput = _message(
    _EXTENSION + "matching.common_inputs.network.v3.network_inputs_pb2", "SourcePortInput"
)
RuntimeFraction = _message(
    _EXTENSION + "matching.input_matchers.runtime_fraction.v3.runtime_fraction_pb2", "RuntimeFraction"
)
Router = _message(_EXTENSION + "filters.http.router.v3.router_pb2", "Router")
Cors = _message(_EXTENSION + "filters.http.cors.v3.cors_pb2", "Cors")
CorsPolicy = _message(_EXTENSION + "filters.http.cors.v3.cors_pb2", "CorsPolicy")
HttpFault = _message(_EXTENSION + "filters.http.fault.v3.fault_pb2", "HTTPFault")
_SESSION = _EXTENSION + "filters.http.stateful_session.v3.stateful_session_pb2"
StatefulSession = _message(_SESSION, "StatefulSession")
StatefulSessionPerRoute = _message(_SESSION, "StatefulSessionPerRoute")
CookieSessionState = _message(
    _EXTENSION + "http.stateful_session.cookie.v3.cookie_pb2", "CookieBasedSessionState"
)
HeaderSessionState = _message(
    _EXTENSION + "http.stateful_session.header.v3.header_pb2", "HeaderBasedSessionState"
)
Rbac = _message(_EXTENSION + "filters.network.rbac.v3.rbac_pb2", "RBAC")
HeaderMutation = _message(
    _EXTENSION + "filters.http.header_mutation.v3.header_mutation_pb2", "HeaderMutation"
)
UpstreamCodec = _message(_EXTENSION + "filters.http.upstream_codec.v3.upstream_codec_pb2", "UpstreamCodec")
SetFilterState = _message(_EXTENSION + "filters.network.set_filter_state.v3.set_filter_state_pb2", "Config")
FilterStateInput = _message(
    _EXTENSION + "matching.common_inputs.network.v3.network_inputs_pb2", "FilterStateInput"
)
IpRange = _message(_EXTENSION + "matching.input_matchers.ip.v3.ip_pb2", "Ip")
OriginalDst = _message(_EXTENSION + "filters.listener.original_dst.v3.original_dst_pb2", "OriginalDst")
TlsInspector = _message(_EXTENSION + "filters.listener.tls_inspector.v3.tls_inspector_pb2", "TlsInspector")
HttpInspector = _message(
    _EXTENSION + "filters.listener.http_inspector.v3.http_inspector_pb2", "HttpInspector"
)
ProxyProtocol = _message(
    _EXTENSION + "filters.listener.proxy_protocol.v3.proxy_protocol_pb2", "ProxyProtocol"
)
EarlyHeaderMutation = _message(
    _EXTENSION + "http.early_header_mutation.header_mutation.v3.header_mutation_pb2", "HeaderMutation"
)
PreviousHosts = _message(
    _EXTENSION + "retry.host.previous_hosts.v3.previous_hosts_pb2", "PreviousHostsPredicate"
)
PreviousPriorities = _message(
    _EXTENSION + "retry.priority.previous_priorities.v3.previous_priorities_config_pb2",
    "PreviousPrioritiesConfig",
)
UpstreamTls = _message(_EXTENSION + "transport_sockets.tls.v3.tls_pb2", "UpstreamTlsContext")
DownstreamTls = _message(_EXTENSION + "transport_sockets.tls.v3.tls_pb2", "DownstreamTlsContext")
Secret = _message(_EXTENSION + "transport_sockets.tls.v3.secret_pb2", "Secret")
RawBuffer = _message(_EXTENSION + "transport_sockets.raw_buffer.v3.raw_buffer_pb2", "RawBuffer")
UpstreamProxyProtocol = _message(
    _EXTENSION + "transport_sockets.proxy_protocol.v3.upstream_proxy_protocol_pb2",
    "ProxyProtocolUpstreamTransport",
)
HttpProtocolOptions = _message(
    _EXTENSION + "upstreams.http.v3.http_protocol_options_pb2", "HttpProtocolOptions"
)
_RetryBudget = _message(_CONFIG + "cluster.v3.circuit_breaker_pb2", "CircuitBreakers").Thresholds.RetryBudget
_BUDGET_INTERVAL = 3
Matcher = _message("xds.type.matcher.v3.matcher_pb2", "Matcher")
_Duration = _message("google.protobuf.duration_pb2", "Duration")
_Any = _message("google.protobuf.any_pb2", "Any")
_Struct = _message("google.protobuf.struct_pb2", "Struct")
_Value = _message("google.protobuf.struct_pb2", "Value")

YES: Tree = {"value": True}
NO: Tree = {"value": False}


def type_url(message_class: Any) -> str:
    """`type.googleapis.com/...` of a message class."""
    return "type.googleapis.com/" + message_class.DESCRIPTOR.full_name


def serialise(message: Any) -> bytes:
    """The one spelling of a message's bytes (map entries sorted): its hash is its version."""
    return message.SerializeToString(deterministic=True)


def field(message_class: Any, name: str, content: bytes) -> bytes:
    """A field of a message, where the message that it holds is serialised already."""
    return length_delimited(message_class.DESCRIPTOR.fields_by_name[name].number, content)


def packed(message: Any) -> Any:
    """A message as google.protobuf.Any; `Any.Pack` alone would not be deterministic inside."""
    return _Any(type_url=type_url(type(message)), value=serialise(message))


def extension(name: str, message: Any) -> Tree:
    """A typed extension, as filters, transport sockets and predicates are written."""
    return {"name": name, "typed_config": packed(message)}


def texts(values: dict[str, str]) -> Any:
    """A google.protobuf.Struct of strings. A dict would be read as its content here and as its `fields`
    inside of a map."""
    return _Struct(fields={key: _Value(string_value=value) for key, value in values.items()})


def seconds(value: float) -> timedelta:
    """A Duration field."""
    return timedelta(seconds=value)


def number(value: int) -> Tree:
    """A wrapped integer field."""
    return {"value": value}


def over_ads(initial_fetch_seconds: float = 0) -> Tree:
    """A config source: the stream that everything else comes from.

    0: whoever needs the resource waits for it, however long; it warms behind its predecessor and serves no
    request with half of its configuration (Istio's choice too).
    """
    return {
        "ads": {},
        "initial_fetch_timeout": seconds(initial_fetch_seconds),
        "resource_api_version": "V3",
    }


def retry_budget(known: Tree, interval_seconds: float) -> Any:
    """CircuitBreakers.Thresholds.RetryBudget with `budget_interval`, which Envoy 1.40 has and the generated
    classes do not have yet: it travels as a field that they do not know."""
    built = _RetryBudget(**known)
    interval = _Duration()
    interval.FromTimedelta(seconds(interval_seconds))
    built.MergeFromString(length_delimited(_BUDGET_INTERVAL, interval.SerializeToString()))
    return built


def budget_interval(built: Any) -> str:
    """The `budget_interval` of such a message as JSON has it; "" if there is none."""
    for field in UnknownFieldSet(built):
        if field.field_number == _BUDGET_INTERVAL:
            return _Duration.FromString(field.data).ToJsonString()
    return ""


def socket_address(address: str, port: int, protocol: str = "TCP") -> Tree:
    """core.v3.Address of a socket."""
    return {"socket_address": {"address": address, "port_value": port, "protocol": protocol}}


def cidr(text: str) -> Tree:
    """core.v3.CidrRange; an address without a length is that one address."""
    address, _, length = text.partition("/")
    width = 128 if ":" in address else 32
    return {"address_prefix": address, "prefix_len": number(int(length) if length else width)}
