"""Who is given which named bytes.

Resources live in parts; a part is what several nodes share. A node is assigned a sequence of parts. The
control plane fills its cache from `xds/`, the agent fills its own from upstream and from the disk; the
`Subscription`s of the connected nodes read it. Synchronous, single-threaded, no clock.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field

from tulle.ads.resource import Resource

Key = tuple[str, str]
"""(type url, name)"""
Changed = Callable[[frozenset[Key]], None]


@dataclass(slots=True)
class _Part:
    resources: dict[str, dict[str, Resource]] = field(default_factory=dict[str, dict[str, Resource]])
    """type url -> name -> resource"""
    nodes: dict[str, None] = field(default_factory=dict[str, None])

    def keys(self) -> set[Key]:
        return {(type_url, name) for type_url, named in self.resources.items() for name in named}

    def get(self, key: Key) -> Resource | None:
        named = self.resources.get(key[0])
        return None if named is None else named.get(key[1])

    def put(self, resource: Resource) -> bool:
        named = self.resources.setdefault(resource.type_url, {})
        before = named.get(resource.name)
        if before is not None and before.version == resource.version and before.needs == resource.needs:
            return False  # the encoded value that is there stays: it is shared by all streams
        named[resource.name] = resource
        return True

    def remove(self, key: Key) -> bool:
        named = self.resources.get(key[0], {})
        if named.pop(key[1], None) is None:
            return False
        if not named:
            del self.resources[key[0]]
        return True


@dataclass(slots=True)
class _Node:
    parts: tuple[str, ...] = ()
    assigned: bool = False
    complete: bool = True
    settled: set[str] = field(default_factory=set[str])
    absent: set[Key] = field(default_factory=set[Key])
    watchers: list[Changed] = field(default_factory=list[Changed])


class Cache:
    """Parts of resources, the nodes that are assigned to them, and who watches."""

    def __init__(self) -> None:
        self._parts: dict[str, _Part] = {}
        self._nodes: dict[str, _Node] = {}
        self._depth = 0
        self._changed_parts: defaultdict[str, set[Key]] = defaultdict(set)
        self._changed_nodes: defaultdict[str, set[Key]] = defaultdict(set)

    # -- writing -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        """Changes inside are one change to those who watch: a cluster and the route that names it are
        seen together, so that make-before-break can put them in order."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._notify()

    def put(self, part: str, resources: Iterable[Resource]) -> None:
        """Make `resources` the content of a part. What is equal to what is there is no change."""
        wanted = {resource.key: resource for resource in resources}
        gone = self._part(part).keys() - wanted.keys()
        self.update(part, wanted.values(), gone)

    def update(self, part: str, upserts: Iterable[Resource], removals: Iterable[Key] = ()) -> None:
        """Change some resources of a part. A key that is in both is put."""
        with self.transaction():
            held = self._part(part)
            changed = {key for key in removals if held.remove(key)}
            changed |= {resource.key for resource in upserts if held.put(resource)}
            if changed:
                self._changed_parts[part] |= changed

    def drop(self, part: str) -> None:
        """Take a part out with all that is in it. Nodes may stay assigned to the name."""
        self.put(part, ())
        if not self._part(part).nodes:
            del self._parts[part]

    def assign(self, node: str, parts: Sequence[str], *, complete: bool = True) -> None:
        """Let a node see parts; of two resources with one key the earlier part's counts.

        `complete`: what is not in the parts does not exist. Otherwise it is unknown until `settle` or
        `absent` says so, and nobody is told that it does not exist.
        """
        with self.transaction():
            state = self._node(node)
            for part in state.parts:
                if part not in parts:
                    self._changed_nodes[node] |= self._parts[part].keys()
                    self._leave(node, part)
            for part in parts:
                if part not in state.parts:
                    held = self._part(part)
                    held.nodes[node] = None
                    self._changed_nodes[node] |= held.keys()
            if tuple(parts) != state.parts and set(parts) == set(state.parts):
                for part in parts:
                    self._changed_nodes[node] |= self._parts[part].keys()
            if not state.assigned or complete != state.complete:
                # An empty part is an answer too, for who waits to hear what exists.
                self._changed_nodes[node].update(())
            state.parts = tuple(parts)
            state.assigned = True
            state.complete = complete

    def unassign(self, node: str) -> None:
        """Forget what a node sees. Nothing is removed at a client that is still connected: that a node is
        not placed anywhere says nothing about what it should run."""
        state = self._nodes.get(node)
        if state is None:
            return
        for part in state.parts:
            self._leave(node, part)
        self._nodes[node] = _Node(watchers=state.watchers)
        if not state.watchers:
            del self._nodes[node]

    def settle(self, node: str, type_url: str) -> None:
        """Of an incomplete node: all resources of this type are there, what is not there does not exist."""
        state = self._node(node)
        if type_url not in state.settled:
            with self.transaction():
                state.settled.add(type_url)
                self._changed_nodes[node].update(())

    def absent(self, node: str, keys: Iterable[Key]) -> None:
        """Of an incomplete node: these do not exist (until they are put)."""
        state = self._node(node)
        with self.transaction():
            new = set(keys) - state.absent
            state.absent |= new
            self._changed_nodes[node] |= new

    def unknown(self, node: str, keys: Iterable[Key]) -> None:
        """The other direction of `absent`: whether these exist is being asked."""
        self._node(node).absent.difference_update(keys)

    # -- reading -----------------------------------------------------------------------------------

    def resource(self, node: str, type_url: str, name: str) -> Resource | None:
        """What a node is to have under a name."""
        state = self._nodes.get(node)
        if state is not None:
            for part in state.parts:
                named = self._parts[part].resources.get(type_url)
                if named is not None and name in named:
                    return named[name]
        return None

    def names(self, node: str, type_url: str) -> set[str]:
        """All names of a type that a node is to have."""
        state = self._nodes.get(node)
        if state is None:
            return set()
        return {name for part in state.parts for name in self._parts[part].resources.get(type_url, ())}

    def content(self, part: str) -> tuple[Resource, ...]:
        """All resources of a part."""
        held = self._parts.get(part)
        if held is None:
            return ()
        return tuple(resource for named in held.resources.values() for resource in named.values())

    def found(self, part: str, key: Key) -> Resource | None:
        """What a part has under a key."""
        held = self._parts.get(part)
        return None if held is None else held.get(key)

    def knows(self, node: str, type_url: str, name: str) -> bool:
        """Whether it is certain that a name exists, or that it does not."""
        state = self._nodes.get(node)
        if state is None or not state.assigned:
            return False
        return (
            self.knows_all(node, type_url)
            or (type_url, name) in state.absent
            or self.resource(node, type_url, name) is not None
        )

    def knows_all(self, node: str, type_url: str) -> bool:
        """Whether what is not there under this type certainly does not exist."""
        state = self._nodes.get(node)
        return state is not None and state.assigned and (state.complete or type_url in state.settled)

    # -- watching ----------------------------------------------------------------------------------

    def watch(self, node: str, callback: Changed) -> Callable[[], None]:
        """Call back after each transaction with the keys that may be different for a node (also with none,
        when it became known what exists). Call the result to stop."""
        self._node(node).watchers.append(callback)

        def cancel() -> None:
            state = self._nodes[node]
            state.watchers.remove(callback)
            if not state.watchers and not state.assigned:
                del self._nodes[node]

        return cancel

    def _notify(self) -> None:
        """Nodes that share a changed part share the set of its changes too."""
        while self._changed_parts or self._changed_nodes:
            parts, self._changed_parts = self._changed_parts, defaultdict(set)
            nodes, self._changed_nodes = self._changed_nodes, defaultdict(set)
            per_node: dict[str, list[frozenset[Key]]] = {}
            for part, keys in parts.items():
                frozen = frozenset(keys)
                for node in self._parts[part].nodes if part in self._parts else ():
                    per_node.setdefault(node, []).append(frozen)
            for node, keys in nodes.items():
                per_node.setdefault(node, []).append(frozenset(keys))
            for node, changes in per_node.items():
                state = self._nodes.get(node)
                if state is None or not state.watchers:
                    continue
                merged = changes[0] if len(changes) == 1 else frozenset[Key]().union(*changes)
                for callback in tuple(state.watchers):
                    callback(merged)

    # -- within ------------------------------------------------------------------------------------

    def _part(self, part: str) -> _Part:
        return self._parts.setdefault(part, _Part())

    def _node(self, node: str) -> _Node:
        return self._nodes.setdefault(node, _Node())

    def _leave(self, node: str, part: str) -> None:
        held = self._parts[part]
        held.nodes.pop(node, None)
        if not held.nodes and not held.resources:
            del self._parts[part]


class View:
    """The cache as one node sees it."""

    __slots__ = ("_cache", "_node")

    def __init__(self, cache: Cache, node: str) -> None:
        self._cache = cache
        self._node = node

    def resource(self, type_url: str, name: str) -> Resource | None:
        """See `Cache.resource`."""
        return self._cache.resource(self._node, type_url, name)

    def names(self, type_url: str) -> set[str]:
        """See `Cache.names`."""
        return self._cache.names(self._node, type_url)

    def knows(self, type_url: str, name: str) -> bool:
        """See `Cache.knows`."""
        return self._cache.knows(self._node, type_url, name)

    def knows_all(self, type_url: str) -> bool:
        """See `Cache.knows_all`."""
        return self._cache.knows_all(self._node, type_url)
