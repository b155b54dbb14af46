"""RequestMatch -> RouteMatch: which requests a route takes."""

from __future__ import annotations

from tulle.mesh.view import MatchKind, NamedMatch, RequestMatch, ValueMatch
from tulle.xds import message
from tulle.xds.message import Tree


def case_insensitive(pattern: str) -> str:
    """A pattern that holds in any case: RE2's own flag, since Envoy has none for regular expressions."""
    return f"(?i){pattern}"


def string_match(match: ValueMatch) -> Tree:
    """envoy.type.matcher.v3.StringMatcher of a value that must be there."""
    if any_value(match):
        return {"safe_regex": {"regex": ".*"}}
    if match.kind is MatchKind.REGEX:
        pattern = case_insensitive(match.value) if match.ignore_case else match.value
        return {"safe_regex": {"regex": pattern}}
    matcher: Tree = {"exact" if match.kind is MatchKind.EXACT else "prefix": match.value}
    if match.ignore_case:
        matcher["ignore_case"] = True
    return matcher


def any_value(match: ValueMatch) -> bool:
    """An empty prefix is any value; Envoy refuses it as a prefix."""
    return match.kind is MatchKind.PRESENT or (match.kind is MatchKind.PREFIX and not match.value)


def elements(match: ValueMatch) -> str:
    """A prefix of path elements as Envoy wants it: a trailing slash is of no account (Gateway API,
    PathMatchPathPrefix). Empty for the root."""
    return match.value.rstrip("/")


def _path(match: ValueMatch | None) -> Tree:
    if match is None or any_value(match):
        return {"prefix": "/"}
    assert not match.invert, "Envoy has no inverted path match"
    if match.kind is MatchKind.REGEX:
        return {"safe_regex": string_match(match)["safe_regex"]}
    found: Tree
    if match.kind is MatchKind.EXACT:
        found = {"path": match.value}
    elif match.kind is MatchKind.PREFIX:
        found = {"prefix": match.value}
    else:
        prefix = elements(match)
        found = {"path_separated_prefix": prefix} if prefix else {"prefix": "/"}
    if match.ignore_case:
        found["case_sensitive"] = message.NO
    return found


def header_match(named: NamedMatch) -> Tree:
    """envoy.config.route.v3.HeaderMatcher."""
    match = named.match
    matcher: Tree = {"name": named.name.lower()}
    if any_value(match):
        matcher["present_match"] = True
    else:
        matcher["string_match"] = string_match(match)
    if match.invert:
        matcher["invert_match"] = True
        if "string_match" in matcher:  # "not this value" holds for a request without the header
            matcher["treat_missing_header_as_empty"] = True
    return matcher


def _query(named: NamedMatch) -> Tree:
    assert not named.match.invert, "Envoy has no inverted query match"
    if any_value(named.match):
        return {"name": named.name, "present_match": True}
    return {"name": named.name, "string_match": string_match(named.match)}


def route_match(match: RequestMatch) -> Tree:
    """All but the destination, which is no part of Envoy's RouteMatch."""
    return {
        **_path(match.path),
        "headers": [header_match(named) for named in match.headers],
        "query_parameters": [_query(named) for named in match.query],
    }
