"""The filters of an HTTPRoute (apis/v1/httproute_types.go, v1.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, model_validator

from tulle.model.gateway_api.shared import (
    BackendObjectReference,
    Fraction,
    LocalObjectReference,
)
from tulle.model.schema import Bool, DnsName, HeaderName, Int, Model, NotHonoured, Port, at_most_one, problem


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def check_names(items: Sequence[_Named], field: str) -> None:
    """Refuse two items of one name: the schema calls these lists maps by name."""
    for index, item in enumerate(items):
        if any(item.name == before.name for before in items[:index]):
            raise problem(
                "duplicate-name",
                f"“{item.name}” stands twice",
                remedy="Write it once.",
                field=f"{field}[{index}].name",
            )


HeaderValue = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[!-~]+([\t ]?[!-~]+)*$")]


class HTTPHeader(Model):
    name: HeaderName
    value: HeaderValue


class HTTPHeaderFilter(Model):
    set: Annotated[tuple[HTTPHeader, ...], Field(max_length=16)] = ()
    add: Annotated[tuple[HTTPHeader, ...], Field(max_length=16)] = ()
    remove: Annotated[tuple[str, ...], Field(max_length=16)] = ()

    @model_validator(mode="after")
    def _names_are_distinct(self) -> HTTPHeaderFilter:
        check_names(self.set, "set")
        check_names(self.add, "add")
        return self


class HTTPRequestMirrorFilter(Model):
    backend_ref: BackendObjectReference
    percent: Annotated[Int, Field(ge=0, le=100)] | None = None
    fraction: Fraction | None = None

    @model_validator(mode="after")
    def _share(self) -> HTTPRequestMirrorFilter:
        at_most_one(self, "percent", "fraction")
        return self


class HTTPPathModifier(Model):
    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    replace_full_path: Annotated[str, Field(max_length=1024)] | None = None
    replace_prefix_match: Annotated[str, Field(max_length=1024)] | None = None

    @model_validator(mode="after")
    def _path(self) -> HTTPPathModifier:
        for name in ("replace_full_path", "replace_prefix_match"):
            value: str = getattr(self, name) or ""
            if not all("!" <= character <= "~" for character in value):
                raise problem(
                    "invalid-path",
                    "a path has no spaces, control or other than ASCII characters",
                    remedy="Write them percent-encoded.",
                    field=type(self).model_fields[name].alias or name,
                )
        return self

    @model_validator(mode="after")
    def _fits(self) -> HTTPPathModifier:
        full = self.type == "ReplaceFullPath"
        needed, other = ("replaceFullPath", "replacePrefixMatch")[:: 1 if full else -1]
        value, wrong = (self.replace_full_path, self.replace_prefix_match)[:: 1 if full else -1]
        if value is None or wrong is not None:
            raise problem(
                "exclusive-fields",
                f"type {self.type} needs {needed} and excludes {other}",
                remedy=f"Write {needed} alone.",
                field=other if wrong is not None else "",
            )
        return self


class HTTPRequestRedirectFilter(Model):
    scheme: Literal["http", "https"] | None = None
    hostname: DnsName | None = None
    path: HTTPPathModifier | None = None
    port: Port | None = None
    status_code: Literal[301, 302, 303, 307, 308] = 302


class HTTPURLRewriteFilter(Model):
    hostname: DnsName | None = None
    path: HTTPPathModifier | None = None


_ORIGIN = r"(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)"
Origin = Annotated[str, Field(min_length=1, max_length=253, pattern=_ORIGIN)]
MethodOrAll = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"]


class HTTPCORSFilter(Model):
    allow_origins: Annotated[tuple[Origin, ...], Field(max_length=64)] = ()
    allow_credentials: Bool | None = None
    allow_methods: Annotated[tuple[MethodOrAll, ...], Field(max_length=9)] = ()
    allow_headers: Annotated[tuple[HeaderName, ...], Field(max_length=64)] = ()
    expose_headers: Annotated[tuple[HeaderName, ...], Field(max_length=64)] = ()
    max_age: Annotated[Int, Field(ge=1)] = 5

    @model_validator(mode="after")
    def _lists(self) -> HTTPCORSFilter:
        for name in ("allow_origins", "allow_methods", "allow_headers", "expose_headers"):
            written: tuple[str, ...] = getattr(self, name)
            alias = type(self).model_fields[name].alias or name
            if "*" in written and len(written) > 1 and name != "expose_headers":
                raise problem(
                    "exclusive-fields", "“*” stands alone", remedy="Remove “*”, or all others.", field=alias
                )
            if len(set(written)) < len(written):
                raise problem("duplicate-name", "one item stands twice", remedy="Write it once.", field=alias)
        return self


_FILTERS = {
    "RequestHeaderModifier": "request_header_modifier",
    "ResponseHeaderModifier": "response_header_modifier",
    "RequestMirror": "request_mirror",
    "RequestRedirect": "request_redirect",
    "URLRewrite": "url_rewrite",
    "ExtensionRef": "extension_ref",
    "CORS": "cors",
    "ExternalAuth": "external_auth",
}


def check_members(model: Model, chosen: str, members: Mapping[str, str]) -> None:
    """Refuse a union whose field is not the one of its type. `members`: the field (Python name) by type."""
    for kind, name in members.items():
        alias = type(model).model_fields[name].alias or name
        if (getattr(model, name) is not None) != (kind == chosen):
            raise problem(
                "exclusive-fields",
                f"{alias} and type {kind} belong together",
                remedy=f"Write the field that belongs to type {chosen}, and no other.",
                field=alias if getattr(model, name) is not None else "type",
            )


class HTTPRouteFilter(Model):
    type: Literal[
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestMirror",
        "RequestRedirect",
        "URLRewrite",
        "ExtensionRef",
        "CORS",
        "ExternalAuth",
    ]
    request_header_modifier: HTTPHeaderFilter | None = None
    response_header_modifier: HTTPHeaderFilter | None = None
    request_mirror: HTTPRequestMirrorFilter | None = None
    request_redirect: HTTPRequestRedirectFilter | None = None
    url_rewrite: HTTPURLRewriteFilter | None = None
    cors: HTTPCORSFilter | None = None
    external_auth: Annotated[
        dict[str, Any] | None, NotHonoured("no service is asked for authorization (experimental channel)")
    ] = None
    extension_ref: LocalObjectReference | None = None

    @model_validator(mode="after")
    def _fits(self) -> HTTPRouteFilter:
        check_members(self, self.type, _FILTERS)
        return self
