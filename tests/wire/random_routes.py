"""Random route tables and requests, made of few words, so that they have something to do with each other."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.unit.xds import views
from tulle.mesh.evaluate import Connection, Request
from tulle.mesh.view import (
    MISSING_CLUSTER,
    Cors,
    DestinationRoutes,
    Fault,
    Forward,
    HeaderChanges,
    MatchKind,
    Mirror,
    NamedMatch,
    PathChange,
    PathRewrite,
    Redirect,
    RequestMatch,
    Respond,
    Retry,
    Route,
    RouteTable,
    ValueMatch,
    VirtualHost,
    WeightedCluster,
)

_PATHS = ("/", "/a", "/a/", "/a/b", "/ab", "/A", "/a/B", "/b", "/b/c", "/c.html", "/a//b")
_PATTERNS = ("/a.*", "/[ab]", ".*b", "/a|/b", "(?i)/A/.*", "/a/?", ".*")
_VALUES = ("", "1", "2", "12", "abc", "ABC", "1,2")
_VALUE_PATTERNS = ("1|2", "[a-c]+", "1.*", ".*", "(?i)abc")
_HEADERS = ("x-a", "x-b", "origin")
_QUERIES = ("", "?", "?x=1", "?x=2&y=1", "?x", "?y=abc&x=12", "?x=1&x=2", "?x=%31", "?x=a+b")
_METHODS = ("GET", "POST", "PUT", "OPTIONS", "DELETE")
_DOMAINS = ("a.example", "b.example", "*.example", "*.a.example", "a.*", "service", "*")
_AUTHORITIES = (
    "a.example",
    "a.example:8080",
    "A.Example",
    "x.a.example",
    "x.y.example",
    "a.b",
    "service",
    "other",
)
_ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.6")
_DESTINATIONS = ("127.0.0.2", "127.0.0.4/30", "127.0.0.0/29")

T = TypeVar("T")


def clusters() -> tuple[str, ...]:
    """The clusters that exist."""
    return ("outbound|80||one", "outbound|80||two", "outbound|80|v1|two")


def random_table(chance: random.Random, name: str) -> RouteTable:
    """Hosts with distinct domains, their routes, and sometimes routes by address."""
    names = list(_DOMAINS)
    chance.shuffle(names)
    hosts: list[VirtualHost] = []
    number = 0
    while names and len(hosts) < 4:
        domains = tuple(names.pop() for _ in range(min(len(names), chance.choice((1, 1, 2)))))
        label = f"host-{len(hosts)}"
        routes = _routes(chance, f"{name}.{label}")
        by_destination: tuple[DestinationRoutes, ...] = ()
        if "*" in domains:
            by_destination = tuple(
                DestinationRoutes(each, _routes(chance, f"{name}.{label}.to-{number}"))
                for number, each in enumerate(_some(chance, _DESTINATIONS, 2))
            )
        hosts.append(VirtualHost(label, domains, routes, views.HERE, by_destination))
        number += 1
    return RouteTable(name, tuple(hosts), views.HERE)


def random_request(chance: random.Random, port: int) -> Request:
    """A request to one of the addresses behind which the table stands."""
    headers = [(name, chance.choice(_VALUES)) for name in _some(chance, _HEADERS, 3)]
    if headers and chance.random() < 0.2:
        headers.append((headers[0][0], chance.choice(_VALUES)))
    method = chance.choice(_METHODS)
    if method == "OPTIONS" and chance.random() < 0.7:
        headers.append(("access-control-request-method", "PUT"))
    return Request(
        Connection(chance.choice(_ADDRESSES), port),
        method,
        chance.choice(_AUTHORITIES),
        chance.choice(_PATHS) + chance.choice(_QUERIES),
        headers=tuple(headers),
    )


def _some(chance: random.Random, words: Sequence[T], most: int) -> list[T]:
    return chance.sample(list(words), chance.randint(0, min(most, len(words))))


def _routes(chance: random.Random, label: str) -> tuple[Route, ...]:
    return tuple(_route(chance, f"{label}.{number}") for number in range(chance.randint(1, 5)))


def _route(chance: random.Random, name: str) -> Route:
    action = chance.choice((_forward, _forward, _forward, _redirect, _respond))(chance)
    forwards = isinstance(action, Forward)
    return Route(
        name,
        _match(chance),
        action,
        views.HERE,
        request=_maybe(chance, _changes),
        response=_maybe(chance, _changes),
        cors=_maybe(chance, _cors) if forwards else None,
        fault=_maybe(chance, _fault) if forwards else None,
    )


def _maybe(chance: random.Random, make: Callable[[random.Random], T]) -> T | None:
    return make(chance) if chance.random() < 0.2 else None


def _match(chance: random.Random) -> RequestMatch:
    path = _path(chance) if chance.random() < 0.7 else None
    headers = [NamedMatch(name, _value(chance, invert=True)) for name in _some(chance, _HEADERS[:2], 1)]
    if chance.random() < 0.2:
        headers.append(NamedMatch(":method", ValueMatch(MatchKind.EXACT, chance.choice(_METHODS))))
    query = [NamedMatch(name, _value(chance, invert=False)) for name in _some(chance, ("x", "y"), 1)]
    return RequestMatch(path, tuple(headers), tuple(query) if chance.random() < 0.4 else ())


def _path(chance: random.Random) -> ValueMatch:
    kind = chance.choice((MatchKind.EXACT, MatchKind.PREFIX, MatchKind.PATH_PREFIX, MatchKind.REGEX))
    if kind is MatchKind.REGEX:
        return ValueMatch(kind, chance.choice(_PATTERNS), ignore_case=chance.random() < 0.2)
    return ValueMatch(kind, chance.choice(_PATHS), ignore_case=chance.random() < 0.2)


def _value(chance: random.Random, *, invert: bool) -> ValueMatch:
    kind = chance.choice((MatchKind.EXACT, MatchKind.PREFIX, MatchKind.REGEX, MatchKind.PRESENT))
    words = _VALUE_PATTERNS if kind is MatchKind.REGEX else _VALUES
    return ValueMatch(
        kind,
        "" if kind is MatchKind.PRESENT else chance.choice(words),
        ignore_case=kind is not MatchKind.PRESENT and chance.random() < 0.2,
        invert=invert and chance.random() < 0.3,
    )


def _forward(chance: random.Random) -> Forward:
    names = _some(chance, (*clusters(), MISSING_CLUSTER), 3) or [clusters()[0]]
    return Forward(
        tuple(
            WeightedCluster(each, chance.randint(1, 5), _maybe(chance, _changes), _maybe(chance, _changes))
            for each in names
        ),
        timeout_seconds=_maybe(chance, lambda _: 5.0),
        attempt_seconds=_maybe(chance, lambda _: 3.0),
        retry=_maybe(chance, lambda inner: Retry(inner.randint(0, 3), ("5xx",))),
        path=_maybe(chance, _rewrite),
        authority=chance.choice(("", "", "elsewhere.example")),
        mirrors=(Mirror(clusters()[0], 500_000),) if chance.random() < 0.1 else (),
    )


def _rewrite(chance: random.Random) -> PathRewrite:
    kind = chance.choice(tuple(PathChange))
    return PathRewrite(kind, "/new", "a+" if kind is PathChange.REGEX else "")


def _redirect(chance: random.Random) -> Redirect:
    return Redirect(chance.choice((301, 302, 303, 307, 308)), chance.choice(("", "https")), path=None)


def _respond(chance: random.Random) -> Respond:
    return Respond(chance.choice((200, 404, 418, 502, 503)), chance.choice((b"", b"here")))


def _changes(chance: random.Random) -> HeaderChanges:
    return HeaderChanges(set=(("x-set", "s"),), add=(("x-added", "a"),), remove=("x-b",))


def _cors(chance: random.Random) -> Cors:
    origins = tuple(_value(chance, invert=False) for _ in range(chance.randint(1, 2)))
    return Cors(origins, ("GET", "PUT"), forward_unmatched_preflights=chance.random() < 0.5)


def _fault(chance: random.Random) -> Fault:
    share = chance.choice((0, 1_000_000))
    if chance.random() < 0.3:
        return Fault(abort_grpc_status=14, abort_per_million=share)
    return Fault(abort_status=chance.choice((503, 418)), abort_per_million=share)
