"""HTTPRoute (gateway.networking.k8s.io), with the rules of its CRD (apis/v1/httproute_types.go, v1.6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, field_validator, model_validator

from tulle.model.gateway_api.http_filter import HTTPRouteFilter, check_names
from tulle.model.gateway_api.shared import (
    SESSION_LIMIT,
    BackendObjectReference,
    DefaultGateways,
    ParentReferences,
    SectionName,
    SessionPersistence,
    Weight,
)
from tulle.model.gateway_api.unreachable import unreachable
from tulle.model.remark import Remark
from tulle.model.schema import (
    GatewayDuration,
    HeaderName,
    Hostname,
    Int,
    Model,
    NotHonoured,
    check_regex,
    problem,
    seconds,
)

Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
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

    @model_validator(mode="after")
    def _names_are_distinct(self) -> HTTPRouteMatch:
        check_names(self.headers, "headers")
        check_names(self.query_params, "queryParams")
        return self


_OF_BACKENDS = ("RequestHeaderModifier", "ResponseHeaderModifier", "ExtensionRef")


def _changes_more_than_headers(filters: tuple[Any, ...]) -> bool:
    return any(each.type not in _OF_BACKENDS for each in filters)


BACKEND_FILTERS = NotHonoured(
    "of the filters of a single backend only the header modifiers are honoured", _changes_more_than_headers
)


def check_filters(filters: tuple[HTTPRouteFilter, ...]) -> None:
    """Refuse filters that exclude each other, or that may stand once only."""
    once = [each.type for each in filters if each.type not in ("RequestMirror", "ExtensionRef")]
    for kind in once:
        if once.count(kind) > 1 or {"RequestRedirect", "URLRewrite"} <= set(once):
            raise problem(
                "exclusive-fields",
                f"{kind} may be there once, and RequestRedirect and URLRewrite exclude each other",
                remedy="Put it all into one filter.",
                field="filters",
            )


class HTTPBackendRef(BackendObjectReference):
    weight: Weight = 1
    filters: Annotated[tuple[HTTPRouteFilter, ...], Field(max_length=16), BACKEND_FILTERS] = ()

    @model_validator(mode="after")
    def _filters_fit(self) -> HTTPBackendRef:
        check_filters(self.filters)
        return self


class HTTPRouteTimeouts(Model):
    request: GatewayDuration | None = None
    backend_request: GatewayDuration | None = None

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
    attempts: Annotated[Int, Field(ge=1)] | None = None
    backoff: GatewayDuration | None = None

    @model_validator(mode="after")
    def _codes_are_distinct(self) -> HTTPRouteRetry:
        if len(set(self.codes)) < len(self.codes):
            raise problem("duplicate-name", "one code stands twice", remedy="Write it once.", field="codes")
        return self


class HTTPRouteRule(Model):
    name: SectionName | None = None
    matches: Annotated[tuple[HTTPRouteMatch, ...], Field(max_length=64)] = (HTTPRouteMatch(),)
    filters: Annotated[tuple[HTTPRouteFilter, ...], Field(max_length=16)] = ()
    backend_refs: Annotated[tuple[HTTPBackendRef, ...], Field(max_length=16)] = ()
    timeouts: HTTPRouteTimeouts | None = None
    retry: HTTPRouteRetry | None = None
    session_persistence: Annotated[SessionPersistence | None, SESSION_LIMIT] = None

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
        check_filters(self.filters)
        prefixed = len(self.matches) == 1 and self.matches[0].path.type == "PathPrefix"
        for index, each in enumerate(self.filters):
            modifier = each.request_redirect or each.url_rewrite
            path = modifier.path if modifier is not None else None
            if path is not None and path.type == "ReplacePrefixMatch" and not prefixed:
                raise problem(
                    "exclusive-fields",
                    "replacePrefixMatch needs exactly one match, of type PathPrefix",
                    remedy="Write one match with a path of type PathPrefix, or ReplaceFullPath.",
                    field=f"filters[{index}]",
                )
        return self


class _Rule(Protocol):
    @property
    def name(self) -> str | None: ...

    @property
    def matches(self) -> Sequence[object]: ...


def check_rules(rules: Sequence[_Rule]) -> None:
    """Refuse two rules of one name, and more matches than the schema allows in all rules together."""
    if sum(len(rule.matches) for rule in rules) > 128:
        raise problem(
            "invalid-value",
            "there are more than 128 matches in all rules together",
            remedy="Spread them over several routes.",
            field="rules",
        )
    names = [rule.name for rule in rules]
    for index, name in enumerate(names):
        if name is not None and name in names[:index]:
            raise problem(
                "duplicate-name",
                f"two rules are called “{name}”",
                remedy="Give every rule its own name.",
                field=f"rules[{index}].name",
            )


class HTTPRouteSpec(Model):
    parent_refs: ParentReferences = ()
    use_default_gateways: DefaultGateways = None
    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    rules: Annotated[tuple[HTTPRouteRule, ...], Field(min_length=1, max_length=16)] = (HTTPRouteRule(),)

    def remarks(self) -> Iterator[Remark]:
        return unreachable(self.rules, HTTPRouteMatch())

    @model_validator(mode="after")
    def _fits(self) -> HTTPRouteSpec:
        check_rules(self.rules)
        return self
