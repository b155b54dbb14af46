"""MeshConfig (tulle.dev/v1), with the field names of Istio's mesh config (mesh/v1alpha1/config.proto)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from tulle.model.istio import (
    HTTPRetry,
    LocalityLoadBalancerSetting,
    TcpKeepalive,
    ZoneAwareLoadBalancerSetting,
)
from tulle.model.istio.shared import Namespaces, ServiceNamespaces
from tulle.model.schema import (
    Bool,
    DnsName,
    IstioDuration,
    Model,
    NoEffect,
    NotHonoured,
    problem,
    seconds,
)

_TELEMETRY = NotHonoured("it comes with telemetry")
_POLICY = NotHonoured("there is no such setting for the whole mesh in this version")
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


def _check_connect_timeout(value: str) -> str:
    """Istio's `ValidateConnectTimeout`."""
    if seconds(value) > 3600:
        raise problem("out-of-range", f"{value} is more than an hour", remedy="Write 1h at most.")
    return value


class MeshConfigSpec(Model):
    trust_domain: DnsName = "cluster.local"
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy()
    http_processing: HttpProcessing = HttpProcessing.BOTH
    """Ours, not Istio's: its sidecars process HTTP on both sides always."""
    root_namespace: Annotated[
        DnsName, NotHonoured("it is istio-system", lambda name: name != "istio-system")
    ] = "istio-system"
    enable_auto_mtls: Annotated[Bool, NotHonoured("mTLS is always on by itself", lambda on: not on)] = True
    connect_timeout: Annotated[IstioDuration, AfterValidator(_check_connect_timeout)] | None = None
    """None: 10 s."""
    tcp_keepalive: TcpKeepalive | None = None
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    """In place of localityLbSetting."""
    default_traffic_policy: Annotated[Any, _POLICY] = None
    path_normalization: Annotated[Any, _POLICY] = None
    h2_upgrade_policy: Literal["DO_NOT_UPGRADE", "UPGRADE"] = "DO_NOT_UPGRADE"
    """Of ports that are declared HTTP and of which no DestinationRule says anything else."""
    default_http_retry_policy: HTTPRetry | None = None
    """Of HTTP routes that say nothing of retries. None: the mesh's own."""
    service_settings: Annotated[Any, _POLICY] = None
    default_service_export_to: ServiceNamespaces = ()
    default_virtual_service_export_to: Namespaces = ()
    default_destination_rule_export_to: Namespaces = ()
    """Of resources without `exportTo`. Empty: every namespace."""
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
    hbone_idle_timeout: Annotated[Any, NoEffect("proxies speak to each other without HBONE")] = None
    service_scope_configs: Annotated[Any, NoEffect("there is one cluster")] = None
    service_entry_visibility: Annotated[Any, _POLICY] = None
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

    @property
    def is_local(self) -> bool:
        """Whether it matters to all calls where callers are. (With failover alone it does to those to hosts
        whose outliers are detected, as their DestinationRules say.)"""
        return bool(
            self.zone_aware_lb_setting or (self.locality_lb_setting and self.locality_lb_setting.distribute)
        )

    @property
    def compared_labels(self) -> frozenset[str]:
        """The names of labels in which callers are compared with endpoints."""
        settings = (self.locality_lb_setting, self.zone_aware_lb_setting)
        priorities = (each.failover_priority for each in settings if each is not None)
        return frozenset(name for each in priorities for name in each if "=" not in name)
