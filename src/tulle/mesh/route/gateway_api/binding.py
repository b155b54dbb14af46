"""Gateways and ListenerSets: which routes are bound to which of their listeners.

Read by `listener.py`, which builds what is served, and by `parent.py`, `status/` and `review/`, which say why
the rest is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle.kit.derived import Derived
from tulle.mesh.gateway.listener_set import takes_namespace
from tulle.mesh.route.attachment import (
    ALL_ROUTES,
    GRPC_ROUTE,
    HTTP_ROUTE,
    AnyRoute,
    Attachments,
    GatewayResource,
)
from tulle.mesh.route.common import age, intersection
from tulle.mesh.route.gateway_api.connection_route import hostnames
from tulle.mesh.route.gateway_api.listener_state import ListenerState, listener_states, of_parent
from tulle.mesh.world import World
from tulle.model.gateway_api import ParentReference
from tulle.model.resource import Key


@dataclass(frozen=True, slots=True)
class Bound:
    """What became of one parentRef. `reason` is the specification's for the Accepted condition."""

    reason: str
    listeners: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """Index of each listener that takes the route, with the host names that it is served under there."""


Bindings = dict[int, dict[Key, tuple[str, ...]]]
"""For each listener of a parent by its index: the routes bound to it, with their host names there."""


class BindingCells:
    """The derived values of listeners and of what is bound to them: looked at once, whoever asks."""

    def __init__(self, world: World, attachments: Attachments) -> None:
        self._world = world
        self._attachments = attachments
        self._states: Derived[Key, tuple[ListenerState, ...]] = Derived(
            world.graph, self._find_states, "listener_states"
        )
        self._refused: Derived[tuple[Key, Key], frozenset[tuple[int, Key]]] = Derived(
            world.graph, self._find_refused, "refused_routes"
        )

    def states(self, gateway: GatewayResource) -> tuple[ListenerState, ...]:
        """The listeners of a Gateway as they are written, then those of its ListenerSets."""
        return self._states(gateway.key)

    def bind(self, gateway: GatewayResource, owner: Key, route: AnyRoute, ref: ParentReference) -> Bound:
        """To which listeners of a parent a route is bound by one of its parentRefs to it. `owner`: the
        parent, the Gateway itself or one of its ListenerSets."""
        found = _bind(self._world, of_parent(self.states(gateway), owner), route, ref)
        refused = self._refused((gateway.key, owner))
        left = tuple(each for each in found.listeners if (each[0], route.key) not in refused)
        if found.listeners and not left:
            return Bound("Conflicted")
        return Bound(found.reason, left)

    def bindings(self, gateway: GatewayResource, owner: Key) -> Bindings:
        """What is bound to the listeners of one parent."""
        found: Bindings = {}
        states = of_parent(self.states(gateway), owner)
        refused = self._refused((gateway.key, owner))
        parent = (owner.group, owner.kind, owner.namespace, owner.name)
        for route in (route for _, kind in ALL_ROUTES for route in self._attachments.routes(kind, parent)):
            for ref in route.spec.parent_refs:
                if not _is_parent(ref, route, owner):
                    continue
                for index, names in _bind(self._world, states, route, ref).listeners:
                    if (index, route.key) in refused:
                        continue
                    bound = found.setdefault(index, {})
                    bound[route.key] = tuple(dict.fromkeys((*bound.get(route.key, ()), *names)))
        return found

    def _find_states(self, key: Key) -> tuple[ListenerState, ...]:
        gateway: GatewayResource | None = self._world.resource(key)
        return listener_states(self._world, gateway) if gateway is not None else ()

    def _find_refused(self, at: tuple[Key, Key]) -> frozenset[tuple[int, Key]]:
        gateway, owner = at
        return _refused(self._world, self._attachments, owner, of_parent(self._states(gateway), owner))


def _bind(world: World, states: tuple[ListenerState, ...], route: AnyRoute, ref: ParentReference) -> Bound:
    named = [
        state
        for state in states
        if ref.section_name in (None, state.listener.name) and ref.port in (None, state.listener.port)
    ]
    if not named:
        return Bound("NoMatchingParent")
    kind = (route.key.group, route.key.kind)
    allowing = [state for state in named if kind in state.kinds and _allows(world, state, route)]
    if not allowing:
        return Bound("NotAllowedByListeners")
    found = [(state.index, _hostnames(state, route)) for state in allowing]
    found = [(index, names) for index, names in found if names]
    return Bound("Accepted", tuple(found)) if found else Bound("NoMatchingListenerHostname")


def _refused(
    world: World, attachments: Attachments, owner: Key, states: tuple[ListenerState, ...]
) -> frozenset[tuple[int, Key]]:
    """The routes that a listener does not take (index, key): of an HTTPRoute and a GRPCRoute with a host name
    in common only the older one holds (`GRPCRouteSpec.hostnames`)."""
    parent = (owner.group, owner.kind, owner.namespace, owner.name)
    routes = [attachments.routes(kind, parent) for _, kind in (HTTP_ROUTE, GRPC_ROUTE)]
    if not all(routes):
        return frozenset()
    taken: list[tuple[int, str, str]] = []
    refused: set[tuple[int, Key]] = set()
    for route in sorted((*routes[0], *routes[1]), key=age):
        kind = route.key.kind
        found = {
            each
            for ref in route.spec.parent_refs
            if _is_parent(ref, route, owner)
            for each in _bind(world, states, route, ref).listeners
        }
        for index, names in found:
            if any(
                at == index and other != kind and intersection(name, hostname) is not None
                for at, other, name in taken
                for hostname in names
            ):
                refused.add((index, route.key))
            else:
                taken += ((index, kind, hostname) for hostname in names)
    return frozenset(refused)


def _is_parent(ref: ParentReference, route: AnyRoute, owner: Key) -> bool:
    return Key(ref.group, ref.kind, ref.namespace or route.namespace, ref.name) == owner


def _allows(world: World, state: ListenerState, route: AnyRoute) -> bool:
    """Whether a listener takes routes of this namespace (`AllowedRoutes.namespaces`)."""
    said = state.listener.allowed_routes.namespaces
    return takes_namespace(world.declaration, said, state.owner.namespace, route.namespace)


def _hostnames(state: ListenerState, route: AnyRoute) -> tuple[str, ...]:
    """The host names that the listener and the route have in common (`HTTPRouteSpec.hostnames`)."""
    wanted = hostnames(route) or (state.hostname,)
    common = (intersection(state.hostname, hostname) for hostname in wanted)
    return tuple(dict.fromkeys(hostname for hostname in common if hostname is not None))
