"""VirtualService (networking.istio.io), field by field as in virtual_service.proto."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tulle.model.istio.shared import (
    NOT_YET,
    Destination,
    HeaderMatch,
    Headers,
    HTTPRouteDestination,
    Namespaces,
    Percent,
    RouteDestination,
    StringMatch,
)
from tulle.model.schema import (
    Bool,
    DnsLabel,
    HeaderName,
    Int,
    IstioDuration,
    Labels,
    Model,
    NoEffect,
    NotHonoured,
    Port,
    Regex,
    exactly_one,
    problem,
)

_SUBNETS = NotHonoured("routes by destination address are not made yet")


class HTTPMatchRequest(Model):
    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[HeaderName, HeaderMatch] = {}
    port: Port | None = None
    source_labels: Labels = {}
    gateways: tuple[str, ...] = ()
    query_params: dict[str, HeaderMatch] = {}
    ignore_uri_case: Bool = False
    without_headers: dict[HeaderName, HeaderMatch] = {}
    source_namespace: DnsLabel | None = None
    stat_prefix: Annotated[str, NoEffect("statistics of single routes are not kept")] = ""


class HTTPRedirect(Model):
    uri: str = ""
    authority: str = ""
    port: Port | None = None
    derive_port: Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] | None = None
    scheme: str = ""
    redirect_code: Annotated[Int, Field(ge=301, le=308)] = 301

    @model_validator(mode="after")
    def _one_port(self) -> HTTPRedirect:
        if self.port is not None and self.derive_port is not None:
            exactly_one(self, "port", "derive_port")
        return self


class HTTPBody(Model):
    string: str | None = None
    bytes: str | None = None

    @model_validator(mode="after")
    def _one(self) -> HTTPBody:
        exactly_one(self, "string", "bytes")
        return self


class HTTPDirectResponse(Model):
    status: Annotated[Int, Field(ge=100, le=599)]
    body: HTTPBody | None = None


class Delegate(Model):
    name: str = ""
    namespace: str = ""


class RegexRewrite(Model):
    match: Regex
    rewrite: str = ""


class HTTPRewrite(Model):
    uri: str = ""
    authority: str = ""
    uri_regex_rewrite: RegexRewrite | None = None


class HTTPRetry(Model):
    attempts: Annotated[Int, Field(ge=0)] = 0
    per_try_timeout: IstioDuration | None = None
    retry_on: str = ""
    retry_remote_localities: Bool | None = None
    retry_ignore_previous_hosts: Bool | None = None
    backoff: IstioDuration | None = None


class FaultDelay(Model):
    percent: Int | None = None
    fixed_delay: IstioDuration | None = None
    exponential_delay: IstioDuration | None = None
    percentage: Percent | None = None


class FaultAbort(Model):
    http_status: Annotated[Int, Field(ge=200, le=599)] | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None

    @model_validator(mode="after")
    def _one(self) -> FaultAbort:
        exactly_one(self, "http_status", "grpc_status", "http2_error")
        return self


class HTTPFaultInjection(Model):
    delay: FaultDelay | None = None
    abort: FaultAbort | None = None


class HTTPMirrorPolicy(Model):
    destination: Destination
    percentage: Percent | None = None


class CorsPolicy(Model):
    allow_origin: tuple[str, ...] = ()
    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: IstioDuration | None = None
    allow_credentials: Bool | None = None
    unmatched_preflights: Literal["UNSPECIFIED", "FORWARD", "IGNORE"] = "UNSPECIFIED"


class HTTPRoute(Model):
    name: str = ""
    match: tuple[HTTPMatchRequest, ...] = ()
    route: tuple[HTTPRouteDestination, ...] = ()
    redirect: Annotated[HTTPRedirect | None, NOT_YET] = None
    direct_response: Annotated[HTTPDirectResponse | None, NOT_YET] = None
    delegate: Annotated[Delegate | None, NOT_YET] = None
    rewrite: Annotated[HTTPRewrite | None, NOT_YET] = None
    timeout: IstioDuration | None = None
    retries: Annotated[HTTPRetry | None, NOT_YET] = None
    fault: Annotated[HTTPFaultInjection | None, NOT_YET] = None
    mirror: Annotated[Destination | None, NOT_YET] = None
    mirror_percent: Annotated[Int | None, NOT_YET] = None
    mirror_percentage: Annotated[Percent | None, NOT_YET] = None
    mirrors: Annotated[tuple[HTTPMirrorPolicy, ...], NOT_YET] = ()
    cors_policy: Annotated[CorsPolicy | None, NOT_YET] = None
    headers: Annotated[Headers | None, NOT_YET] = None

    @model_validator(mode="after")
    def _one_action(self) -> HTTPRoute:
        exactly_one(self, "route", "redirect", "direct_response", "delegate")
        check_weights(self.route)
        return self


def check_weights(route: tuple[HTTPRouteDestination | RouteDestination, ...]) -> None:
    """Refuse several destinations whose weights add up to nothing (Istio's validateWeights)."""
    if len(route) > 1 and sum(each.weight for each in route) == 0:
        raise problem(
            "invalid-weight",
            "the weights of the destinations add up to 0",
            remedy="Give at least one of the destinations a weight above 0.",
            field="route",
        )


class TLSMatchAttributes(Model):
    sni_hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    destination_subnets: Annotated[tuple[str, ...], _SUBNETS] = ()
    port: Port | None = None
    source_labels: Labels = {}
    gateways: tuple[str, ...] = ()
    source_namespace: DnsLabel | None = None


class TLSRoute(Model):
    match: Annotated[tuple[TLSMatchAttributes, ...], Field(min_length=1)]
    route: tuple[RouteDestination, ...] = ()

    @model_validator(mode="after")
    def _weights(self) -> TLSRoute:
        check_weights(self.route)
        return self


class L4MatchAttributes(Model):
    destination_subnets: Annotated[tuple[str, ...], _SUBNETS] = ()
    port: Port | None = None
    source_subnet: Annotated[str, NoEffect("Istio ignores it: a proxy has one caller")] = ""
    source_labels: Labels = {}
    gateways: tuple[str, ...] = ()
    source_namespace: DnsLabel | None = None


class TCPRoute(Model):
    match: tuple[L4MatchAttributes, ...] = ()
    route: Annotated[tuple[RouteDestination, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _weights(self) -> TCPRoute:
        check_weights(self.route)
        return self


class VirtualServiceSpec(Model):
    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    """Empty: the mesh. Otherwise names of Gateways (NAME or NAMESPACE/NAME), and `mesh` for the mesh."""
    http: tuple[HTTPRoute, ...] = ()
    tls: tuple[TLSRoute, ...] = ()
    tcp: tuple[TCPRoute, ...] = ()
    export_to: Namespaces = ()

    @property
    def source_labels(self) -> frozenset[tuple[str, str]]:
        """All labels of callers that its matches ask for."""
        return frozenset(pair for match in self._matches() for pair in match.source_labels.items())

    @property
    def source_namespaces(self) -> frozenset[str]:
        """All namespaces of callers that its matches ask for."""
        return frozenset(match.source_namespace for match in self._matches() if match.source_namespace)

    def _matches(self) -> Iterator[HTTPMatchRequest | TLSMatchAttributes | L4MatchAttributes]:
        for route in (*self.http, *self.tls, *self.tcp):
            yield from route.match

    @model_validator(mode="after")
    def _has_routes(self) -> VirtualServiceSpec:
        if not (self.http or self.tls or self.tcp):
            raise problem(
                "missing-field",
                "one of http, tls, tcp is needed",
                remedy="Write at least one route under http, tls or tcp.",
            )
        if not self.hosts:
            raise problem(
                "missing-field",
                "hosts are needed (only a delegate goes without, and delegation is not honoured yet)",
                remedy="Write hosts: [NAME].",
            )
        return self
