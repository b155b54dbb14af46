"""Names of hosts and gateways as Istio's resources write them (pkg/config/validation/agent)."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator

from tulle.model.schema import problem

_LABEL = r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?"
_WILDCARD_DOMAIN = re.compile(rf"(\*|(\*|\*-)?{_LABEL})(\.{_LABEL})*\.?")
_FULL_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_GATEWAY = re.compile(rf"{_LABEL}/{_LABEL}")
_PASSED_NAME = re.compile(r"outbound_[^_]*[0-9][^_]*_[^_]*_[^_]*[a-zA-Z][^_]*(_.*)?")


def is_address(text: str) -> bool:
    """Whether it is an IP address. One with a zone (RFC 4007) says nothing on another machine, and its “%”
    begins a command where Envoy formats what it writes."""
    if "%" in text:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_host(text: str) -> bool:
    """Whether it is a DNS name, with or without a wildcard in its first label (`ValidateWildcardDomain`)."""
    labels = text.split(".")
    return (
        len(text) <= 255
        and max(map(len, labels)) <= 63
        and bool(_WILDCARD_DOMAIN.fullmatch(text))
        and not (len(labels) > 1 and labels[-1].isdecimal())  # no top-level domain is a number
    )


def is_full_name(text: str) -> bool:
    """Whether it is a DNS name without a wildcard (`ValidateFQDN`)."""
    return is_host(text) and bool(_FULL_NAME.fullmatch(text)) and not text.isdecimal()


def has_partial_wildcard(text: str) -> bool:
    """Whether a wildcard stands for a part of a label: such a pattern tells no TLS server names apart, and
    Envoy refuses a listener that has one (`FilterChainMatch.server_names`)."""
    return "*" in text and text != "*" and not text.startswith("*.")


def is_passed_name(text: str) -> bool:
    """Whether it is a TLS server name of AUTO_PASSTHROUGH: `outbound_.PORT_.SUBSET_.HOST`
    (`ValidateWildcardDomainForVirtualServiceBoundToGateway`)."""
    return len(text) <= 255 and bool(_PASSED_NAME.fullmatch(text))


def check_exposed_host(value: str, *, addresses: bool) -> str:
    """The host of a server or of a Sidecar: a full name, with a wildcard for whole labels alone
    (`validateSidecarOrGatewayHostnamePart`). Raises a problem."""
    if value == "*":
        return value
    if "." not in value:
        raise problem(
            "invalid-hostname", f"“{value}” is a short name", remedy="Write the full name, with its domain."
        )
    if has_partial_wildcard(value):
        raise problem(
            "invalid-hostname",
            f"“{value}” has a wildcard for a part of a label",
            remedy="Write “*.” and a name.",
        )
    return value if addresses and is_address(value) else _check_host(value)


def _check_host(value: str) -> str:
    if not is_host(value):
        raise problem(
            "invalid-hostname",
            f"“{value}” is not a host name",
            remedy="Write a DNS name; only its first label may begin with “*”. No port, no scheme.",
        )
    return value


def _check_host_or_address(value: str) -> str:
    return value if is_address(value) or is_passed_name(value) else _check_host(value)


def _check_destination(value: str) -> str:
    if value == "*":
        raise problem("invalid-hostname", "“*” is no destination", remedy="Write the name of one service.")
    return _check_host(value)


def _check_gateway(value: str) -> str:
    if not _GATEWAY.fullmatch(value) and not is_full_name(value):
        raise problem(
            "invalid-name",
            f"“{value}” does not name a gateway",
            remedy="Write NAME, NAMESPACE/NAME, or “mesh” for all sidecars.",
        )
    return value


def _check_subnet(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise problem(
            "invalid-address",
            f"“{value}” is not an address or a range of them",
            remedy="Write 10.1.2.3 or 10.1.2.0/24.",
        ) from None
    return value


Host = Annotated[str, AfterValidator(_check_host_or_address)]
"""A name, a wildcard, an address, or a name of AUTO_PASSTHROUGH (which is for gateways alone)."""
WildcardHost = Annotated[str, AfterValidator(_check_host)]
DestinationHost = Annotated[str, AfterValidator(_check_destination)]
GatewayName = Annotated[str, AfterValidator(_check_gateway)]
Subnet = Annotated[str, AfterValidator(_check_subnet)]


def host_covers(pattern: str, host: str) -> bool:
    """Whether all that a host stands for is what a pattern stands for (Istio, `Name.SubsetOf`)."""
    return pattern in ("*", host) or (pattern.startswith("*") and host.endswith(pattern[1:]))
