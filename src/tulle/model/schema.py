"""What every model of a written resource is made of: the frozen base, marks of support, checked scalars.

Read by every module of `model/` that describes a kind, and by `parse.py`, which turns the problems that
these types raise into findings.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import re2
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationInfo
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from tulle.model.remark import Remark


class Model(BaseModel):
    """A part of a published schema. Python names are snake_case, the written ones camelCase."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,  # builders in Python; `parse` reads the published names only
        validate_by_alias=True,
    )

    def remarks(self) -> Iterator[Remark]:
        """What whoever wrote this should be warned about, seen from here alone."""
        return iter(())


@dataclass(frozen=True)
class NotHonoured:
    """A field that is published but that this version does not honour: writing it is an error.

    `when`, if given, says for which values that is so.
    """

    reason: str
    when: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class NoEffect:
    """A published field without a meaning for processes (or for this mesh): writing it is an information.

    `when`, if given, says for which values that is so.
    """

    reason: str
    when: Callable[[Any], bool] | None = None


class WrittenFloat(float):
    """A number with a fraction that remembers how it was written: as text, 1.10 is not 1.1."""

    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, WrittenFloat) else float(self) == other

    __hash__ = float.__hash__


def problem(code: str, message: str, *, remedy: str = "", field: str = "") -> PydanticCustomError:
    """What a validator raises. `field` is the path from the validated value to the culprit."""
    escaped = message.replace("{", "{{").replace("}", "}}")
    return PydanticCustomError(code, escaped, {"remedy": remedy, "field": field})  # pyright: ignore[reportArgumentType]


def _matching(pattern: str, code: str, what: str, remedy: str, limit: int = 253) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if len(value) > limit:
            raise problem(code, f"“{value[:40]}…” is longer than {limit} characters", remedy=remedy)
        if not compiled.fullmatch(value):
            raise problem(code, f"“{value}” is not {what}", remedy=remedy)
        return value

    return check


_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_NAME_REMEDY = "Use lower-case letters, digits and “-”; begin and end with a letter or digit."

Int = Annotated[int, Strict()]
Bool = Annotated[bool, Strict()]
Number = Annotated[float, Strict()]
Port = Annotated[int, Strict(), Field(ge=1, le=65535)]
Replicas = Annotated[int, Strict(), Field(ge=0, le=1_000)]
"""More than one host can hold: a slip of the finger must not keep everybody waiting."""

check_dns_label = _matching(_LABEL, "invalid-name", "a DNS label (RFC 1123)", _NAME_REMEDY, 63)
check_dns_name = _matching(SUBDOMAIN, "invalid-name", "a DNS name (RFC 1123)", _NAME_REMEDY)
check_segment = _matching(r"[^/%\s]+", "invalid-name", "a name", "Leave out “/”, “%” and spaces.")
DnsLabel = Annotated[str, AfterValidator(check_dns_label)]
DnsName = Annotated[str, AfterValidator(check_dns_name)]
SubsetName = Annotated[
    str,
    AfterValidator(
        _matching(
            r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?",
            "invalid-name",
            "the name of a subset",
            "Use letters, digits and “-”; begin and end with a letter or digit.",
            63,
        )
    ),
]
PortName = Annotated[
    str,
    AfterValidator(
        _matching(
            r"(?=.*[a-z])[a-z0-9]([-a-z0-9]*[a-z0-9])?",
            "invalid-port-name",
            "a port name",
            "Use at most 15 lower-case letters, digits and “-”, with one letter at least (RFC 6335).",
            15,
        )
    ),
]
Hostname = Annotated[
    str,
    AfterValidator(
        _matching(
            rf"(\*\.)?{SUBDOMAIN}",
            "invalid-hostname",
            "a host name",
            "Write a DNS name, or “*.” and a DNS name; no port, no address, no scheme.",
        )
    ),
]
check_header_name = _matching(
    r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+",
    "invalid-header-name",
    "the name of a header",
    "A header's name has letters, digits and !#$%&'*+-.^_`|~ only (RFC 9110, 5.6.2).",
    256,
)
HeaderName = Annotated[str, AfterValidator(check_header_name)]
EnvironmentName = Annotated[
    str,
    AfterValidator(
        _matching(
            r"[^=\x00]+", "invalid-name", "the name of an environment variable", "Leave out “=” in the name."
        )
    ),
]


_QUIET = re2.Options()
_QUIET.log_errors = False  # it would write to standard error on its own


def check_regex(value: str, *, field: str = "") -> str:
    """The value, or a problem if Envoy would refuse it as a regular expression."""
    try:
        re2.compile(value, _QUIET)
    except re2.error as error:
        raise problem(
            "invalid-regex",
            f"“{value}” is not a regular expression that Envoy takes: {_text_of(error)}",
            remedy="Envoy uses RE2: no look-around and no back-references "
            "(https://github.com/google/re2/wiki/Syntax).",
            field=field,
        ) from None
    return value


def _text_of(error: Exception) -> str:
    detail = error.args[0] if error.args else ""
    return detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)


Regex = Annotated[str, AfterValidator(check_regex)]
"""A regular expression in RE2's syntax."""


def _check_address(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise problem(
            "invalid-address", f"“{value}” is not an IP address", remedy="Write an IPv4 or IPv6 address."
        ) from None
    return value


IpAddress = Annotated[str, AfterValidator(_check_address)]

_GATEWAY_DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
_GO_DURATION = re.compile(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(duration: str) -> float:
    """The seconds of a checked duration (`GatewayDuration` or `IstioDuration`)."""
    return sum(float(number) * _UNITS[unit] for number, _, unit in _GO_DURATION.findall(duration))


def _check_gateway_duration(value: str) -> str:
    if not _GATEWAY_DURATION.fullmatch(value):
        raise problem(
            "invalid-duration",
            f"“{value}” is not a duration",
            remedy="Write whole numbers with h, m, s or ms, such as 1m30s or 250ms (Gateway API, GEP-2257).",
        )
    return value


def _check_go_duration(value: str) -> str:
    whole = "".join(match.group(0) for match in _GO_DURATION.finditer(value))
    if not value or whole != value:
        raise problem(
            "invalid-duration",
            f"“{value}” is not a duration",
            remedy="Write numbers with h, m, s or ms, such as 1.5s, 250ms or 1m30s.",
        )
    return value


def check_istio_duration(value: str) -> str:
    _check_least(value)
    if round(seconds(value) * 1e9) % 1_000_000:
        raise problem(
            "invalid-duration",
            f"“{value}” is not a whole number of milliseconds",
            remedy="Write a whole number of ms, such as 1500ms.",
        )
    return value


def _check_least(value: str) -> str:
    _check_go_duration(value)
    if seconds(value) < 0.001:
        raise problem(
            "invalid-duration", f"“{value}” is shorter than 1ms", remedy="Write a duration of at least 1ms."
        )
    return value


def _check_any_duration(value: str) -> str:
    return value if value == "0" else _check_go_duration(value)


GatewayDuration = Annotated[str, AfterValidator(_check_gateway_duration)]
"""A duration of the Gateway API (GEP-2257). `seconds` reads it."""
IstioDuration = Annotated[str, AfterValidator(check_istio_duration)]
"""A duration of Istio's resources: Go's syntax, whole milliseconds and at least one (their CRDs' rule and
`ValidateDuration`). `seconds` reads it."""
FineDuration = Annotated[str, AfterValidator(_check_least)]
"""The same of the few fields that `ValidateDuration` does not look at: parts of a millisecond too."""
AnyDuration = Annotated[str, AfterValidator(_check_any_duration)]
"""The same where 0s is a value too (the fields that Istio marks `duration-validation:none`)."""


def own_namespace(info: ValidationInfo) -> str:
    """The namespace of the resource that is read; “.” where nobody says it (values made in Python)."""
    return info.context["namespace"] if info.context else "."


def exactly_one(model: Model, *fields: str, code: str = "exclusive-fields") -> None:
    """Raise unless exactly one of the fields (Python names) of the model is written."""
    written = [name for name in fields if getattr(model, name) not in (None, ())]
    names = [type(model).model_fields[name].alias or name for name in fields]
    if len(written) != 1:
        chosen = " and ".join(type(model).model_fields[name].alias or name for name in written)
        raise problem(
            code,
            f"{chosen} exclude each other" if written else f"one of {', '.join(names)} is needed",
            remedy=f"Write exactly one of {', '.join(names)}.",
            field=(type(model).model_fields[written[-1]].alias or written[-1]) if written else "",
        )


def at_most_one(model: Model, *fields: str, code: str = "exclusive-fields") -> None:
    """Raise if more than one of the fields (Python names) of the model is written."""
    if sum(getattr(model, name) not in (None, ()) for name in fields) > 1:
        exactly_one(model, *fields, code=code)
