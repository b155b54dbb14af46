"""ConnectionPoolSettings and OutlierDetection, field by field as in Istio's destination_rule.proto, with the
rules of its validation (pkg/config/validation: validateConnectionPool, validateOutlierDetection)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tulle.model.istio.load_balancer import Count
from tulle.model.schema import (
    AnyDuration,
    Bool,
    Int,
    IstioDuration,
    Model,
    NoEffect,
    check_istio_duration,
    problem,
    seconds,
)

_Limit = Annotated[Int, Field(ge=0, le=2**31 - 1)]
"""int32; 0 is no limit of one's own"""
_Percent = Annotated[Int, Field(ge=0, le=100)]


def _check_idle(value: str) -> str:
    """0 and what is less than a millisecond is none (`validateConnectionPool`)."""
    return check_istio_duration(value) if seconds(value) >= 0.001 else value


class TcpKeepalive(Model):
    probes: Count = 0
    time: IstioDuration | None = None
    interval: IstioDuration | None = None


class TCPSettings(Model):
    max_connections: _Limit = 0
    connect_timeout: IstioDuration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: IstioDuration | None = None
    idle_timeout: Annotated[AnyDuration, AfterValidator(_check_idle)] | None = None


class ConnectionKeepalive(Model):
    interval: IstioDuration
    timeout: IstioDuration


class HTTPSettings(Model):
    http1_max_pending_requests: _Limit = 0
    http2_max_requests: _Limit = 0
    max_requests_per_connection: _Limit = 0
    max_retries: _Limit = 0
    idle_timeout: IstioDuration | None = None
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] = "DEFAULT"
    use_client_protocol: Bool = False
    max_concurrent_streams: _Limit = 0
    http2_keep_alive: ConnectionKeepalive | None = None

    @model_validator(mode="after")
    def _one_protocol(self) -> HTTPSettings:
        if self.use_client_protocol and self.h2_upgrade_policy == "UPGRADE":
            raise problem(
                "exclusive-fields",
                "h2UpgradePolicy UPGRADE excludes useClientProtocol",
                remedy="Write one of them.",
                field="useClientProtocol",
            )
        return self


class ConnectionPoolSettings(Model):
    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None

    @model_validator(mode="after")
    def _something(self) -> ConnectionPoolSettings:
        if self.tcp is None and self.http is None:
            raise problem("missing-field", "one of tcp, http is needed", remedy="Write one, or nothing.")
        return self


_OUTWARD = NoEffect("a proxy calls its own application once, in the HTTP that it was called in")


class InboundHTTPSettings(HTTPSettings):
    """What a Sidecar says of what reaches a workload. Istio upgrades outbound clusters alone, and repeats
    nothing on the inbound side."""

    max_retries: Annotated[_Limit, _OUTWARD] = 0
    h2_upgrade_policy: Annotated[Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"], _OUTWARD] = "DEFAULT"
    use_client_protocol: Annotated[Bool, _OUTWARD] = False


class InboundConnectionPoolSettings(ConnectionPoolSettings):
    http: InboundHTTPSettings | None = None  # pyright: ignore[reportIncompatibleVariableOverride] frozen


class OutlierDetection(Model):
    consecutive_errors: Annotated[
        Int | None, NoEffect("Istio has given it up for consecutive5xxErrors and consecutiveGatewayErrors")
    ] = None
    split_external_local_origin_errors: Bool = False
    consecutive_local_origin_failures: Count | None = None
    consecutive_gateway_errors: Count | None = None
    consecutive_5xx_errors: Annotated[Count | None, Field(alias="consecutive5xxErrors")] = None
    interval: IstioDuration | None = None
    base_ejection_time: IstioDuration | None = None
    max_ejection_percent: _Percent = 0
    """0: Envoy's 10"""
    min_health_percent: _Percent = 0
    outlier_detection_http_error_codes: tuple[Annotated[Int, Field(ge=100, le=599)], ...] = ()

    @model_validator(mode="after")
    def _local_origin(self) -> OutlierDetection:
        if self.consecutive_local_origin_failures and not self.split_external_local_origin_errors:
            raise problem(
                "missing-field",
                "consecutiveLocalOriginFailures needs splitExternalLocalOriginErrors",
                remedy="Write splitExternalLocalOriginErrors: true.",
                field="consecutiveLocalOriginFailures",
            )
        return self
