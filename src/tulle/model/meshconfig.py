"""MeshConfig (tulle.dev/v1), with the field names of Istio's mesh config (mesh/v1alpha1/config.proto)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from tulle.model.schema import Bool, DnsName, IstioDuration, Model, NoEffect, NotHonoured

_TELEMETRY = NotHonoured("it comes with telemetry")
_POLICY = NotHonoured("it comes with the traffic policies")
_SECURITY = NotHonoured("it comes with the security policies")
_FIXED = NoEffect("the mesh has settled it otherwise")


class HttpProcessing(StrEnum):
    """Where the HTTP of a call between two proxies is processed."""

    CLIENT = "client"
    """On the client's side; on the server's too where something needs it there."""
    BOTH = "both"
    """On both: for whoever does not trust the callers' hosts to say who calls."""


class OutboundTrafficPolicy(Model):
    mode: Literal["ALLOW_ANY", "REGISTRY_ONLY"] = "ALLOW_ANY"
    """What happens to traffic whose destination nobody declared."""


class MeshConfigSpec(Model):
    trust_domain: DnsName = "cluster.local"
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy()
    http_processing: HttpProcessing = HttpProcessing.BOTH
    """Ours, not Istio's: its sidecars process HTTP on both sides always."""
    root_namespace: Annotated[
        DnsName, NotHonoured("it is istio-system", lambda name: name != "istio-system")
    ] = "istio-system"
    enable_auto_mtls: Annotated[Bool, NotHonoured("mTLS is always on by itself", lambda on: not on)] = True
    connect_timeout: Annotated[IstioDuration | None, _POLICY] = None
    tcp_keepalive: Annotated[Any, _POLICY] = None
    locality_lb_setting: Annotated[Any, _POLICY] = None
    path_normalization: Annotated[Any, _POLICY] = None
    h2_upgrade_policy: Literal["DO_NOT_UPGRADE", "UPGRADE"] = "DO_NOT_UPGRADE"
    """Of ports that are declared HTTP and of which no DestinationRule says anything else."""
    default_http_retry_policy: Annotated[Any, _POLICY] = None
    service_settings: Annotated[Any, _POLICY] = None
    default_service_export_to: Annotated[Any, _POLICY] = None
    default_virtual_service_export_to: Annotated[Any, _POLICY] = None
    default_destination_rule_export_to: Annotated[Any, _POLICY] = None
    inbound_traffic_policy: Annotated[Any, _POLICY] = None
    access_log_file: Annotated[str, _TELEMETRY] = ""
    access_log_format: Annotated[str, _TELEMETRY] = ""
    access_log_encoding: Annotated[Literal["TEXT", "JSON"], _TELEMETRY] = "TEXT"
    disable_envoy_listener_log: Annotated[Any, _TELEMETRY] = None
    enable_envoy_access_log_service: Annotated[Any, _TELEMETRY] = None
    enable_tracing: Annotated[Any, _TELEMETRY] = None
    extension_providers: Annotated[Any, _TELEMETRY] = None
    default_providers: Annotated[Any, _TELEMETRY] = None
    inbound_cluster_stat_name: Annotated[Any, _TELEMETRY] = None
    outbound_cluster_stat_name: Annotated[Any, _TELEMETRY] = None
    enable_prometheus_merge: Annotated[Any, _TELEMETRY] = None
    trust_domain_aliases: Annotated[Any, _SECURITY] = None
    mesh_mtls: Annotated[Any, Field(alias="meshMTLS"), _SECURITY] = None
    tls_defaults: Annotated[Any, _SECURITY] = None
    ca_certificates: Annotated[Any, _SECURITY] = None
    verify_certificate_at_client: Annotated[Any, _SECURITY] = None
    certificates: Annotated[Any, _FIXED] = None
    ca: Annotated[Any, _FIXED] = None
    default_config: Annotated[Any, _FIXED] = None
    discovery_selectors: Annotated[Any, _FIXED] = None
    protocol_detection_timeout: Annotated[Any, _FIXED] = None
    dns_refresh_rate: Annotated[Any, _FIXED] = None
    config_sources: Annotated[Any, _FIXED] = None
    proxy_listen_port: Annotated[Any, _FIXED] = None
    proxy_inbound_listen_port: Annotated[Any, _FIXED] = None
    proxy_http_port: Annotated[Any, _FIXED] = None
    ingress_service: Annotated[Any, _FIXED] = None
    ingress_selector: Annotated[Any, _FIXED] = None
    ingress_class: Annotated[Any, _FIXED] = None
    ingress_controller_mode: Annotated[Any, _FIXED] = None
