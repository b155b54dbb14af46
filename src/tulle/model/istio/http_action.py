"""What an HTTP route of a VirtualService does with requests (virtual_service.proto, and the rules of
pkg/config/validation)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tulle.model.istio.shared import Destination, Percent, Status, StringMatch, check_pattern
from tulle.model.remark import Remark
from tulle.model.schema import (
    Bool,
    HeaderName,
    Int,
    IstioDuration,
    Model,
    Port,
    at_most_one,
    problem,
    seconds,
)

# -- answers in place -------------------------------------------------------------------------------


def _check_redirect_code(code: int) -> int:
    if code and not 300 <= code <= 399:
        raise problem(
            "out-of-range",
            f"{code} is not the status of a redirect",
            remedy="Write 301, 302, 303, 307 or 308.",
        )
    if code not in (0, 301, 302, 303, 307, 308):
        raise problem(
            "not-honoured",
            f"{code} is not honoured: Envoy redirects with 301, 302, 303, 307 and 308",
            remedy="Write one of these.",
        )
    return code


class HTTPRedirect(Model):
    uri: str = ""
    prefix_rewrite: str = ""
    authority: str = ""
    port: Port | None = None
    derive_port: Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] | None = None
    scheme: Literal["", "http", "https"] = ""
    redirect_code: Annotated[Int, AfterValidator(_check_redirect_code)] = 0
    """0: 301"""

    @model_validator(mode="after")
    def _fits(self) -> HTTPRedirect:
        at_most_one(self, "port", "derive_port")
        if self.uri and self.prefix_rewrite:
            raise problem(
                "exclusive-fields",
                "uri and prefixRewrite exclude each other",
                remedy="Write one of them.",
                field="prefixRewrite",
            )
        if not any((self.uri, self.prefix_rewrite, self.authority, self.scheme, self.port, self.derive_port)):
            raise problem(
                "missing-field",
                "the redirect leads to where the request came from",
                remedy="Write uri, prefixRewrite, authority, scheme, port or derivePort.",
            )
        return self


def _check_base64(value: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        raise problem("invalid-value", "it is not base64", remedy="Encode the bytes (RFC 4648).") from None
    return value


class HTTPBody(Model):
    string: str | None = None
    bytes: Annotated[str, AfterValidator(_check_base64)] | None = None

    @model_validator(mode="after")
    def _one(self) -> HTTPBody:
        at_most_one(self, "string", "bytes")
        if len(_content(self)) > 1024 * 1024:
            raise problem("out-of-range", "the body is larger than 1 MiB", remedy="Serve it from a service.")
        return self


def _content(body: HTTPBody) -> bytes:
    return base64.b64decode(body.bytes) if body.bytes is not None else (body.string or "").encode()


class HTTPDirectResponse(Model):
    status: Status
    body: HTTPBody | None = None

    def remarks(self) -> Iterator[Remark]:
        if len(self.content) > 100 * 1024:
            message = "every proxy holds these more than 100 KiB in its configuration"
            yield Remark("body", "large-body", message, "Serve it from a service.")

    @property
    def content(self) -> bytes:
        """What is sent."""
        return _content(self.body) if self.body is not None else b""


# -- what is sent on --------------------------------------------------------------------------------


class RegexRewrite(Model):
    match: Annotated[str, AfterValidator(check_pattern)]
    rewrite: Annotated[str, Field(min_length=1)]


class HTTPRewrite(Model):
    uri: str = ""
    authority: str = ""
    uri_regex_rewrite: RegexRewrite | None = None

    @model_validator(mode="after")
    def _fits(self) -> HTTPRewrite:
        if self.uri and self.uri_regex_rewrite is not None:
            raise problem(
                "exclusive-fields",
                "uri and uriRegexRewrite exclude each other",
                remedy="Write one of them.",
                field="uriRegexRewrite",
            )
        if not (self.uri or self.authority or self.uri_regex_rewrite):
            raise problem(
                "missing-field", "nothing is rewritten", remedy="Write uri, uriRegexRewrite or authority."
            )
        return self


_RETRY_ON_TEXT = (
    "5xx gateway-error reset reset-before-request connect-failure retriable-4xx refused-stream "
    "retriable-status-codes retriable-headers envoy-ratelimited http3-post-connect-failure cancelled "
    "deadline-exceeded internal resource-exhausted unavailable "
)
_RETRY_ON = frozenset(_RETRY_ON_TEXT.split())
"""The words of Envoy's `x-envoy-retry-on` and `x-envoy-retry-grpc-on` headers."""
_STATUSES = frozenset(str(status.value) for status in HTTPStatus)


def _check_retry_on(value: str) -> str:
    for word in value.split(",") if value else ():
        if word not in _RETRY_ON and word not in _STATUSES:
            raise problem(
                "invalid-value",
                f"“{word}” is neither a status of HTTP nor one of Envoy's conditions",
                remedy=f"Write statuses and {', '.join(sorted(_RETRY_ON))}, with commas and without spaces.",
            )
    return value


class HTTPRetry(Model):
    attempts: Annotated[Int, Field(ge=0)] = 0
    """0: never"""
    per_try_timeout: IstioDuration | None = None
    retry_on: Annotated[str, AfterValidator(_check_retry_on)] = ""
    retry_remote_localities: Bool | None = None
    retry_ignore_previous_hosts: Bool | None = None
    backoff: IstioDuration | None = None

    @property
    def statuses(self) -> tuple[int, ...]:
        """Of `retryOn` the statuses."""
        return tuple(int(word) for word in self.retry_on.split(",") if word in _STATUSES)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Of `retryOn` the words."""
        return tuple(word for word in self.retry_on.split(",") if word in _RETRY_ON)

    @model_validator(mode="after")
    def _is_on(self) -> HTTPRetry:
        asked = self.per_try_timeout or self.retry_on or self.retry_remote_localities is not None
        if self.attempts == 0 and asked:
            raise problem(
                "exclusive-fields",
                "it says how to try again, and attempts is 0 (never)",
                remedy="Write attempts: 2, or remove the rest.",
                field="attempts" if "attempts" in self.model_fields_set else "",
            )
        return self


class HTTPMirrorPolicy(Model):
    destination: Destination
    percentage: Percent | None = None


_CORS_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"}
)


def _check_methods(methods: tuple[str, ...]) -> tuple[str, ...]:
    for index, method in enumerate(methods):
        if method not in _CORS_METHODS:
            raise problem(
                "invalid-value",
                f"“{method}” is not a method that is known",
                remedy=f"Write {', '.join(sorted(_CORS_METHODS))}.",
                field=f"[{index}]",
            )
    return methods


def _check_origin(origin: StringMatch) -> StringMatch:
    if not (origin.exact or origin.prefix or origin.regex):
        raise problem(
            "invalid-value", "an empty text is no origin", remedy="Write https://HOST, or “*” as exact."
        )
    return origin


def _check_whole_seconds(value: str) -> str:
    if not seconds(value).is_integer():
        raise problem(
            "invalid-duration",
            f"“{value}” is not a whole number of seconds",
            remedy="Write 600s, for example.",
        )
    return value


class CorsPolicy(Model):
    allow_origin: tuple[str, ...] = ()
    """Deprecated: `allowOrigins`."""
    allow_origins: tuple[Annotated[StringMatch, AfterValidator(_check_origin)], ...] = ()
    allow_methods: Annotated[tuple[str, ...], AfterValidator(_check_methods)] = ()
    allow_headers: tuple[HeaderName, ...] = ()
    expose_headers: tuple[HeaderName, ...] = ()
    max_age: Annotated[IstioDuration, AfterValidator(_check_whole_seconds)] | None = None
    allow_credentials: Bool | None = None
    unmatched_preflights: Literal["UNSPECIFIED", "FORWARD", "IGNORE"] = "UNSPECIFIED"
