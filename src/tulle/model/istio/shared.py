"""What Istio's networking kinds share: destinations, string matches, percentages (networking/v1alpha3)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from tulle.model.istio.header import Headers
from tulle.model.istio.host import DestinationHost
from tulle.model.schema import (
    DnsLabel,
    Int,
    Model,
    Port,
    check_dns_label,
    check_regex,
    exactly_one,
    own_namespace,
    problem,
)


def _check_namespace(namespace: str, index: int) -> None:
    try:
        check_dns_label(namespace)
    except PydanticCustomError as error:
        remedy = (error.context or {}).get("remedy", "")
        raise problem(error.type, error.message(), remedy=remedy, field=f"[{index}]") from None


def _check_namespaces(namespaces: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    own = own_namespace(info)
    meant = [own if each == "." else each for each in namespaces]
    for index, namespace in enumerate(namespaces):
        if meant[index] in meant[:index]:
            raise problem(
                "duplicate-name",
                f"“{namespace}” stands twice",
                remedy="Write it once.",
                field=f"[{index}]",
            )
        if namespace == "*" and len(namespaces) > 1:
            raise problem(
                "exclusive-fields",
                "“*” is every namespace already",
                remedy="Write “*” alone, or leave it out.",
                field=f"[{index}]",
            )
        if namespace not in ("*", "."):
            _check_namespace(namespace, index)
    return namespaces


def check_protocol(value: str) -> str:
    """A protocol that Istio knows by name (`protocol.Parse`)."""
    known = [
        "HTTP",
        "HTTPS",
        "GRPC",
        "GRPC-WEB",
        "HTTP2",
        "HTTP_PROXY",
        "MONGO",
        "TCP",
        "TLS",
        "MYSQL",
        "REDIS",
        "UDP",
    ]
    if value.upper() not in known:
        raise problem(
            "invalid-value", f"“{value}” is not a protocol", remedy=f"Write one of {', '.join(known)}."
        )
    return value


def _check_services_namespaces(namespaces: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    return namespaces if namespaces == ("~",) else _check_namespaces(namespaces, info)


Namespaces = Annotated[tuple[str, ...], AfterValidator(_check_namespaces)]
"""An `exportTo`: “*” everywhere, “.” here, or names of namespaces (Istio, `validateExportTo`)."""
ServiceNamespaces = Annotated[tuple[str, ...], AfterValidator(_check_services_namespaces)]
"""The same of a ServiceEntry, which may be for nobody: “~” alone."""


MatchedPort = Annotated[Int, Field(ge=0, le=65535), AfterValidator(lambda port: port or None)] | None
"""0 is as good as none (`validateHTTPRouteMatchRequest`)."""


Status = Annotated[Int, Field(ge=200, le=600)]
"""Of an answer (`validateHTTPStatus`)."""


class PortSelector(Model):
    number: Port


class Destination(Model):
    host: Annotated[DestinationHost, Field(min_length=1)]
    subset: DnsLabel | None = None
    port: PortSelector | None = None


def check_pattern(value: str) -> str:
    """A regular expression that Envoy takes, of at most 1024 characters (`validateStringRegexp`)."""
    if not value:
        raise problem("invalid-regex", "it is empty", remedy="Write “.*” for anything.")
    if len(value) > 1024:
        raise problem(
            "invalid-regex", "it is longer than 1024 characters", remedy="Write several matches in its place."
        )
    return check_regex(value)


class UriMatch(Model):
    """A path. An empty prefix is any path."""

    exact: str | None = None
    prefix: str | None = None
    regex: Annotated[str, AfterValidator(check_pattern)] | None = None

    @model_validator(mode="after")
    def _one(self) -> UriMatch:
        exactly_one(self, "exact", "prefix", "regex")
        return self


class StringMatch(UriMatch):
    prefix: Annotated[str, Field(min_length=1)] | None = None


class HeaderMatch(StringMatch):
    """An empty one ({}) asks only that the header or parameter be there."""

    @model_validator(mode="after")
    def _one(self) -> HeaderMatch:
        if self.model_fields_set:
            exactly_one(self, "exact", "prefix", "regex")
        return self


class WithoutMatch(HeaderMatch):
    """Of `withoutHeaders`: there the regular expression “*”, which is none, is any value."""

    regex: (
        Annotated[str, AfterValidator(lambda value: value if value == "*" else check_pattern(value))] | None
    ) = None


class Percent(Model):
    value: Annotated[float, Field(ge=0, le=100)] = 0

    @property
    def per_million(self) -> int:
        return round(self.value * 10_000)


def _check_share(percent: Percent) -> Percent:
    if 0 < percent.value < 0.0001:
        raise problem(
            "out-of-range", "it is less than 0.0001", remedy="Write 0, or at least 0.0001.", field="value"
        )
    return percent


FaultPercent = Annotated[Percent, AfterValidator(_check_share)]
"""`validatePercentage`"""


class HTTPRouteDestination(Model):
    destination: Destination
    weight: Annotated[Int, Field(ge=0)] = 0
    headers: Headers | None = None


class RouteDestination(Model):
    destination: Destination
    weight: Annotated[Int, Field(ge=0)] = 0


def check_weights(route: tuple[HTTPRouteDestination | RouteDestination, ...]) -> None:
    """Refuse several destinations whose weights add up to nothing (Istio's validateWeights)."""
    if len(route) > 1 and sum(each.weight for each in route) == 0:
        raise problem(
            "invalid-weight",
            "the weights of the destinations add up to 0",
            remedy="Give at least one of the destinations a weight above 0.",
            field="route",
        )
