"""From the World to the cache: resolve and translate what has changed, and put it where agents get it.

Each part is a derived value, so a turn costs a look at every part and work for those alone whose inputs
have another value. What is put is identical bytes for everybody who shares a part.
"""

from __future__ import annotations

from collections.abc import Iterable

from tulle.ads.cache import Cache
from tulle.ads.resource import NAMES, WORKLOAD, Resource
from tulle.kit.derived import Derived
from tulle.mesh.endpoint import EndpointQuery
from tulle.mesh.resolve import Part, Resolution
from tulle.mesh.view import Gateway, Inbound, Origin, Outbound, Proxyless
from tulle.mesh.workload import WorkloadId
from tulle.mesh.world import World
from tulle.xds.bundle import Translated
from tulle.xds.translate import (
    translate_endpoints,
    translate_gateway,
    translate_inbound,
    translate_outbound,
    translate_proxyless,
)

ENDPOINTS = "endpoints"
"""The part with every EDS resource; a proxy asks for those of its clusters by name."""
ASSIGNMENTS = "assignments"
NAME_TABLE = "names"

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
        self._translated: Derived[Part, tuple[Translated, ...]] = Derived(graph, self._translate, "translate")
        self._endpoints: Derived[EndpointQuery, tuple[Translated, ...]] = Derived(
            graph, lambda query: translate_endpoints(world.endpoints(query)), "translate_endpoints"
        )
        self._assignment: Derived[WorkloadId, Resource | None] = Derived(
            graph, self._encode_assignment, "encode_assignment"
        )
        self._names: Derived[str, Resource] = Derived(graph, self._encode_names, "encode_names")
        self._put_names: dict[str, Resource] = {}
        self._put: dict[str, object] = {}
        self._put_endpoints: dict[EndpointQuery, tuple[Translated, ...]] = {}
        self._nodes: dict[str, tuple[str, ...]] = {}
        self._origins: dict[str, dict[Key, Origin]] = {ENDPOINTS: {}}
        self.revision = 0
        """Counts the turns."""

    def turn(self) -> int:
        """Bring the cache up to date. Returns the revision that it now has."""
        of_proxies = {at: self._resolution.parts(at) for at in self._resolution.proxies()}
        parts = {part for each in of_proxies.values() for part in each}
        nodes = {proxy_node(at): (*map(str, each), ENDPOINTS) for at, each in of_proxies.items()}
        nodes[host_node(self._world.settings.host)] = (ASSIGNMENTS, NAME_TABLE)
        with self._cache.transaction():
            for part in parts:
                self._put_part(str(part), self._translated(part))
            self._put_all_endpoints(parts)
            self._put_host()
            self._assign(nodes)
        self.revision += 1
        return self.revision

    def proxies(self) -> frozenset[str]:
        """The nodes of all proxies that are declared."""
        return frozenset(node for node in self._nodes if not node.startswith("host:"))

    def origin(self, node: str, type_url: str, name: str) -> Origin | None:
        """The written thing that an Envoy object of a proxy exists for."""
        for part in self._nodes.get(node, ()):
            found = self._origins.get(part, {}).get((type_url, name))
            if found is not None:
                return found
        return None

    def content(self, at: WorkloadId) -> tuple[Translated, ...]:
        """Everything that one proxy is given, sorted; empty if the workload has none."""
        found: dict[Key, Translated] = {}
        for part in self._resolution.parts(at):
            found |= {(one.type_url, one.name): one for one in self._translated(part)}
            for query in self._resolution.endpoint_queries(part).values():
                found |= {(one.type_url, one.name): one for one in self._endpoints(query)}
        return tuple(found[key] for key in sorted(found))

    # -- into the cache --------------------------------------------------------------------------

    def _put_part(self, part: str, content: tuple[Translated, ...]) -> None:
        if self._put.get(part) is not content:
            self._put[part] = content
            self._cache.put(part, map(_resource, content))
            self._origins[part] = {(one.type_url, one.name): one.origin for one in content}

    def _put_all_endpoints(self, parts: Iterable[Part]) -> None:
        wanted = {query for part in parts for query in self._resolution.endpoint_queries(part).values()}
        origins = self._origins[ENDPOINTS]
        changed: list[Resource] = []
        for query in wanted:
            content = self._endpoints(query)
            if self._put_endpoints.get(query) is not content:
                self._put_endpoints[query] = content
                changed += map(_resource, content)
                origins |= {(one.type_url, one.name): one.origin for one in content}
        removed: list[Key] = []
        for query in self._put_endpoints.keys() - wanted:
            removed += ((one.type_url, one.name) for one in self._put_endpoints.pop(query))
            self._endpoints.forget(query)
        for key in removed:
            origins.pop(key, None)
        self._cache.update(ENDPOINTS, changed, removed)

    def _put_host(self) -> None:
        assigned = (self._assignment(at) for at in self._world.workload_ids())
        assignments = tuple(resource for resource in assigned if resource is not None)
        if self._put.get(ASSIGNMENTS) != assignments:
            self._put[ASSIGNMENTS] = assignments
            self._cache.put(ASSIGNMENTS, assignments)
        hosts = self._world.service_hosts()
        changed = [name for host in hosts if (name := self._names(host)) is not self._put_names.get(host)]
        gone = self._put_names.keys() - set(hosts)
        self._put_names |= {resource.name: resource for resource in changed}
        self._cache.update(NAME_TABLE, changed, [self._put_names.pop(host).key for host in gone])

    def _assign(self, nodes: dict[str, tuple[str, ...]]) -> None:
        for node, parts in nodes.items():
            if self._nodes.get(node) != parts:
                self._cache.assign(node, parts)
        for node in self._nodes.keys() - nodes.keys():
            self._cache.unassign(node)
        for part in self._put.keys() - {part for parts in nodes.values() for part in parts}:
            self._cache.drop(part)
            del self._put[part]
            self._origins.pop(part, None)
        self._nodes = nodes

    # -- the functions behind the cells ----------------------------------------------------------

    def _translate(self, part: Part) -> tuple[Translated, ...]:
        match self._resolution.part(part):
            case Outbound() as outbound:
                return translate_outbound(outbound)
            case Inbound() as inbound:
                return translate_inbound(inbound)
            case Gateway() as gateway:
                return translate_gateway(gateway)
            case Proxyless() as client:
                return translate_proxyless(client)
            case None:
                return ()

    def _encode_assignment(self, at: WorkloadId) -> Resource | None:
        assignment = self._world.assignment(at)
        if assignment is None:
            return None
        return Resource(WORKLOAD, proxy_node(at), assignment.model_dump_json(exclude_defaults=True).encode())

    def _encode_names(self, host: str) -> Resource:
        return Resource(NAMES, host, self._world.names_of(host).model_dump_json().encode())


def _resource(one: Translated) -> Resource:
    return Resource(one.type_url, one.name, one.body, one.needs)
