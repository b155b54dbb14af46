"""From the World to the cache: resolve and translate what has changed, and put it where agents get it.

Each part is a derived value, so a turn costs a look at every part and work for those alone whose inputs
have another value. What is put is identical bytes for everybody who shares a part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tulle.ads.cache import Cache
from tulle.ads.resource import NAMES, WORKLOAD, Resource
from tulle.kit.derived import Derived
from tulle.mesh.endpoint import EndpointQuery
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import Origin
from tulle.mesh.workload import Workload, WorkloadId
from tulle.mesh.world import World
from tulle.xds.bundle import Translated
from tulle.xds.translate import (
    translate_endpoints,
    translate_gateway,
    translate_inbound,
    translate_outbound,
)

ENDPOINTS = "endpoints"
"""The part with every EDS resource; a proxy asks for those of its clusters by name."""

Key = tuple[str, str]
"""(type url, name)"""


def proxy_node(at: WorkloadId) -> str:
    """The cache's name of a proxy."""
    return f"{at[0]}/{at[1]}"


def host_node(host: str) -> str:
    """The cache's name of a host's agent. No namespace has a colon."""
    return f"host:{host}"


class Pipeline:
    """Keeps a cache in step with a World."""

    def __init__(self, world: World, resolution: Resolution, cache: Cache) -> None:
        graph = world.graph
        self._world = world
        self._resolution = resolution
        self._cache = cache
        self._outbound: Derived[str, tuple[Translated, ...]] = Derived(
            graph, lambda scope: translate_outbound(resolution.outbound(scope)), "translate_outbound"
        )
        self._inbound: Derived[WorkloadId, tuple[Translated, ...]] = Derived(
            graph, self._translate_inbound, "translate_inbound"
        )
        self._gateway: Derived[WorkloadId, tuple[Translated, ...]] = Derived(
            graph, self._translate_gateway, "translate_gateway"
        )
        self._endpoints: Derived[EndpointQuery, tuple[Translated, ...]] = Derived(
            graph, lambda query: translate_endpoints(world.endpoints(query)), "translate_endpoints"
        )
        self._assignment: Derived[WorkloadId, Resource | None] = Derived(
            graph, self._encode_assignment, "encode_assignment"
        )
        self._names: Derived[str, Resource] = Derived(
            graph,
            lambda _: Resource(NAMES, "names", world.names().model_dump_json().encode()),
            "encode_names",
        )
        self._put: dict[str, tuple[object, ...]] = {}
        self._put_endpoints: dict[EndpointQuery, tuple[Translated, ...]] = {}
        self._parts: dict[str, tuple[str, ...]] = {}
        self._origins: dict[str, dict[Key, Origin]] = {}
        self.revision = 0
        """Counts the turns."""

    def turn(self) -> int:
        """Bring the cache up to date. Returns the revision that it now has."""
        proxies = [workload for workload in self._world.workloads() if workload.proxy and workload.address]
        with self._cache.transaction():
            parts = {proxy_node(workload.id): _parts(workload) for workload in proxies}
            parts[host_node(self._world.settings.host)] = ("assignments", "names")
            self._put_parts(proxies)
            self._put_all_endpoints(proxies)
            self._put_host()
            for node, sequence in parts.items():
                if self._parts.get(node) != sequence:
                    self._cache.assign(node, sequence)
            for node in self._parts.keys() - parts.keys():
                self._cache.unassign(node)
            for part in self._put.keys() - {part for sequence in parts.values() for part in sequence}:
                self._cache.drop(part)
                del self._put[part]
                self._origins.pop(part, None)
            self._parts = parts
        self.revision += 1
        return self.revision

    def proxies(self) -> frozenset[str]:
        """The nodes of all proxies that are declared."""
        return frozenset(node for node in self._parts if not node.startswith("host:"))

    def origin(self, node: str, type_url: str, name: str) -> Origin | None:
        """The written thing that an Envoy object of a proxy exists for."""
        for part in self._parts.get(node, ()):
            found = self._origins.get(part, {}).get((type_url, name))
            if found is not None:
                return found
        return None

    def content(self, at: WorkloadId) -> tuple[Translated, ...]:
        """Everything that one proxy is given, sorted; empty if it is none."""
        workload = self._world.workload(at)
        if workload is None or not workload.proxy:
            return ()
        found = {(one.type_url, one.name): one for one in self._of(workload)}
        wanted = {need for one in found.values() for need in one.needs}
        for query in self._queries(workload):
            found |= {
                (one.type_url, one.name): one
                for one in self._endpoints(query)
                if (one.type_url, one.name) in wanted
            }
        return tuple(found[key] for key in sorted(found))

    # -- parts -----------------------------------------------------------------------------------

    def _put_parts(self, proxies: Iterable[Workload]) -> None:
        for workload in proxies:
            if workload.gateway:
                self._put_part(gateway_part(workload.id), self._gateway(workload.id))
            else:
                self._put_part(outbound_part(workload.namespace), self._outbound(workload.namespace))
                self._put_part(inbound_part(workload.id), self._inbound(workload.id))

    def _put_part(self, part: str, content: tuple[Translated, ...]) -> None:
        if self._put.get(part) is content:
            return
        self._put[part] = content
        self._cache.put(part, map(_resource, content))
        self._origins[part] = {(one.type_url, one.name): one.origin for one in content}

    def _put_all_endpoints(self, proxies: Iterable[Workload]) -> None:
        wanted: set[EndpointQuery] = set()
        scopes: set[str] = set()
        for workload in proxies:
            if workload.gateway or workload.namespace not in scopes:
                wanted.update(self._queries(workload))
            if not workload.gateway:
                scopes.add(workload.namespace)
        changed: list[Resource] = []
        names: dict[Key, Origin] = {}
        for query in wanted:
            content = self._endpoints(query)
            if self._put_endpoints.get(query) is not content:
                self._put_endpoints[query] = content
                changed += map(_resource, content)
                names |= {(one.type_url, one.name): one.origin for one in content}
        removed: list[Key] = []
        for query in self._put_endpoints.keys() - wanted:
            removed += ((one.type_url, one.name) for one in self._put_endpoints.pop(query))
            self._endpoints.forget(query)
        self._cache.update(ENDPOINTS, changed, removed)
        self._origins.setdefault(ENDPOINTS, {}).update(names)

    def _put_host(self) -> None:
        assignments = tuple(
            resource for at in self._world.workload_ids() if (resource := self._assignment(at)) is not None
        )
        for part, content in (("assignments", assignments), ("names", (self._names(""),))):
            if self._put.get(part) != content:
                self._put[part] = content
                self._cache.put(part, content)

    def _of(self, workload: Workload) -> Iterator[Translated]:
        if workload.gateway:
            yield from self._gateway(workload.id)
        else:
            yield from self._outbound(workload.namespace)
            yield from self._inbound(workload.id)

    def _queries(self, workload: Workload) -> tuple[EndpointQuery, ...]:
        if workload.gateway:
            return self._resolution.gateway_queries(workload.id)
        return self._resolution.outbound_queries(workload.namespace)

    # -- the functions behind the cells ----------------------------------------------------------

    def _translate_inbound(self, at: WorkloadId) -> tuple[Translated, ...]:
        side = self._resolution.inbound(at)
        return translate_inbound(side) if side is not None else ()

    def _translate_gateway(self, at: WorkloadId) -> tuple[Translated, ...]:
        gateway = self._resolution.gateway(at)
        return translate_gateway(gateway) if gateway is not None else ()

    def _encode_assignment(self, at: WorkloadId) -> Resource | None:
        assignment = self._world.assignment(at)
        if assignment is None:
            return None
        return Resource(WORKLOAD, proxy_node(at), assignment.model_dump_json(exclude_defaults=True).encode())


def outbound_part(scope: str) -> str:
    return f"outbound/{scope}"


def inbound_part(at: WorkloadId) -> str:
    return f"inbound/{at[0]}/{at[1]}"


def gateway_part(at: WorkloadId) -> str:
    return f"gateway/{at[0]}/{at[1]}"


def _parts(workload: Workload) -> tuple[str, ...]:
    if workload.gateway:
        return gateway_part(workload.id), ENDPOINTS
    return outbound_part(workload.namespace), inbound_part(workload.id), ENDPOINTS


def _resource(one: Translated) -> Resource:
    return Resource(one.type_url, one.name, one.body, one.needs)
