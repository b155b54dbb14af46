"""DestinationRule (networking.istio.io), field by field as in destination_rule.proto."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tulle.model.istio.shared import POLICY_LATER, ExportTo, PortSelector
from tulle.model.schema import Bool, Int, IstioDuration, Labels, Model, NotHonoured, Number, Port, problem

_Count = Annotated[Int, Field(ge=0)]
_ServedBalancing = ("UNSPECIFIED", "LEAST_REQUEST", "LEAST_CONN", "ROUND_ROBIN", "RANDOM")


class HTTPCookieAttribute(Model):
    name: str
    value: str = ""


class HTTPCookie(Model):
    name: Annotated[str, Field(min_length=1)]
    path: str = ""
    ttl: str | None = None
    attributes: tuple[HTTPCookieAttribute, ...] = ()


class RingHash(Model):
    minimum_ring_size: _Count = 1024


class MagLev(Model):
    table_size: _Count = 65537


class ConsistentHash(Model):
    http_header_name: str = ""
    http_cookie: HTTPCookie | None = None
    use_source_ip: Bool | None = None
    http_query_parameter_name: str = ""
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None
    minimum_ring_size: _Count | None = None


class LocalityDistribute(Model):
    from_: Annotated[str, Field(alias="from")] = ""
    to: dict[str, Annotated[Int, Field(ge=0, le=100)]] = {}


class LocalityFailover(Model):
    from_: Annotated[str, Field(alias="from")] = ""
    to: str = ""


class LocalityLoadBalancerSetting(Model):
    distribute: tuple[LocalityDistribute, ...] = ()
    failover: tuple[LocalityFailover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: Bool | None = None


class WarmupConfiguration(Model):
    duration: IstioDuration
    minimum_percent: Number | None = None
    aggression: Number | None = None


class LoadBalancerSettings(Model):
    simple: Annotated[
        Literal["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"] | None,
        NotHonoured(
            "LEAST_REQUEST, ROUND_ROBIN and RANDOM are known",
            lambda value: value is not None and value not in _ServedBalancing,
        ),
    ] = None
    consistent_hash: Annotated[ConsistentHash | None, POLICY_LATER] = None
    locality_lb_setting: Annotated[LocalityLoadBalancerSetting | None, POLICY_LATER] = None
    warmup_duration_secs: Annotated[IstioDuration | None, POLICY_LATER] = None
    warmup: Annotated[WarmupConfiguration | None, POLICY_LATER] = None

    @model_validator(mode="after")
    def _one(self) -> LoadBalancerSettings:
        if self.simple is not None and self.consistent_hash is not None:
            raise problem(
                "exclusive-fields",
                "simple and consistentHash exclude each other",
                remedy="Write one of them.",
                field="consistentHash",
            )
        return self


class TcpKeepalive(Model):
    probes: _Count | None = None
    time: IstioDuration | None = None
    interval: IstioDuration | None = None


class TCPSettings(Model):
    max_connections: _Count | None = None
    connect_timeout: IstioDuration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: IstioDuration | None = None
    idle_timeout: IstioDuration | None = None


class HTTPSettings(Model):
    http1_max_pending_requests: _Count | None = None
    http2_max_requests: _Count | None = None
    max_requests_per_connection: _Count | None = None
    max_retries: _Count | None = None
    idle_timeout: IstioDuration | None = None
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] = "DEFAULT"
    use_client_protocol: Bool = False
    max_concurrent_streams: _Count | None = None


class ConnectionPoolSettings(Model):
    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None


class OutlierDetection(Model):
    consecutive_errors: Int | None = None
    split_external_local_origin_errors: Bool = False
    consecutive_local_origin_failures: _Count | None = None
    consecutive_gateway_errors: _Count | None = None
    consecutive_5xx_errors: Annotated[_Count | None, Field(alias="consecutive5xxErrors")] = None
    interval: IstioDuration | None = None
    base_ejection_time: IstioDuration | None = None
    max_ejection_percent: Annotated[Int, Field(ge=0, le=100)] | None = None
    min_health_percent: Annotated[Int, Field(ge=0, le=100)] | None = None


def _not_of_the_mesh(mode: Any) -> bool:
    return mode not in ("ISTIO_MUTUAL", "DISABLE")


class ClientTLSSettings(Model):
    mode: Annotated[
        Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"],
        NotHonoured("ISTIO_MUTUAL and DISABLE are known", _not_of_the_mesh),
    ] = "DISABLE"
    client_certificate: Annotated[str, POLICY_LATER] = ""
    private_key: Annotated[str, POLICY_LATER] = ""
    ca_certificates: Annotated[str, POLICY_LATER] = ""
    credential_name: Annotated[str, POLICY_LATER] = ""
    subject_alt_names: Annotated[tuple[str, ...], POLICY_LATER] = ()
    sni: Annotated[str, POLICY_LATER] = ""
    insecure_skip_verify: Annotated[Bool | None, POLICY_LATER] = None
    ca_crl: Annotated[str, POLICY_LATER] = ""

    @model_validator(mode="after")
    def _mesh_certificates(self) -> ClientTLSSettings:
        if self.mode == "ISTIO_MUTUAL":
            for name in ("client_certificate", "private_key", "ca_certificates", "credential_name"):
                if getattr(self, name):
                    alias = type(self).model_fields[name].alias or name
                    raise problem(
                        "exclusive-fields",
                        f"mode ISTIO_MUTUAL excludes {alias}",
                        remedy="The mesh gives the certificates: remove the field.",
                        field=alias,
                    )
        return self


class TunnelSettings(Model):
    protocol: Literal["CONNECT", "POST"] = "CONNECT"
    target_host: str
    target_port: Port


class ProxyProtocol(Model):
    version: Literal["V1", "V2"] = "V1"


class RetryBudget(Model):
    percent: Number | None = None
    min_retry_concurrency: _Count | None = None


class PortTrafficPolicy(Model):
    """What may differ by port: there all settings of the destination are replaced, none inherited."""

    port: PortSelector
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: Annotated[ConnectionPoolSettings | None, POLICY_LATER] = None
    outlier_detection: Annotated[OutlierDetection | None, POLICY_LATER] = None
    tls: ClientTLSSettings | None = None


class TrafficPolicy(Model):
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: Annotated[ConnectionPoolSettings | None, POLICY_LATER] = None
    outlier_detection: Annotated[OutlierDetection | None, POLICY_LATER] = None
    tls: ClientTLSSettings | None = None
    port_level_settings: Annotated[tuple[PortTrafficPolicy, ...], POLICY_LATER] = ()
    tunnel: Annotated[TunnelSettings | None, POLICY_LATER] = None
    proxy_protocol: Annotated[ProxyProtocol | None, POLICY_LATER] = None
    retry_budget: Annotated[RetryBudget | None, POLICY_LATER] = None


class Subset(Model):
    name: Annotated[str, Field(min_length=1)]
    labels: Labels = {}
    traffic_policy: TrafficPolicy | None = None


class WorkloadSelector(Model):
    match_labels: Labels = {}


class DestinationRuleSpec(Model):
    host: Annotated[str, Field(min_length=1)]
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: ExportTo = ()
    workload_selector: Annotated[
        WorkloadSelector | None, NotHonoured("a rule holds for every caller, not for selected ones")
    ] = None

    @model_validator(mode="after")
    def _subsets_are_distinct(self) -> DestinationRuleSpec:
        names = [subset.name for subset in self.subsets]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise problem(
                    "duplicate-name",
                    f"two subsets are called “{name}”",
                    remedy="Give every subset its own name.",
                    field=f"subsets[{index}].name",
                )
        return self
