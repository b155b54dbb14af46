"""Rules and matches of a VirtualService that nothing can reach, because what stands before them takes it all.

Istio warns of them too (`analyzeUnreachableHTTPRules` and its like), by comparing texts; here a match covers
another if every condition of it follows from one of the other, so that what is said is true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tulle.model.istio.shared import UriMatch
from tulle.model.remark import Remark


def unreachable_http(routes: Sequence[Any]) -> Iterator[Remark]:
    """Of `http`. A route that delegates takes only what its delegate does, and so covers nothing."""
    return _unreachable("http", routes, _http_covers, lambda route: route.delegate is None)


def unreachable_connections(field: str, routes: Sequence[Any]) -> Iterator[Remark]:
    """Of `tls` and `tcp`."""
    return _unreachable(field, routes, _connection_covers, lambda route: True)


def _unreachable(
    field: str, routes: Sequence[Any], covers: Callable[[Any, Any], bool], takes: Callable[[Any], bool]
) -> Iterator[Remark]:
    seen: list[tuple[str, Any]] = []
    everything = ""
    for index, route in enumerate(routes):
        at = f"{field}[{index}]"
        if everything:
            message = f"nothing reaches this rule: {everything}, before it, takes everything"
            yield Remark(at, "unreachable-rule", message, "Move the rule that takes everything to the end.")
            continue
        fresh: list[tuple[str, Any]] = []
        dead: list[tuple[str, str]] = []
        for number, match in enumerate(route.match):
            here = f"{at}.match[{number}]"
            first = next((place for place, each in [*seen, *fresh] if covers(each, match)), "")
            if first:
                dead.append((here, first))
            else:
                fresh.append((here, match))
        if route.match and len(dead) == len(route.match):
            message = f"nothing reaches this rule: {dead[0][1]}, before it, takes it all"
            yield Remark(at, "unreachable-rule", message, "Move the narrower rule up, or remove it.")
        else:
            for here, first in dead:
                message = f"this match has no effect: {first}, before it, takes it all"
                yield Remark(here, "unreachable-match", message, "Remove it, or make the first one narrower.")
        if takes(route):
            seen += fresh
            if not route.match:
                everything = at


def _http_covers(one: Any, other: Any) -> bool:
    return (
        _same_callers(one, other)
        and _uri_covers(one, other)
        and all(_text_covers(getattr(one, name), getattr(other, name)) for name in _TEXTS)
        and all(_mapping_covers(getattr(one, name), getattr(other, name)) for name in _MAPPINGS)
        and all(other.without_headers.get(name) == value for name, value in one.without_headers.items())
    )


_TEXTS = ("scheme", "method", "authority")
_MAPPINGS = ("headers", "query_params")


def _connection_covers(one: Any, other: Any) -> bool:
    """Of TLS server names the narrowest is asked first wherever it stands: only the same one is covered."""
    names = set(getattr(other, "sni_hosts", ())) <= set(getattr(one, "sni_hosts", ()))
    subnets = not one.destination_subnets or (
        bool(other.destination_subnets) and set(other.destination_subnets) <= set(one.destination_subnets)
    )
    return names and subnets and _same_callers(one, other)


def _same_callers(one: Any, other: Any) -> bool:
    gateways = not one.gateways or (bool(other.gateways) and set(other.gateways) <= set(one.gateways))
    labels = set(one.source_labels.items()) <= set(other.source_labels.items())
    namespace = one.source_namespace in (None, other.source_namespace)
    return gateways and labels and namespace and one.port in (None, other.port)


def _uri_covers(one: Any, other: Any) -> bool:
    if one.uri is not None and one.uri.prefix in ("", "/"):
        return True  # every path begins so
    if one.uri is not None and other.ignore_uri_case and not one.ignore_uri_case:
        return False
    return _text_covers(one.uri, other.uri, ignore_case=one.ignore_uri_case)


def _text_covers(one: UriMatch | None, other: UriMatch | None, *, ignore_case: bool = False) -> bool:
    """Whether every text that the other takes is one that this one takes."""
    if one is None:
        return True
    if other is None:
        return False

    def plain(text: str | None) -> str | None:
        return text.lower() if text is not None and ignore_case else text

    if one.prefix is not None:
        narrower = plain(other.exact) if other.exact is not None else plain(other.prefix)
        return narrower is not None and narrower.startswith(plain(one.prefix) or "")
    if one.exact is not None:
        return other.exact is not None and plain(other.exact) == plain(one.exact)
    return one.regex == other.regex


def _mapping_covers(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """A match without a condition ({}) asks only that the header be there."""
    lower = {name.lower(): match for name, match in other.items()}
    return all(
        name.lower() in lower and (not match.model_fields_set or _text_covers(match, lower[name.lower()]))
        for name, match in one.items()
    )
