"""HTTPRoute (gateway.networking.k8s.io), with the rules of its CRD (apis/v1/httproute_types.go, v1.6)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tulle.model.gateway_api.shared import (
    NOT_YET,
    BackendObjectReference,
    Fraction,
    LocalObjectReference,
    ParentReference,
    SectionName,
    SessionPersistence,
)
from tulle.model.schema import (
    Bool,
    DnsName,
    GatewayDuration,
    HeaderName,
    Hostname,
    Int,
    Model,
    Port,
    at_most_one,
    check_regex,
    problem,
    seconds,
)

Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
Weight = Annotated[Int, Field(ge=0, le=1_000_000)]
_PATH_NEVER = ("//", "/./", "/../", "%2f", "%2F", "#")


class HTTPPathMatch(Model):
    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: Annotated[str, Field(max_length=1024)] = "/"

    @model_validator(mode="after")
    def _path(self) -> HTTPPathMatch:
        if self.type == "RegularExpression":
            check_regex(self.value, field="value")
            return self
        wrong = _path_problem(self.value)
        if wrong:
            raise problem(
                "invalid-path",
                f"“{self.value}” {wrong}",
                remedy="Write an absolute, normalised path such as /reviews.",
                field="value",
            )
        return self


def _path_problem(path: str) -> str:
    if not path.startswith("/"):
        return "does not begin with “/”"
    for part in _PATH_NEVER:
        if part in path:
            return f"has “{part}” in it"
    if path.endswith(("/..", "/.")):
        return "ends with “/.” or “/..”"
    for character in path:
        if not (character.isascii() and (character.isalnum() or character in "-/._~!$&'()*+,;=:@%")):
            return f"has “{character}” in it, which a path may not have (RFC 3986)"
    return ""


class HTTPHeaderMatch(Model):
    type: Literal["Exact", "RegularExpression"] = "Exact"
    name: HeaderName
    value: Annotated[str, Field(min_length=1, max_length=4096)]

    @model_validator(mode="after")
    def _regex(self) -> HTTPHeaderMatch:
        if self.type == "RegularExpression":
            check_regex(self.value, field="value")
        return self


class HTTPQueryParamMatch(HTTPHeaderMatch):
    value: Annotated[str, Field(min_length=1, max_length=1024)]


class HTTPRouteMatch(Model):
    path: HTTPPathMatch = HTTPPathMatch()
    headers: Annotated[tuple[HTTPHeaderMatch, ...], Field(max_length=16)] = ()
    query_params: Annotated[tuple[HTTPQueryParamMatch, ...], Field(max_length=16)] = ()
    method: Method | None = None


class HTTPHeader(Model):
    name: HeaderName
    value: Annotated[str, Field(min_length=1, max_length=4096)]


class HTTPHeaderFilter(Model):
    set: Annotated[tuple[HTTPHeader, ...], Field(max_length=16)] = ()
    add: Annotated[tuple[HTTPHeader, ...], Field(max_length=16)] = ()
    remove: Annotated[tuple[str, ...], Field(max_length=16)] = ()


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


class HTTPCORSFilter(Model):
    allow_origins: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    allow_credentials: Bool | None = None
    allow_methods: Annotated[tuple[str, ...], Field(max_length=9)] = ()
    allow_headers: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    expose_headers: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    max_age: Annotated[Int, Field(ge=1)] = 5


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
    external_auth: dict[str, Any] | None = None
    extension_ref: LocalObjectReference | None = None

    @model_validator(mode="after")
    def _fits(self) -> HTTPRouteFilter:
        for kind, name in _FILTERS.items():
            alias = type(self).model_fields[name].alias or name
            if (getattr(self, name) is not None) != (kind == self.type):
                raise problem(
                    "exclusive-fields",
                    f"{alias} and type {kind} belong together",
                    remedy=f"Write the field that belongs to type {self.type}, and no other.",
                    field=alias if getattr(self, name) is not None else "type",
                )
        return self


class HTTPBackendRef(BackendObjectReference):
    weight: Weight = 1
    filters: Annotated[tuple[HTTPRouteFilter, ...], Field(max_length=16), NOT_YET] = ()


class HTTPRouteTimeouts(Model):
    request: GatewayDuration | None = None
    backend_request: Annotated[GatewayDuration | None, NOT_YET] = None

    @model_validator(mode="after")
    def _order(self) -> HTTPRouteTimeouts:
        if self.request and self.backend_request:
            whole = seconds(self.request)
            if whole and seconds(self.backend_request) > whole:
                raise problem(
                    "invalid-timeout",
                    "backendRequest is longer than request",
                    remedy="Give one attempt (backendRequest) at most the time of the whole request.",
                    field="backendRequest",
                )
        return self


class HTTPRouteRetry(Model):
    codes: tuple[Annotated[Int, Field(ge=400, le=599)], ...] = ()
    attempts: Int | None = None
    backoff: GatewayDuration | None = None


class HTTPRouteRule(Model):
    name: SectionName | None = None
    matches: Annotated[tuple[HTTPRouteMatch, ...], Field(max_length=64)] = (HTTPRouteMatch(),)
    filters: Annotated[tuple[HTTPRouteFilter, ...], Field(max_length=16), NOT_YET] = ()
    backend_refs: Annotated[tuple[HTTPBackendRef, ...], Field(max_length=16)] = ()
    timeouts: HTTPRouteTimeouts | None = None
    retry: Annotated[HTTPRouteRetry | None, NOT_YET] = None
    session_persistence: Annotated[SessionPersistence | None, NOT_YET] = None

    @field_validator("matches")
    @classmethod
    def _at_least_one(cls, matches: tuple[HTTPRouteMatch, ...]) -> tuple[HTTPRouteMatch, ...]:
        return matches or (HTTPRouteMatch(),)

    @model_validator(mode="after")
    def _filters_fit(self) -> HTTPRouteRule:
        redirects = any(each.type == "RequestRedirect" for each in self.filters)
        if redirects and self.backend_refs:
            raise problem(
                "exclusive-fields",
                "RequestRedirect excludes backendRefs",
                remedy="A redirect is answered in place: remove backendRefs.",
                field="backendRefs",
            )
        once = [each.type for each in self.filters if each.type not in ("RequestMirror", "ExtensionRef")]
        for kind in once:
            if once.count(kind) > 1 or {"RequestRedirect", "URLRewrite"} <= set(once):
                raise problem(
                    "exclusive-fields",
                    f"{kind} may be there once, and RequestRedirect and URLRewrite exclude each other",
                    remedy="Put it all into one filter.",
                    field="filters",
                )
        return self


class HTTPRouteSpec(Model):
    parent_refs: Annotated[tuple[ParentReference, ...], Field(max_length=32)] = ()
    use_default_gateways: Annotated[Literal["All", "None"] | None, NOT_YET] = None
    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    rules: Annotated[tuple[HTTPRouteRule, ...], Field(min_length=1, max_length=16)] = (HTTPRouteRule(),)

    @model_validator(mode="after")
    def _parents_are_distinct(self) -> HTTPRouteSpec:
        seen: set[tuple[object, ...]] = set()
        for index, parent in enumerate(self.parent_refs):
            key = (*parent.model_dump().values(),)
            if key in seen:
                raise problem(
                    "duplicate-parent",
                    "the same parent stands twice",
                    remedy="Remove one, or set sectionName or port in both.",
                    field=f"parentRefs[{index}]",
                )
            seen.add(key)
        return self

    @model_validator(mode="after")
    def _rule_names_are_distinct(self) -> HTTPRouteSpec:
        names = [rule.name for rule in self.rules]
        for index, name in enumerate(names):
            if name is not None and name in names[:index]:
                raise problem(
                    "duplicate-name",
                    f"two rules are called “{name}”",
                    remedy="Give every rule its own name.",
                    field=f"rules[{index}].name",
                )
        return self
