"""What Istio's networking kinds share: destinations, string matches, headers (networking/v1alpha3 protos)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from tulle.model.schema import Int, Model, NotHonoured, Port, Regex, check_dns_label, exactly_one, problem

NOT_YET = NotHonoured("it comes with the full routing vocabulary")
POLICY_LATER = NotHonoured("it comes with the traffic policies")


def _not_star_or_dot(namespaces: Any) -> bool:
    return any(namespace not in ("*", ".") for namespace in namespaces)


ExportTo = Annotated[
    tuple[str, ...], NotHonoured("“*” (everywhere) and “.” (here) are known", _not_star_or_dot)
]


def _check_namespace(namespace: str, index: int) -> None:
    try:
        check_dns_label(namespace)
    except PydanticCustomError as error:
        remedy = (error.context or {}).get("remedy", "")
        raise problem(error.type, error.message(), remedy=remedy, field=f"[{index}]") from None


def _check_namespaces(namespaces: tuple[str, ...]) -> tuple[str, ...]:
    for index, namespace in enumerate(namespaces):
        if namespace in namespaces[:index]:
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


Namespaces = Annotated[tuple[str, ...], AfterValidator(_check_namespaces)]
"""An `exportTo`: “*” everywhere, “.” here, or names of namespaces (Istio, `validateExportTo`)."""


class PortSelector(Model):
    number: Port


class Destination(Model):
    host: Annotated[str, Field(min_length=1)]
    subset: str | None = None
    port: PortSelector | None = None


class StringMatch(Model):
    exact: str | None = None
    prefix: str | None = None
    regex: Regex | None = None

    @model_validator(mode="after")
    def _one(self) -> StringMatch:
        exactly_one(self, "exact", "prefix", "regex")
        return self


class HeaderMatch(StringMatch):
    """An empty one ({}) asks only that the header or parameter be there."""

    @model_validator(mode="after")
    def _one(self) -> HeaderMatch:
        if self.model_fields_set:
            exactly_one(self, "exact", "prefix", "regex")
        return self


class HeaderOperations(Model):
    set: dict[str, str] = {}
    add: dict[str, str] = {}
    remove: tuple[str, ...] = ()


class Headers(Model):
    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class Percent(Model):
    value: Annotated[float, Field(ge=0, le=100)] = 0


class HTTPRouteDestination(Model):
    destination: Destination
    weight: Annotated[Int, Field(ge=0)] = 0
    headers: Annotated[Headers | None, NOT_YET] = None


class RouteDestination(Model):
    destination: Destination
    weight: Annotated[Int, Field(ge=0)] = 0
