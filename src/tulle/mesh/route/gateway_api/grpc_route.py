"""What a GRPCRoute (Gateway API) matches. A call is a POST to `/PACKAGE.SERVICE/METHOD`.

Read by `ranking.py`.
"""

from __future__ import annotations

import re

from tulle.mesh.view import MatchKind, NamedMatch, RequestMatch, ValueMatch
from tulle.model.gateway_api import GRPCHeaderMatch, GRPCMethodMatch, GRPCRouteMatch, GRPCRouteRule

_ANY = "[^/]+"


def matches(rule: GRPCRouteRule) -> list[tuple[tuple[int, int, int, int, int], RequestMatch]]:
    """The matches with their precedence, the smallest first. A rule without any takes every call."""
    return [(_precedence(match), _request_match(match)) for match in rule.matches or (GRPCRouteMatch(),)]


def _precedence(match: GRPCRouteMatch) -> tuple[int, int, int, int, int]:
    """The most characters of a service, then of a method, then the most headers (`GRPCRouteRule.matches`)."""
    method = match.method
    service, name = (method.service or "", method.method or "") if method is not None else ("", "")
    return (-len(service), -len(name), -len(_first_of_each_name(match.headers)), 0, 0)


def _request_match(match: GRPCRouteMatch) -> RequestMatch:
    headers = tuple(
        NamedMatch(
            each.name.lower(),
            ValueMatch(MatchKind.EXACT if each.type == "Exact" else MatchKind.REGEX, each.value),
        )
        for each in _first_of_each_name(match.headers)
    )
    return RequestMatch(_path(match.method), headers)


def _first_of_each_name(headers: tuple[GRPCHeaderMatch, ...]) -> tuple[GRPCHeaderMatch, ...]:
    """Of equivalent names (case-insensitive) only the first counts (`GRPCHeaderMatch.name`)."""
    seen: dict[str, GRPCHeaderMatch] = {}
    for each in headers:
        seen.setdefault(each.name.lower(), each)
    return tuple(seen.values())


def _path(method: GRPCMethodMatch | None) -> ValueMatch:
    service, name = (method.service, method.method) if method is not None else (None, None)
    if not service and not name:
        return ValueMatch(MatchKind.PREFIX, "/")
    assert method is not None
    if method.type == "Exact" and service:
        if name:
            return ValueMatch(MatchKind.EXACT, f"/{service}/{name}")
        return ValueMatch(MatchKind.PREFIX, f"/{service}/")
    if method.type == "Exact":
        return ValueMatch(MatchKind.REGEX, f"/{_ANY}/{re.escape(name or '')}")
    return ValueMatch(MatchKind.REGEX, f"/{_pattern(service)}/{_pattern(name)}")


def _pattern(written: str | None) -> str:
    return f"(?:{written})" if written else _ANY
