"""The listeners of a Gateway (Gateway API) with the routes bound to them.

Read by `gateway.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tulle.mesh.route.binding import GatewayResource, ListenerState, bindings, listener_states
from tulle.mesh.route.common import covers, specificity
from tulle.mesh.route.gateway_api import RankedRoute
from tulle.mesh.route.host import HostCells
from tulle.mesh.route.route_filter import arrived_at
from tulle.mesh.route.server import Server
from tulle.mesh.view import (
    GatewayChain,
    HttpChain,
    Origin,
    RequestMatch,
    Respond,
    Route,
    ServerTls,
    VirtualHost,
)
from tulle.mesh.world import World
from tulle.model.resource import Key

_MISDIRECTED = 421


def standard_servers(world: World, hosts: HostCells, gateway: GatewayResource) -> tuple[Server, ...]:
    """What the listeners that can serve ask of the gateway's proxy."""
    bound = bindings(world, hosts.attachments, gateway)
    serving = [state for state in listener_states(world, gateway) if state.serves]
    found: list[Server] = []
    for state in serving:
        others = [
            each
            for each in serving
            if each is not state
            and (each.listener.port, each.protocol) == (state.listener.port, state.protocol)
        ]
        found.append(_server(hosts, gateway, state, others, bound.get(state.index, {})))
    return tuple(found)


def _server(
    hosts: HostCells,
    gateway: GatewayResource,
    state: ListenerState,
    others: list[ListenerState],
    bound: Mapping[Key, tuple[str, ...]],
) -> Server:
    port = state.listener.port
    origin = Origin("Gateway", gateway.namespace, gateway.name, f"spec.listeners[{state.index}]")
    made = [
        VirtualHost(f"{domain}:{port}", (domain,), _routes(hosts, state, bound, domain), origin)
        for domain in _domains(state, others, bound)
    ]
    if state.protocol == "HTTP":
        return Server(port, "HTTP", origin, tuple(made))
    taken = {domain for host in made for domain in host.domains}
    made += [_misdirected(each.hostname, port, origin) for each in others if each.hostname not in taken]
    table = f"https.{port}.{state.listener.name}.{gateway.name}.{gateway.namespace}"
    chain = GatewayChain(
        name=f"https.{state.listener.name}.{gateway.name}.{gateway.namespace}",
        then=HttpChain(table, f"outbound_{table}"),
        origin=origin,
        server_names=() if state.hostname == "*" else (state.hostname,),
        tls=ServerTls(state.secrets),
    )
    return Server(port, "HTTPS", origin, tuple(made), table, (chain,))


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


def _misdirected(hostname: str, port: int, origin: Origin) -> VirtualHost:
    """A host of another listener: a request on this one's connections shall be sent again on a connection
    of its own (RFC 9110, 15.5.20; `Listener.hostname`).
    """
    route = Route("misdirected", RequestMatch(), Respond(_MISDIRECTED), origin)
    return VirtualHost(f"{hostname}:{port}", (hostname,), (route,), origin)
