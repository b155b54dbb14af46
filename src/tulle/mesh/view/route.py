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
    """It must not hold. What is not there counts as empty: it is accepted unless an empty value is not."""


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


MISSING_CLUSTER = "MissingBackend"
"""No cluster has this name: its share of the requests is answered with 500. A backend that does not exist
or may not be referred to has it (Gateway API: 500 in proportion to its weight)."""


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """First `remove`, then `set` (in place of what is there), then `add` (beside it). Names in lower case,
    none of them `host` or with a colon. A value may have Envoy's commands in it, as Istio's users write them
    (%DOWNSTREAM_REMOTE_ADDRESS%); a per cent sign that is one is %%."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


class PathChange(StrEnum):
    FULL = "full"  # the whole path
    PREFIX = "prefix"  # what the route's own path match took of it
    REGEX = "regex"  # every place where `pattern` matches; \1 stands for its first group


@dataclass(frozen=True, slots=True)
class PathRewrite:
    """The path that is asked for instead; the query stays."""

    kind: PathChange
    value: str
    pattern: str = ""
    """REGEX only (RE2)."""


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often a request is tried again."""

    attempts: int
    """Beyond the first; 0: never."""
    conditions: tuple[str, ...] = ()
    """Envoy's `x-envoy-retry-on` and `x-envoy-retry-grpc-on` words, which Istio's `retryOn` shares. Empty:
    the mesh's own choice."""
    statuses: tuple[int, ...] = ()
    """Statuses of answers that are tried again."""
    backoff_seconds: float | None = None
    """The base of the pauses, which grow to ten times as much; None: 25 ms (Envoy's default)."""
    other_localities: bool = False
    """Prefer endpoints of a locality that was not tried (Istio's `retryRemoteLocalities`)."""
    tried_hosts_again: bool = False
    """Whether the host that failed may be chosen again at once (Istio: `retryIgnorePreviousHosts` false)."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of the request, whose answer is thrown away."""

    cluster: str
    per_million: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Session:
    """Requests with the same token go to the endpoint that the first of them met (GEP-1619)."""

    name: str
    """Of the cookie or the header."""
    cookie: bool = True
    cookie_seconds: float | None = None
    """None: a cookie for the session."""
    cookie_path: str = "/"
    retired: tuple[WeightedCluster, ...] = ()
    """Where no new session goes (weight 0), and old ones go on. Resolve makes routes of them."""


@dataclass(frozen=True, slots=True)
class WeightedCluster:
    cluster: str
    """A cluster that does not exist answers in place."""
    weight: int = 1
    request: HeaderChanges | None = None
    response: HeaderChanges | None = None
    authority: str = ""
    """The Host header that is sent on instead."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Send it on. Clusters of weight 0 are left out by resolve; at least one is here."""

    clusters: tuple[WeightedCluster, ...]
    timeout_seconds: float | None = None
    """Of the whole, all attempts together. None: no limit of the mesh's own."""
    attempt_seconds: float | None = None
    """Of each attempt."""
    retry: Retry | None = None
    """None: the mesh's own policy."""
    path: PathRewrite | None = None
    authority: str = ""
    """The Host header that is sent on instead."""
    mirrors: tuple[Mirror, ...] = ()
    session: Session | None = None
    missing_status: int = 500
    """500 or 503: the answer for a cluster that does not exist."""


class PortChoice(StrEnum):
    KEEP = "keep"  # whatever the Host header says (Envoy's default; Istio without `port` and `derivePort`)
    SCHEME = "scheme"  # the well-known port of the scheme: none is written
    REQUEST = "request"  # the port at which the request arrived


@dataclass(frozen=True, slots=True)
class Redirect:
    """Answer with another place to go to. What is not said stays as in the request."""

    status: int
    scheme: str = ""
    authority: str = ""
    port: int | PortChoice = PortChoice.KEEP
    path: PathRewrite | None = None


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer in place (a missing backend answers 500, an unknown host under REGISTRY_ONLY 502)."""

    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Cors:
    """Cross-origin resource sharing (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

    origins: tuple[ValueMatch, ...]
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    max_age_seconds: float | None = None
    credentials: bool = False
    forward_unmatched_preflights: bool = True
    """Whether a preflight from another origin reaches the application."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Delays and failures that somebody asked for."""

    delay_seconds: float = 0
    delay_per_million: int = 0
    abort_status: int | None = None
    abort_grpc_status: int | None = None
    abort_per_million: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of a virtual host; the first whose match holds is taken."""

    name: str
    match: RequestMatch
    action: Forward | Redirect | Respond
    origin: Origin
    request: HeaderChanges | None = None
    """Before those of the cluster that is chosen."""
    response: HeaderChanges | None = None
    cors: Cors | None = None
    fault: Fault | None = None
    stat_prefix: str = ""
    """Under which its own requests, time-outs and retries are counted. "": they are not. (Answers by status
    never are: that would be a switch of the router, which stands in the listener.)"""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class DestinationRoutes:
    """Routes of requests by the address that their callers dialled."""

    destination: str
    """An address, or a range of them (CIDR). An address stands before a range, an earlier range before a
    later one."""
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class VirtualHost:
    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...]
    origin: Origin
    by_destination: tuple[DestinationRoutes, ...] = ()
    """What stands in place of `routes` for requests to some addresses; outbound route tables only."""
    https_only: bool = False
    """Requests without TLS are sent to the same place with it (301)."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class RouteTable:
    """One RDS resource: all virtual hosts of a port (`9080`) or of a gateway's listener (`http.8080`)."""

    name: str
    virtual_hosts: tuple[VirtualHost, ...]
    origin: Origin
