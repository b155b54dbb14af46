"""RouteTable -> RouteConfiguration (RDS), and the one fixed route of an inbound port."""

from __future__ import annotations

from tulle.kit.memo import memoised
from tulle.mesh.view import (
    DestinationRoutes,
    Forward,
    MatchKind,
    NamedMatch,
    RequestMatch,
    Respond,
    Route,
    RouteTable,
    ValueMatch,
    VirtualHost,
)
from tulle.xds import message
from tulle.xds.bundle import ROUTE, Translated
from tulle.xds.cluster import PASSTHROUGH
from tulle.xds.filter.destination import destination_input, destination_within
from tulle.xds.message import Tree

UNREACHED = "x-tulle-unreached"
"""Response header of a server's proxy whose request may be had by another replica: its application could not
be dialled, so nobody has seen it; or the application went away over it, and it may be seen twice. An
application cannot say it of itself."""

IDEMPOTENT = "GET|HEAD|OPTIONS|TRACE|PUT|DELETE"
"""A pattern of the methods that may be repeated when nobody knows whether they were carried out (RFC 9110,
9.2.2)."""

_RETRIES = 2
# Istio's default since 1.24 (pilot/pkg/networking/core/route/retry: two retries; 503 is left out, since an
# application that answered it has seen the request), with Envoy's `reset-before-request` for pooled
# connections that the other side closed, and our own mark for a dead application behind a live proxy.
_SURELY_UNSEEN = "connect-failure,refused-stream,unavailable,cancelled,reset-before-request,retriable-headers"


def _retry(retry_on: str) -> Tree:
    return {
        "retry_on": retry_on,
        "num_retries": message.number(_RETRIES),
        "retriable_headers": [{"name": UNREACHED, "present_match": True}],
        "retry_host_predicate": [
            message.extension("envoy.retry_host_predicates.previous_hosts", message.PreviousHosts())
        ],
        # A dead host has the fewest requests, so of two replicas the balancer prefers it three times in four
        # until its death is known: after five attempts (Istio) one retry in six would go there again.
        "host_selection_retry_max_attempts": 20,
    }


_RETRY = _retry(_SURELY_UNSEEN)
_RETRY_IDEMPOTENT = _retry(f"{_SURELY_UNSEEN},reset")

# A route's own policy replaces its host's as a whole.
_NO_RETRY: Tree = {"num_retries": message.number(0)}

# Envoy has one policy for each route: those of a method that may be repeated have a route of their own, in
# front of the same one for all others. A look at the method is all that it costs a request.
_IS_IDEMPOTENT: Tree = {"name": ":method", "string_match": {"safe_regex": {"regex": IDEMPOTENT}}}

# Towards the own application: only what surely never reached it (Istio's inbound default).
_RETRY_APPLICATION: Tree = {"retry_on": "reset-before-request", "num_retries": message.number(_RETRIES)}

_MatcherTree = message.Matcher.MatcherTree
_MatchMap = _MatcherTree.MatchMap

_NO_TIMEOUT = message.seconds(0)
# Envoy's default of 15 s would cut downloads and streams that work without a mesh. Istio disables it too.

_PEER: Tree = {
    "header": {
        "key": "x-forwarded-client-cert",
        "value": "By=%DOWNSTREAM_LOCAL_URI_SAN%;URI=%DOWNSTREAM_PEER_URI_SAN%",
    },
    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
}


def _case_insensitive(pattern: str) -> str:
    # StringMatcher.ignore_case says nothing of regular expressions; RE2's own flag does.
    return f"(?i){pattern}"


def _string(match: ValueMatch) -> Tree:
    """envoy.type.matcher.v3.StringMatcher of a value that must be there."""
    if match.kind is MatchKind.REGEX:
        pattern = _case_insensitive(match.value) if match.ignore_case else match.value
        return {"safe_regex": {"regex": pattern}}
    matcher: Tree = {"exact" if match.kind is MatchKind.EXACT else "prefix": match.value}
    if match.ignore_case:
        matcher["ignore_case"] = True
    return matcher


def _any_value(match: ValueMatch) -> bool:
    """An empty prefix is any value; Envoy refuses it as a prefix."""
    return match.kind is MatchKind.PRESENT or (match.kind is MatchKind.PREFIX and not match.value)


def _path(match: ValueMatch | None) -> Tree:
    if match is None or _any_value(match):
        return {"prefix": "/"}
    assert not match.invert, "Envoy has no inverted path match"
    if match.kind is MatchKind.REGEX:
        return {"safe_regex": _string(match)["safe_regex"]}
    found: Tree
    if match.kind is MatchKind.EXACT:
        found = {"path": match.value}
    elif match.kind is MatchKind.PREFIX:
        found = {"prefix": match.value}
    else:  # by elements; a trailing slash is of no account (Gateway API, PathMatchPathPrefix)
        prefix = match.value.rstrip("/")
        found = {"path_separated_prefix": prefix} if prefix else {"prefix": "/"}
    if match.ignore_case:
        found["case_sensitive"] = message.NO
    return found


def _header(named: NamedMatch) -> Tree:
    match = named.match
    matcher: Tree = {"name": named.name.lower()}
    if _any_value(match):
        matcher["present_match"] = True
    else:
        matcher["string_match"] = _string(match)
    if match.invert:
        matcher["invert_match"] = True
        if "string_match" in matcher:  # "not this value" holds for a request without the header
            matcher["treat_missing_header_as_empty"] = True
    return matcher


def _query(named: NamedMatch) -> Tree:
    assert not named.match.invert, "Envoy has no inverted query match"
    if _any_value(named.match):
        return {"name": named.name, "present_match": True}
    return {"name": named.name, "string_match": _string(named.match)}


def _match(match: RequestMatch) -> Tree:
    return {
        **_path(match.path),
        "headers": [_header(named) for named in match.headers],
        "query_parameters": [_query(named) for named in match.query],
    }


def _forward(action: Forward) -> Tree:
    forward: Tree = {
        "timeout": _NO_TIMEOUT if action.timeout_seconds is None else message.seconds(action.timeout_seconds),
        # Gateway API: a backend that does not exist answers 500, in proportion to its weight.
        "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
    }
    if len(action.clusters) == 1:
        return forward | {"cluster": action.clusters[0].cluster}
    weighted = [{"name": one.cluster, "weight": message.number(one.weight)} for one in action.clusters]
    return forward | {"weighted_clusters": {"clusters": weighted}}


def _is_passthrough(action: Forward) -> bool:
    """Whether there is but the one place that the caller named: trying again would only be slower."""
    return all(one.cluster == PASSTHROUGH for one in action.clusters)


def _respond(action: Respond) -> Tree:
    answer: Tree = {"status": action.status}
    if action.body:
        answer["body"] = {"inline_string": action.body.decode()}
    return answer


def _route(route: Route, host_retries: bool) -> Tree:
    built: Tree = {"name": route.name, "match": _match(route.match)}
    if isinstance(route.action, Forward):
        built["route"] = _forward(route.action)
        if host_retries and _is_passthrough(route.action):
            built["route"]["retry_policy"] = _NO_RETRY
    elif isinstance(route.action, Respond):
        built["direct_response"] = _respond(route.action)
    return built


def _by_method(route: Route, host_retries: bool) -> list[Tree]:
    """The route, as often as requests to it are tried again in different cases."""
    built = _route(route, host_retries)
    if not isinstance(route.action, Forward) or _is_passthrough(route.action):
        return [built]
    match = {**built["match"], "headers": [*built["match"]["headers"], _IS_IDEMPOTENT]}
    again = {**built, "match": match, "route": built["route"] | {"retry_policy": _RETRY_IDEMPOTENT}}
    return [again, built]


def virtual_host(host: VirtualHost, *, by_method: bool = True) -> Tree:
    """The host names, and what is asked for under them. `by_method` false: for a client that has but one."""
    actions = [
        route.action
        for routes in (host.routes, *(each.routes for each in host.by_destination))
        for route in routes
    ]
    retries = any(isinstance(action, Forward) and not _is_passthrough(action) for action in actions)
    built: Tree = {"name": host.name, "domains": list(host.domains)}
    if retries:
        built["retry_policy"] = _RETRY
    built["routes"] = [
        tree
        for route in host.routes
        for tree in (_by_method(route, retries) if by_method else [_route(route, retries)])
    ]
    return built


# -- tables, put together from what is serialised once ------------------------------------------------


def _action(routes: list[Tree]) -> Tree:
    """The routes as what a matcher leads to; within, the first that holds is taken as ever."""
    return {"action": message.extension("routes", message.RouteList(routes=routes))}


def _routes_of(there: DestinationRoutes) -> Tree:
    return _action([tree for route in there.routes for tree in _by_method(route, host_retries=True)])


@memoised
def _entry(there: DestinationRoutes) -> bytes:
    """One entry of the map of addresses."""
    return message.serialise(_MatchMap(map={there.destination: _routes_of(there)}))


def _within(there: DestinationRoutes) -> Tree:
    return {"predicate": destination_within(there.destination), "on_match": _routes_of(there)}


def _by_destination(host: VirtualHost, routes: list[Tree]) -> bytes:
    """A matcher that looks the dialled address up, then goes through its routes; the others are for what is
    not found.

    One look-up however many services there are: traffic to foreign hosts comes this way too. A range is
    looked at after all addresses.
    """
    rest = _action(routes)
    ranges = [_within(each) for each in host.by_destination if "/" in each.destination]
    if ranges:
        rest = {"matcher": {"matcher_list": {"matchers": ranges}, "on_no_match": rest}}
    addresses = [_entry(each) for each in host.by_destination if "/" not in each.destination]
    if not addresses:
        return message.serialise(message.Matcher(**rest["matcher"]))
    tree = message.serialise(_MatcherTree(input=destination_input()))
    tree += message.field(_MatcherTree, "exact_match_map", b"".join(addresses))
    last = message.serialise(message.Matcher(on_no_match=rest))
    return message.field(message.Matcher, "matcher_tree", tree) + last


@memoised
def _host(host: VirtualHost) -> bytes:
    """One of the `virtual_hosts` of a table: most are in the tables of all namespaces."""
    built = virtual_host(host)
    matcher = b""
    if host.by_destination:
        matcher = message.field(message.VirtualHost, "matcher", _by_destination(host, built.pop("routes")))
    body = message.serialise(message.VirtualHost(**built)) + matcher
    return message.field(message.RouteConfiguration, "virtual_hosts", body)


@memoised
def translate_route_table(table: RouteTable) -> Translated:
    """One RDS resource. Hosts match with whatever port the client wrote (`Host: reviews:9080`)."""
    head = message.RouteConfiguration(name=table.name, ignore_port_in_host_matching=True)
    body = b"".join((message.serialise(head), *map(_host, table.virtual_hosts)))
    return Translated(ROUTE, table.name, body, origin=table.origin)


def inbound_routes(cluster: str, port: int, peer: bool) -> Tree:
    """All of an inbound port goes to its application. `peer`: tell it who called (XFCC).

    Written inside the listener: nothing in it varies. The header is spelled here and not by the connection
    manager's SANITIZE_SET, which would add the certificate's hash on this depth only (decision 24).
    """
    return {
        "name": cluster,
        "validate_clusters": message.NO,
        "virtual_hosts": [
            {
                "name": f"inbound|http|{port}",
                "domains": ["*"],
                "routes": [
                    {
                        "name": "default",
                        "match": {"prefix": "/"},
                        "route": {
                            "cluster": cluster,
                            "timeout": _NO_TIMEOUT,
                            "retry_policy": _RETRY_APPLICATION,
                        },
                    }
                ],
            }
        ],
        "request_headers_to_add": [_PEER] if peer else [],
        # Of what the application answers; the proxy's own answers are marked after this.
        "response_headers_to_remove": [UNREACHED],
    }
