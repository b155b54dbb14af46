"""The listeners of a Gateway (Gateway API) with the routes bound to them.

Read by `gateway/gateway.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tulle.mesh.gateway.deployment import unsupported_addresses
from tulle.mesh.route.attachment import ConnectionRoute, DatagramRoute, GatewayResource
from tulle.mesh.route.common import age, covers, specificity
from tulle.mesh.route.gateway_api import connection_route
from tulle.mesh.route.gateway_api.binding import BindingCells
from tulle.mesh.route.gateway_api.filter import arrived_at
from tulle.mesh.route.gateway_api.listener_state import ListenerState
from tulle.mesh.route.gateway_api.ranking import RankedRoute
from tulle.mesh.route.host import HostCells
from tulle.mesh.route.server import Server
from tulle.mesh.view import (
    MISSING_CLUSTER,
    GatewayChain,
    HttpChain,
    Origin,
    Reject,
    RequestMatch,
    Respond,
    Route,
    ServerTls,
    TcpChain,
    VirtualHost,
)
from tulle.mesh.world import World
from tulle.model.resource import Key

_MISDIRECTED = 421


def standard_servers(
    world: World, hosts: HostCells, cells: BindingCells, gateway: GatewayResource
) -> tuple[Server, ...]:
    """What the listeners that can serve ask of the gateway's proxy."""
    if unsupported_addresses(gateway.spec):
        return ()
    serving = [state for state in cells.states(gateway) if state.serves]
    bound = {owner: cells.bindings(gateway, owner) for owner in {state.owner for state in serving}}
    by_socket: dict[tuple[int, bool], list[ListenerState]] = {}
    for state in serving:
        by_socket.setdefault(state.socket, []).append(state)
    found: list[Server] = []
    for state in serving:
        others = [each for each in by_socket[state.socket] if each is not state]
        routes = bound[state.owner].get(state.index, {})
        if state.protocol == "UDP":
            found += _datagrams(world, state, routes)
        elif state.protocol in ("TLS", "TCP"):
            found.append(_connections(world, state, others, routes))
        else:
            found.append(_server(hosts, state, others, routes))
    return tuple(found)


def _server(
    hosts: HostCells,
    state: ListenerState,
    others: list[ListenerState],
    bound: Mapping[Key, tuple[str, ...]],
) -> Server:
    port = state.listener.port
    origin = _origin(state)
    made = [
        VirtualHost(f"{domain}:{port}", (domain,), _routes(hosts, state, bound, domain), origin)
        for domain in _domains(state, others, bound)
    ]
    if state.protocol == "HTTP":
        return Server(port, "HTTP", origin, tuple(made))
    taken = {domain for host in made for domain in host.domains}
    elsewhere = dict.fromkeys(each.hostname for each in others if each.hostname not in taken)
    if elsewhere:
        made.append(_misdirected(tuple(elsewhere), port, origin))
    table = f"https.{port}.{state.full_name}"
    chain = GatewayChain(
        name=f"https.{state.full_name}",
        then=HttpChain(table, f"outbound_{table}"),
        origin=origin,
        server_names=() if state.hostname == "*" else (state.hostname,),
        tls=ServerTls(state.secrets, state.frontend.validation),
    )
    return Server(port, "HTTPS", origin, tuple(made), table, (chain,))


def _origin(state: ListenerState) -> Origin:
    owner = state.owner
    return Origin(owner.kind, owner.namespace, owner.name, f"spec.listeners[{state.index}]")


def _domains(
    state: ListenerState, others: list[ListenerState], bound: Mapping[Key, tuple[str, ...]]
) -> list[str]:
    """The host names that are this listener's: of several listeners on a port that could take a request,
    only the most specific one may (Gateway API, listener isolation).
    """
    own = {state.hostname} | {hostname for hostnames in bound.values() for hostname in hostnames}
    narrower = [each.hostname for each in others if specificity(each.hostname) < specificity(state.hostname)]
    return sorted(domain for domain in own if not any(covers(each, domain) for each in narrower))


def _routes(
    hosts: HostCells, state: ListenerState, bound: Mapping[Key, tuple[str, ...]], domain: str
) -> tuple[Route, ...]:
    """The routes for one host name: those bound by the most specific host name first, whatever they match;
    within one the order of matches (`HTTPRouteSpec.hostnames`).
    """
    found: list[tuple[tuple[int, int], RankedRoute]] = []
    for key, hostnames in bound.items():
        covering = [specificity(hostname) for hostname in hostnames if covers(hostname, domain)]
        if covering:
            found += ((min(covering), each) for each in hosts.ranked((key, True)))
    scheme = state.protocol.lower()
    return tuple(arrived_at(route, state.listener.port, scheme) for route in _in_order(found))


def _in_order(found: Iterable[tuple[tuple[int, int], RankedRoute]]) -> tuple[Route, ...]:
    return tuple(each.route for _, each in sorted(found, key=lambda pair: (pair[0], pair[1].rank)))


def _misdirected(hostnames: tuple[str, ...], port: int, origin: Origin) -> VirtualHost:
    """The hosts of other listeners: a request on this one's connections shall be sent again on a connection
    of its own (RFC 9110, 15.5.20; `Listener.hostname`).
    """
    route = Route("misdirected", RequestMatch(), Respond(_MISDIRECTED), origin)
    return VirtualHost(f"misdirected:{port}", hostnames, (route,), origin)


# -- connections ------------------------------------------------------------------------------------


def _connections(
    world: World,
    state: ListenerState,
    others: list[ListenerState],
    bound: Mapping[Key, tuple[str, ...]],
) -> Server:
    """A listener whose connections are passed on: TLS by SNI, whether it ends here or not, TCP as a whole."""
    here = _origin(state)
    label = f"{state.protocol.lower()}.{state.full_name}"
    tls = ServerTls(state.secrets, state.frontend.validation) if state.terminates else None
    chains: list[GatewayChain] = []
    for number, domain in enumerate(_domains(state, others, bound)):
        route = _holding(world, bound, domain)
        then, origin = Reject(), here
        if route is not None:
            then = connection_route.connect(connection_route.clusters(world, route, at_gateway=True))
            origin = connection_route.origin(route)
        # What is closed anyway needs no handshake before.
        secured = tls if isinstance(then, TcpChain) else None
        names = () if domain == "*" else (domain,)
        chains.append(GatewayChain(f"{label}.{number}", then, origin, names, secured))
    return Server(state.listener.port, state.protocol, here, chains=tuple(chains))


def _datagrams(world: World, state: ListenerState, bound: Mapping[Key, tuple[str, ...]]) -> Iterator[Server]:
    """A listener of UDP. While no route can take its datagrams nobody listens, so that who sends them is told
    by ICMP (`UDPRouteRule.backendRefs`: "MUST actively reject")."""
    route = _holding(world, bound, state.hostname)
    found = connection_route.clusters(world, route, at_gateway=True) if route is not None else ()
    if route is not None and any(each.cluster != MISSING_CLUSTER for each in found):
        yield Server(state.listener.port, state.protocol, connection_route.origin(route), datagrams=found)


def _holding(
    world: World, bound: Mapping[Key, tuple[str, ...]], domain: str
) -> ConnectionRoute | DatagramRoute | None:
    """The route that takes connections for a host name: bound by the most specific one, and of several the
    oldest (Gateway API, "Conflicts")."""
    found: list[tuple[tuple[int, int], tuple[str, str, str], ConnectionRoute | DatagramRoute]] = []
    for key, hostnames in bound.items():
        route = world.resource(key)
        covering = [specificity(hostname) for hostname in hostnames if covers(hostname, domain)]
        if route is not None and covering:
            found.append((min(covering), age(route), route))
    return min(found, key=lambda each: each[:2])[2] if found else None
