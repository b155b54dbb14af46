"""RouteTable -> RouteConfiguration (RDS), and the one fixed route of an inbound port."""

from __future__ import annotations

from tulle.kit.memo import memoised
from tulle.mesh.view import (
    DestinationRoutes,
    Forward,
    InboundPort,
    Redirect,
    Respond,
    Route,
    RouteTable,
    VirtualHost,
)
from tulle.xds import message
from tulle.xds.action import NO_TIMEOUT, forward, port_to_drop, redirect, respond
from tulle.xds.bundle import ROUTE, Translated
from tulle.xds.cluster import PASSTHROUGH
from tulle.xds.filter import cors, fault, session
from tulle.xds.filter.destination import destination_input, destination_within
from tulle.xds.header import header_changes, settled
from tulle.xds.match import route_match
from tulle.xds.message import Tree
from tulle.xds.retry import (
    APPLICATION_POLICY,
    IDEMPOTENT,
    MESH_POLICY,
    NEVER,
    UNREACHED,
    idempotent_policy,
    route_policy,
)

# Envoy has one policy for each route: those of a method that may be repeated have a route of their own, in
# front of the same one for all others. A look at the method is all that it costs a request.
_IS_IDEMPOTENT: Tree = {"name": ":method", "string_match": {"safe_regex": {"regex": IDEMPOTENT}}}

_HAS_PORT: Tree = {"name": ":authority", "string_match": {"safe_regex": {"regex": ".*:[0-9]+"}}}

_BODY_BYTES = 4096
# How long an answer in place may be by default (max_direct_response_body_size_bytes).

_MatcherTree = message.Matcher.MatcherTree
_MatchMap = _MatcherTree.MatchMap

_PEER: Tree = {
    "header": {
        "key": "x-forwarded-client-cert",
        "value": "By=%DOWNSTREAM_LOCAL_URI_SAN%;URI=%DOWNSTREAM_PEER_URI_SAN%",
    },
    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
}


def _is_passthrough(action: Forward) -> bool:
    """Whether there is but the one place that the caller named: trying again would only be slower."""
    return all(one.cluster == PASSTHROUGH for one in action.clusters)


def _filters(route: Route) -> Tree:
    """What the route switches on for itself, of the filters that are off (`filter/order.py`)."""
    found: Tree = {}
    if route.cors is not None:
        found[cors.NAME] = cors.cors_policy(route.cors)
    if route.fault is not None:
        found[fault.NAME] = fault.fault_of(route.fault)
    if isinstance(route.action, Forward) and route.action.session is not None:
        found[session.NAME] = session.session_of(route.action.session)
    return {"typed_per_filter_config": found} if found else {}


def _route(route: Route, host_retries: bool) -> Tree:
    route = settled(route)
    action = route.action
    built: Tree = {
        "name": route.name,
        "match": route_match(route.match),
        **header_changes(route.request, route.response),
        **_filters(route),
    }
    if route.stat_prefix:
        built["stat_prefix"] = route.stat_prefix
    if isinstance(action, Redirect):
        built["redirect"] = redirect(action, route.match.path)
    elif isinstance(action, Respond):
        built["direct_response"] = respond(action)
    else:
        built["route"] = forward(action, route.match.path)
        policy = NEVER if host_retries and _is_passthrough(action) else route_policy(action)
        if policy is not None:
            built["route"]["retry_policy"] = policy
    return built


def _when(condition: Tree, built: Tree, changed: Tree) -> list[Tree]:
    """The route twice: changed for the requests of which a condition holds too, and for all others."""
    match = {**built["match"], "headers": [*built["match"]["headers"], condition]}
    return [{**built, "match": match, **changed}, built]


def _by_request(route: Route, host_retries: bool) -> list[Tree]:
    """The route, as often as something is done in different ways for different requests."""
    built = _route(route, host_retries)
    action = route.action
    if isinstance(action, Redirect):
        port = port_to_drop(action)
        if port is not None:
            return _when(_HAS_PORT, built, {"redirect": redirect(action, route.match.path, port)})
    elif isinstance(action, Forward) and not _is_passthrough(action):
        policy = idempotent_policy(action)
        if policy is not None:
            return _when(_IS_IDEMPOTENT, built, {"route": built["route"] | {"retry_policy": policy}})
    return [built]


def virtual_host(host: VirtualHost, *, by_request: bool = True) -> Tree:
    """The host names, and what is asked for under them. `by_request` false: for a client that asks in one way
    only."""
    actions = [
        route.action
        for routes in (host.routes, *(each.routes for each in host.by_destination))
        for route in routes
    ]
    retries = any(isinstance(action, Forward) and not _is_passthrough(action) for action in actions)
    built: Tree = {"name": host.name, "domains": list(host.domains)}
    if retries:
        built["retry_policy"] = MESH_POLICY
    if host.https_only:
        built["require_tls"] = "ALL"
    built["routes"] = [
        tree
        for route in host.routes
        for tree in (_by_request(route, retries) if by_request else [_route(route, retries)])
    ]
    return built


# -- tables, put together from what is serialised once ------------------------------------------------


def _action(routes: list[Tree]) -> Tree:
    """The routes as what a matcher leads to; within, the first that holds is taken as ever."""
    return {"action": message.extension("routes", message.RouteList(routes=routes))}


def _routes_of(there: DestinationRoutes) -> Tree:
    return _action([tree for route in there.routes for tree in _by_request(route, host_retries=True)])


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
def _longest_body(host: VirtualHost) -> int:
    """How many bytes it may have to answer in place."""
    actions = (route.action for route in host.routes)
    return max((len(one.body) for one in actions if isinstance(one, Respond)), default=0)


@memoised
def translate_route_table(table: RouteTable) -> Translated:
    """One RDS resource. Hosts match with whatever port the client wrote (`Host: reviews:9080`)."""
    fields: Tree = {
        "name": table.name,
        "ignore_port_in_host_matching": True,
        # An application that passes answers on would have its own callers try again.
        "response_headers_to_remove": [UNREACHED],
    }
    longest = max(map(_longest_body, table.virtual_hosts), default=0)
    if longest > _BODY_BYTES:
        fields["max_direct_response_body_size_bytes"] = message.number(longest)
    head = message.RouteConfiguration(**fields)
    body = b"".join((message.serialise(head), *map(_host, table.virtual_hosts)))
    return Translated(ROUTE, table.name, body, origin=table.origin)


def inbound_routes(port: InboundPort, peer: bool) -> Tree:
    """All of an inbound port goes to its application. `peer`: tell it who called (XFCC).

    Written inside the listener: nothing in it varies. The header is spelled here and not by the connection
    manager's SANITIZE_SET, which would add the certificate's hash on this depth only (decision 24).
    """
    return {
        "name": port.cluster,
        "validate_clusters": message.NO,
        "virtual_hosts": [
            {
                "name": f"inbound|http|{port.service_port or port.port}",
                "domains": ["*"],
                "routes": [
                    {
                        "name": "default",
                        "match": {"prefix": "/"},
                        "route": {
                            "cluster": port.cluster,
                            "timeout": NO_TIMEOUT,
                            "retry_policy": APPLICATION_POLICY,
                        },
                    }
                ],
            }
        ],
        "request_headers_to_add": [_PEER] if peer else [],
        # Of what the application answers; the proxy's own answers are marked after this.
        "response_headers_to_remove": [UNREACHED],
    }
