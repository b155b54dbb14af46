"""Routes: the one vocabulary for every language in which people write them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tulle.mesh.view.origin import Origin


class MatchKind(StrEnum):
    EXACT = "exact"
    PREFIX = "prefix"  # of the text: /foo matches /foobar (Istio)
    PATH_PREFIX = "path_prefix"  # of path elements: /foo matches /foo and /foo/bar only (Gateway API)
    REGEX = "regex"  # RE2, the whole value
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class ValueMatch:
    kind: MatchKind
    value: str = ""
    ignore_case: bool = False
    invert: bool = False
    """It must not hold; what is not there does not hold, and so is accepted."""


@dataclass(frozen=True, slots=True)
class NamedMatch:
    """A header or a query parameter."""

    name: str
    match: ValueMatch


@dataclass(frozen=True, slots=True)
class RequestMatch:
    """All that is set must hold. `:method`, `:authority` and `:scheme` are headers as in HTTP/2."""

    path: ValueMatch | None = None
    headers: tuple[NamedMatch, ...] = ()
    query: tuple[NamedMatch, ...] = ()
    destination: str = ""
    """The address that the caller dialled, or a range of them (CIDR); outbound route tables only."""


MISSING_CLUSTER = "MissingBackend"
"""No cluster has this name: its share of the requests is answered with 500. A backend that does not exist
or may not be referred to has it (Gateway API: 500 in proportion to its weight)."""


@dataclass(frozen=True, slots=True)
class WeightedCluster:
    cluster: str
    """A cluster that does not exist answers 500."""
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Forward:
    """Send it on. Clusters of weight 0 are left out by resolve; at least one is here."""

    clusters: tuple[WeightedCluster, ...]
    timeout_seconds: float | None = None
    """None: no limit of the mesh's own."""


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer in place (a missing backend answers 500, an unknown host under REGISTRY_ONLY 502)."""

    status: int
    body: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of a virtual host; the first whose match holds is taken."""

    name: str
    match: RequestMatch
    action: Forward | Respond
    origin: Origin


@dataclass(frozen=True, slots=True)
class VirtualHost:
    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class RouteTable:
    """One RDS resource: all virtual hosts of a port (`9080`) or of a gateway's listener (`http.8080`)."""

    name: str
    virtual_hosts: tuple[VirtualHost, ...]
    origin: Origin
