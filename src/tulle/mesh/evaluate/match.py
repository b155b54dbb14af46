"""Whether a request is what a route is for.

The semantics are Envoy's, for what `xds/match.py` writes: a path is matched without its query
(RouteMatch.path_specifier), all conditions must hold, of several values of one header any may match (since
Envoy 1.39), a query is not decoded, and of a parameter that stands several times the first one counts.
"""

from __future__ import annotations

import re2

from tulle.mesh.evaluate.call import Request
from tulle.mesh.view import MatchKind, NamedMatch, RequestMatch, ValueMatch


def misses(match: RequestMatch, request: Request) -> str:
    """The first condition that does not hold, in words; "" if all hold."""
    path, _, query = request.path.partition("#")[0].partition("?")
    if match.path is not None and not holds(match.path, path):
        return f"path {_words(match.path)}"
    for named in match.headers:
        if not _header_holds(named, request):
            return f"header {named.name} {_words(named.match)}"
    parameters = _parameters(query)
    for named in match.query:
        if named.name not in parameters or not holds(named.match, parameters[named.name]):
            return f"query parameter {named.name} {_words(named.match)}"
    return ""


def describe(match: RequestMatch) -> str:
    """All conditions in words."""
    found = [f"path {_words(match.path)}"] if match.path is not None else []
    found += [f"{named.name.removeprefix(':')} {_words(named.match)}" for named in match.headers]
    found += [f"?{named.name} {_words(named.match)}" for named in match.query]
    return ", ".join(found) or "everything"


def _header_holds(named: NamedMatch, request: Request) -> bool:
    values = request.values(named.name.lower())
    match = named.match
    if match.kind is MatchKind.PRESENT or (match.kind is MatchKind.PREFIX and not match.value):
        return bool(values) != match.invert
    if not values:  # counts as empty where a value is not wanted, else as nothing
        return match.invert and not holds(match, "")
    return any(holds(match, value) for value in values) != match.invert


def holds(match: ValueMatch, value: str) -> bool:
    """Whether a value matches; `invert` is the caller's."""
    wanted = match.value
    if match.kind is MatchKind.REGEX:
        pattern = f"(?i){wanted}" if match.ignore_case else wanted
        return re2.fullmatch(pattern, value) is not None
    if match.ignore_case:
        wanted, value = wanted.lower(), value.lower()
    match match.kind:
        case MatchKind.EXACT:
            return value == wanted
        case MatchKind.PREFIX:
            return value.startswith(wanted)
        case MatchKind.PATH_PREFIX:
            elements = wanted.rstrip("/")
            return not elements or value == elements or value.startswith(f"{elements}/")
        case MatchKind.PRESENT:
            return True


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        found.setdefault(name, value)
    return found


def _words(match: ValueMatch) -> str:
    verb = {
        MatchKind.EXACT: "is",
        MatchKind.PREFIX: "begins with",
        MatchKind.PATH_PREFIX: "begins with the elements",
        MatchKind.REGEX: "matches",
        MatchKind.PRESENT: "is there",
    }[match.kind]
    value = f" {match.value!r}" if match.kind is not MatchKind.PRESENT else ""
    return f"{'not: ' if match.invert else ''}{verb}{value}{' in any case' if match.ignore_case else ''}"
