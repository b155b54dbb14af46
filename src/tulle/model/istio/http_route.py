"""The HTTP routes of a VirtualService (virtual_service.proto, HTTPRoute)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from tulle.model.istio.fault import HTTPFaultInjection
from tulle.model.istio.header import Headers, MatchedHeaderName
from tulle.model.istio.host import GatewayName
from tulle.model.istio.http_action import (
    CorsPolicy,
    HTTPDirectResponse,
    HTTPMirrorPolicy,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
)
from tulle.model.istio.labels import WrittenLabels
from tulle.model.istio.shared import (
    Destination,
    HeaderMatch,
    HTTPRouteDestination,
    MatchedPort,
    Percent,
    StringMatch,
    UriMatch,
    WithoutMatch,
    check_weights,
)
from tulle.model.remark import Remark
from tulle.model.schema import (
    Bool,
    DnsLabel,
    Int,
    IstioDuration,
    Model,
    exactly_one,
    problem,
)


class HTTPMatchRequest(Model):
    name: str = ""
    uri: UriMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[MatchedHeaderName, HeaderMatch] = {}
    port: MatchedPort = None
    source_labels: WrittenLabels = {}
    gateways: tuple[GatewayName, ...] = ()
    query_params: dict[str, HeaderMatch] = {}
    ignore_uri_case: Bool = False
    without_headers: dict[MatchedHeaderName, WithoutMatch] = {}
    source_namespace: DnsLabel | None = None
    stat_prefix: str = ""


class Delegate(Model):
    name: str = ""
    namespace: str = ""
    """"": that of the root."""


_MirrorPercent = Annotated[Int, Field(ge=0, le=100)] | None


class HTTPRoute(Model):
    name: str = ""
    match: tuple[HTTPMatchRequest, ...] = ()
    route: tuple[HTTPRouteDestination, ...] = ()
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: IstioDuration | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirror_percent: _MirrorPercent = None
    """Deprecated: `mirrorPercentage`."""
    mirror_percent_snake: Annotated[_MirrorPercent, Field(alias="mirror_percent")] = None
    """The schema has the deprecated field under its name in the proto too."""
    mirror_percentage: Percent | None = None
    mirrors: tuple[HTTPMirrorPolicy, ...] = ()
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None

    def remarks(self) -> Iterator[Remark]:
        for field, value in (
            ("mirrorPercent", self.mirror_percent),
            ("mirror_percent", self.mirror_percent_snake),
        ):
            if value is not None:
                remedy = f"Write mirrorPercentage: {{value: {value}}}."
                yield Remark(field, "deprecated", f"{field} is deprecated", remedy)

    @model_validator(mode="after")
    def _fits(self) -> HTTPRoute:
        if self.delegate is None:
            exactly_one(self, "route", "redirect", "direct_response")
        elif self.route or self.redirect is not None:
            exactly_one(self, "route", "redirect", "delegate")
        in_place = "redirect" if self.redirect is not None else "directResponse"
        if self.redirect is not None or (self.direct_response is not None and self.delegate is None):
            for name, value in (("fault", self.fault), ("rewrite", self.rewrite)):
                if value is not None:
                    raise problem(
                        "exclusive-fields",
                        f"{in_place} and {name} exclude each other",
                        remedy="Remove one of them.",
                        field=name,
                    )
        if self.mirror is not None and self.mirrors:
            raise problem(
                "exclusive-fields",
                "mirror and mirrors exclude each other",
                remedy="Write all of them under mirrors.",
                field="mirror",
            )
        check_weights(self.route)
        self._check_authority()
        self._check_prefix_rewrite()
        return self

    def _check_authority(self) -> None:
        request = self.headers.request if self.headers is not None else None
        times = request.authorities if request is not None else 0
        if times + bool(self.rewrite is not None and self.rewrite.authority) > 1:
            raise problem(
                "exclusive-fields",
                "the host of the request is changed more than once",
                remedy="Write rewrite.authority alone.",
                field="headers.request",
            )

    def _check_prefix_rewrite(self) -> None:
        if self.redirect is None or not self.redirect.prefix_rewrite:
            return
        for index, match in enumerate(self.match):
            if match.uri is not None and match.uri.prefix is None:
                raise problem(
                    "exclusive-fields",
                    "redirect.prefixRewrite needs matches by prefix",
                    remedy="Write uri: {prefix: ...}.",
                    field=f"match[{index}].uri",
                )
