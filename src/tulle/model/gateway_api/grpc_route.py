"""GRPCRoute (gateway.networking.k8s.io), with the rules of its CRD (apis/v1/grpcroute_types.go, v1.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tulle.model.gateway_api.http_filter import (
    HTTPHeaderFilter,
    HTTPRequestMirrorFilter,
    check_members,
    check_names,
)
from tulle.model.gateway_api.http_route import BACKEND_FILTERS, check_rules
from tulle.model.gateway_api.shared import (
    SESSION_LIMIT,
    BackendObjectReference,
    DefaultGateways,
    LocalObjectReference,
    ParentReferences,
    SectionName,
    SessionPersistence,
    Weight,
)
from tulle.model.gateway_api.unreachable import unreachable
from tulle.model.remark import Remark
from tulle.model.schema import HeaderName, Hostname, Model, check_regex, problem

_SERVICE = re.compile(r"\.?[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*")
_METHOD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_FILTERS = {
    "RequestHeaderModifier": "request_header_modifier",
    "ResponseHeaderModifier": "response_header_modifier",
    "RequestMirror": "request_mirror",
    "ExtensionRef": "extension_ref",
}


class GRPCMethodMatch(Model):
    type: Literal["Exact", "RegularExpression"] = "Exact"
    service: Annotated[str | None, Field(max_length=1024)] = None
    method: Annotated[str | None, Field(max_length=1024)] = None

    @model_validator(mode="after")
    def _names(self) -> GRPCMethodMatch:
        if self.service is None and self.method is None:
            raise problem(
                "missing-field",
                "a method match names a service, a method or both",
                remedy="Write service: PACKAGE.SERVICE, method: NAME or both.",
            )
        for field, value, form in (("service", self.service, _SERVICE), ("method", self.method, _METHOD)):
            if value is None:
                continue
            if self.type == "RegularExpression":
                check_regex(value, field=field)
            elif not form.fullmatch(value):
                raise problem(
                    "invalid-name",
                    f"“{value}” is not the name of a gRPC {field}",
                    remedy="Use letters, digits and “_”, and dots in a service's name.",
                    field=field,
                )
        return self


class GRPCHeaderMatch(Model):
    type: Literal["Exact", "RegularExpression"] = "Exact"
    name: HeaderName
    value: Annotated[str, Field(min_length=1, max_length=4096)]

    @model_validator(mode="after")
    def _regex(self) -> GRPCHeaderMatch:
        if self.type == "RegularExpression":
            check_regex(self.value, field="value")
        return self


class GRPCRouteMatch(Model):
    method: GRPCMethodMatch | None = None
    headers: Annotated[tuple[GRPCHeaderMatch, ...], Field(max_length=16)] = ()

    @model_validator(mode="after")
    def _names_are_distinct(self) -> GRPCRouteMatch:
        check_names(self.headers, "headers")
        return self


class GRPCRouteFilter(Model):
    type: Literal["ResponseHeaderModifier", "RequestHeaderModifier", "RequestMirror", "ExtensionRef"]
    request_header_modifier: HTTPHeaderFilter | None = None
    response_header_modifier: HTTPHeaderFilter | None = None
    request_mirror: HTTPRequestMirrorFilter | None = None
    extension_ref: LocalObjectReference | None = None

    @model_validator(mode="after")
    def _fits(self) -> GRPCRouteFilter:
        check_members(self, self.type, _FILTERS)
        return self


def _check_filters(filters: tuple[GRPCRouteFilter, ...]) -> None:
    once = [each.type for each in filters if each.type.endswith("HeaderModifier")]
    if len(set(once)) < len(once):
        raise problem(
            "exclusive-fields",
            "each header modifier may be there once",
            remedy="Put it all into one filter.",
            field="filters",
        )


class GRPCBackendRef(BackendObjectReference):
    weight: Weight = 1
    filters: Annotated[tuple[GRPCRouteFilter, ...], Field(max_length=16), BACKEND_FILTERS] = ()

    @model_validator(mode="after")
    def _filters_fit(self) -> GRPCBackendRef:
        _check_filters(self.filters)
        return self


class GRPCRouteRule(Model):
    name: SectionName | None = None
    matches: Annotated[tuple[GRPCRouteMatch, ...], Field(max_length=64)] = ()
    filters: Annotated[tuple[GRPCRouteFilter, ...], Field(max_length=16)] = ()
    backend_refs: Annotated[tuple[GRPCBackendRef, ...], Field(max_length=16)] = ()
    session_persistence: Annotated[SessionPersistence | None, SESSION_LIMIT] = None

    @model_validator(mode="after")
    def _filters_fit(self) -> GRPCRouteRule:
        _check_filters(self.filters)
        return self


class GRPCRouteSpec(Model):
    parent_refs: ParentReferences = ()
    use_default_gateways: DefaultGateways = None
    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    rules: Annotated[tuple[GRPCRouteRule, ...], Field(max_length=16)] = ()

    def remarks(self) -> Iterator[Remark]:
        return unreachable(self.rules, GRPCRouteMatch())

    @model_validator(mode="after")
    def _fits(self) -> GRPCRouteSpec:
        check_rules(self.rules)
        return self
