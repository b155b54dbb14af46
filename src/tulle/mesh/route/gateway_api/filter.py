"""The filters of HTTPRoutes and GRPCRoutes in the vocabulary of the View.

Read by `rule.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tulle.mesh.view import (
    Cors,
    HeaderChanges,
    MatchKind,
    PathChange,
    PathRewrite,
    PortChoice,
    Redirect,
    Route,
    ValueMatch,
)
from tulle.model.gateway_api import (
    GRPCRouteFilter,
    HTTPCORSFilter,
    HTTPHeader,
    HTTPHeaderFilter,
    HTTPPathModifier,
    HTTPRequestMirrorFilter,
    HTTPRequestRedirectFilter,
    HTTPRouteFilter,
)

_PORTS = {"http": 80, "https": 443}
_MILLION = 1_000_000
_HOST = "host"
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")

RouteFilter = HTTPRouteFilter | GRPCRouteFilter


@dataclass(frozen=True, slots=True)
class Treatment:
    """What all filters of a rule, or of a backend, do to a request."""

    request: HeaderChanges | None = None
    response: HeaderChanges | None = None
    authority: str = ""
    path: HTTPPathModifier | None = None
    redirect: HTTPRequestRedirectFilter | None = None
    cors: Cors | None = None
    unknown: bool = False
    """One of them is nobody's here: it may not be skipped, the request fails (`HTTPRouteFilter`)."""


def treatment(filters: Iterable[RouteFilter]) -> Treatment:
    """The filters together. Of each type there is at most one, but for mirrors, which are not looked at."""
    request = response = path = redirect = cors = None
    authority, unknown = "", False
    for each in filters:
        if each.request_header_modifier is not None:
            request = _changes(each.request_header_modifier)
            authority = authority or _host(each.request_header_modifier)
        if each.response_header_modifier is not None:
            response = _changes(each.response_header_modifier)
        unknown |= each.extension_ref is not None
        if isinstance(each, HTTPRouteFilter):
            redirect = redirect or each.request_redirect
            if each.url_rewrite is not None:
                path = each.url_rewrite.path
                authority = each.url_rewrite.hostname or authority
            if each.cors is not None:
                cors = _cors(each.cors)
    return Treatment(request, response, authority, path, redirect, cors, unknown)


# -- headers ----------------------------------------------------------------------------------------


def _changes(modifier: HTTPHeaderFilter) -> HeaderChanges | None:
    changes = HeaderChanges(
        set=_headers(modifier.set),
        add=_headers(modifier.add),
        # What is no header's name is no header's, and a request without a host is none.
        remove=tuple(
            dict.fromkeys(
                name.lower() for name in modifier.remove if _NAME.fullmatch(name) and name.lower() != _HOST
            )
        ),
    )
    return changes if changes != HeaderChanges() else None


def _headers(headers: tuple[HTTPHeader, ...]) -> tuple[tuple[str, str], ...]:
    """Of equivalent names (case-insensitive) only the first counts (`HTTPHeader.name`)."""
    found: dict[str, str] = {}
    for each in headers:
        found.setdefault(each.name.lower(), each.value.replace("%", "%%"))
    found.pop(_HOST, None)
    return tuple(found.items())


def _host(modifier: HTTPHeaderFilter) -> str:
    """The Host header is a proxy's own: it is rewritten as an authority."""
    return next((each.value for each in (*modifier.set, *modifier.add) if each.name.lower() == _HOST), "")


# -- paths and redirects ----------------------------------------------------------------------------


def path_rewrite(modifier: HTTPPathModifier | None, match: ValueMatch | None) -> PathRewrite | None:
    """What a path becomes that `match` has taken."""
    if modifier is None:
        return None
    if modifier.replace_full_path is not None:
        return PathRewrite(PathChange.FULL, f"/{modifier.replace_full_path.removeprefix('/')}")
    value = f"/{(modifier.replace_prefix_match or '').strip('/')}"
    if match is not None and match.kind is MatchKind.PREFIX:  # the root, which every path begins with
        value = f"{value.rstrip('/')}/"
    return PathRewrite(PathChange.PREFIX, value)


def redirect(wanted: HTTPRequestRedirectFilter, match: ValueMatch | None) -> Redirect:
    """The port is the scheme's if there is a scheme, else the listener's (`port`)."""
    port: int | PortChoice = PortChoice.SCHEME if wanted.scheme else PortChoice.REQUEST
    if wanted.port is not None and wanted.port != _PORTS.get(wanted.scheme or ""):
        port = wanted.port
    return Redirect(
        wanted.status_code,
        scheme=wanted.scheme or "",
        authority=wanted.hostname or "",
        port=port,
        path=path_rewrite(wanted.path, match),
    )


def arrived_at(route: Route, port: int, scheme: str) -> Route:
    """The route for requests that come to this port with this scheme: a redirect may go back there. The
    well-known port of a scheme is not written into the Location."""
    action = route.action
    if not isinstance(action, Redirect) or action.port not in (PortChoice.REQUEST, _PORTS[scheme]):
        return route
    back = port if action.port is PortChoice.REQUEST else action.port
    # A Location for another host has no port of its own; one for the same host has the request's.
    known = back == _PORTS[scheme] and (action.port is PortChoice.REQUEST or action.authority)
    return replace(
        route, action=replace(action, port=PortChoice.KEEP if known and not action.scheme else back)
    )


# -- mirrors and browsers ---------------------------------------------------------------------------


def mirrored(mirror: HTTPRequestMirrorFilter) -> int:
    """How many of a million requests are copied."""
    if mirror.fraction is not None:
        return _MILLION * mirror.fraction.numerator // mirror.fraction.denominator
    return _MILLION if mirror.percent is None else mirror.percent * _MILLION // 100


def _cors(written: HTTPCORSFilter) -> Cors:
    credentials = bool(written.allow_credentials)
    return Cors(
        origins=tuple(_origin(each) for each in written.allow_origins),
        methods=written.allow_methods,
        headers=written.allow_headers,
        # `*` must not be said to requests with credentials (`exposeHeaders`).
        expose=tuple(each for each in written.expose_headers if each != "*" or not credentials),
        max_age_seconds=written.max_age,
        credentials=credentials,
        forward_unmatched_preflights=False,
    )


def _origin(written: str) -> ValueMatch:
    """`*` stands for everything; within a host for any number of labels (`allowOrigins`)."""
    if written == "*":
        return ValueMatch(MatchKind.PREFIX)
    if "*" not in written:
        return ValueMatch(MatchKind.EXACT, written)
    return ValueMatch(MatchKind.REGEX, ".+".join(map(re.escape, written.split("*"))))
