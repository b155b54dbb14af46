"""The View, asked about one request or connection: a pure function, beside the translator.

`explain` and the tests of policies stand on it. It is kept honest by `tests/property/test_evaluate.py`, which
asks real Envoys the same.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from tulle.mesh.evaluate.action import answered_before, describe_action, describe_route
from tulle.mesh.evaluate.call import Connection, Request
from tulle.mesh.evaluate.listener import gateway_chain, gateway_listener, outbound_chain, outbound_listener
from tulle.mesh.evaluate.match import describe, misses
from tulle.mesh.evaluate.outcome import Outcome, Reason, Step
from tulle.mesh.evaluate.virtual_host import find_virtual_host, routes_for
from tulle.mesh.view import (
    MISSING_CLUSTER,
    Forward,
    Gateway,
    HttpChain,
    Outbound,
    Redirect,
    Reject,
    RouteTable,
    TcpChain,
    WeightedCluster,
)

_PASSTHROUGH = WeightedCluster("PassthroughCluster")
_UNDECLARED = {
    "block_all": ": nobody declared it, and what nobody declared may not be called",
    "allow_any": ": nobody declared it, so it goes where it was dialled",
}
"""What becomes of hosts that no virtual host has a name for, by the names of those that are for the rest."""
_SHOWN_MISSES = 5
"""How many routes that do not hold are told of, before the one that does."""


def evaluate_outbound(outbound: Outbound, call: Request | Connection) -> Outcome:
    """What a sidecar does with what its own workload sends out."""
    connection = call.connection if isinstance(call, Request) else call
    if connection.udp:
        step = Step("listener", "no proxy takes datagrams: packet rules lead to an endpoint")
        return Outcome(Reason.PASSED_THROUGH, (step,))
    listener = outbound_listener(outbound, connection)
    at = f"{connection.address}:{connection.port}"
    if listener is None:
        cidr = outbound.service_cidr
        inside = bool(cidr) and ip_address(connection.address) in ip_network(cidr)
        if inside or not outbound.allow_any:
            why = "no service has this port" if inside else "what nobody declared may not be called"
            return Outcome(Reason.CLOSED, (Step("listener", f"none for {at}: {why}"),))
        step = Step("listener", f"none for {at}: it passes through, unchanged")
        return Outcome(Reason.PASSED_THROUGH, (step,), (_PASSTHROUGH,))
    chain = outbound_chain(listener, connection, http=isinstance(call, Request))
    steps = (
        Step("listener", f"{listener.name} takes {at}", listener.origin),
        Step("protocol", _protocol(chain.then), chain.origin),
    )
    return _follow(chain.then, outbound.route_tables, call, steps)


def evaluate_gateway(gateway: Gateway, call: Request | Connection) -> Outcome:
    """What a gateway does with what comes to one of its ports."""
    connection = call.connection if isinstance(call, Request) else call
    if connection.udp:
        return _datagrams(gateway, connection)
    listener = gateway_listener(gateway, connection.port)
    if listener is None:
        return Outcome(Reason.CLOSED, (Step("listener", f"nobody listens on port {connection.port}"),))
    found = Step("listener", f"{listener.name}, {listener.protocol}", listener.origin)
    chain = gateway_chain(listener, connection)
    if chain is None:
        said = f"no certificate or route for server name {connection.server_name!r}"
        if not connection.server_name:
            said = "only TLS with a known server name is taken"
        return Outcome(Reason.CLOSED, (found, Step("protocol", f"{said}: closed", listener.origin)))
    ending = "TLS ends here, then " if chain.tls is not None else ""
    if chain.tls is not None and chain.tls.client is not None and chain.tls.client.required:
        ending = "TLS ends here, with the client's certificate, then "
    steps = (found, Step("protocol", ending + _protocol(chain.then), chain.origin))
    return _follow(chain.then, gateway.route_tables, call, steps)


def _datagrams(gateway: Gateway, connection: Connection) -> Outcome:
    listener = next((each for each in gateway.datagrams if each.port == connection.port), None)
    if listener is None:
        step = Step("listener", f"nobody takes datagrams on port {connection.port}")
        return Outcome(Reason.CLOSED, (step,))
    found = Step("listener", f"{listener.name}, UDP", listener.origin)
    return Outcome(Reason.FORWARDED, (found,), listener.clusters)


def _protocol(then: HttpChain | TcpChain | Reject) -> str:
    if isinstance(then, HttpChain):
        return f"HTTP, by route table {then.route_table}"
    return "refused: nobody declared where to" if isinstance(then, Reject) else "bytes, not looked at"


def _follow(
    then: HttpChain | TcpChain | Reject,
    tables: tuple[RouteTable, ...],
    call: Request | Connection,
    steps: tuple[Step, ...],
) -> Outcome:
    if isinstance(then, Reject):
        return Outcome(Reason.CLOSED, steps)
    if isinstance(then, TcpChain):
        passes = all(each == _PASSTHROUGH for each in then.clusters)
        if then.tunnel is not None:
            method = "POST" if then.tunnel.post else "CONNECT"
            steps = (*steps, Step("tunnel", f"another proxy is asked for it: {method} {then.tunnel.target}"))
        return Outcome(Reason.PASSED_THROUGH if passes else Reason.FORWARDED, steps, then.clusters)
    if isinstance(call, Connection):
        return Outcome(Reason.ANSWERED, (*steps, Step("request", "it is not HTTP")), status=400)
    table = next((each for each in tables if each.name == then.route_table), None)
    if table is None:
        return Outcome(Reason.NO_HOST, (*steps, Step("host", "the route table is empty")), status=404)
    return evaluate_table(table, call, steps)


def evaluate_table(table: RouteTable, request: Request, steps: tuple[Step, ...] = ()) -> Outcome:
    """What the routes of a port make of a request."""
    host = find_virtual_host(table, request.authority)
    if host is None:
        step = Step("host", f"no host here is called {request.authority!r}", table.origin)
        return Outcome(Reason.NO_HOST, (*steps, step), status=404)
    said = _UNDECLARED.get(host.name, "")
    found = [*steps, Step("host", f"{request.authority!r} means {host.name}{said}", host.origin)]
    if host.https_only:
        step = Step("host", f"{host.name} is for HTTPS alone: it redirects", host.origin)
        return Outcome(Reason.REDIRECTED, (*found, step), status=301)
    missed = 0
    for route in routes_for(host, request.connection.address):
        why = misses(route.match, request)
        if why:
            missed += 1
            if missed <= _SHOWN_MISSES:
                found.append(Step("route", f"{route.name} is not it: it wants {why}", route.origin))
            continue
        found.append(Step("route", f"{route.name} takes {describe(route.match)}", route.origin))
        found += describe_route(route)
        status = answered_before(route, request)
        if status is not None:
            return Outcome(Reason.ANSWERED, tuple(found), route=route, status=status)
        action = route.action
        found += describe_action(action, route.origin)
        if isinstance(action, Redirect):
            return Outcome(Reason.REDIRECTED, tuple(found), route=route, status=action.status)
        if not isinstance(action, Forward):
            return Outcome(Reason.ANSWERED, tuple(found), route=route, status=action.status)
        if all(each == _PASSTHROUGH for each in action.clusters):
            return Outcome(Reason.PASSED_THROUGH, tuple(found), action.clusters, route)
        missing = all(each.cluster == MISSING_CLUSTER for each in action.clusters)
        status = action.missing_status if missing else None
        return Outcome(Reason.FORWARDED, tuple(found), action.clusters, route, status)
    return Outcome(
        Reason.NO_ROUTE, (*found, Step("route", "none of its routes takes this request")), status=404
    )
