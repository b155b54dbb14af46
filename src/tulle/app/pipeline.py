"""From the World to the cache: resolve and translate what has changed, and put it where agents get it.

Everything on the way is a derived value, the list of all of it too, so a turn costs work for what depends on
what has changed, and nothing for the rest of the mesh. What is equal is one resource, serialised once for
everybody who has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from tulle.ads.cache import Cache
from tulle.ads.resource import NAMES, WORKLOAD, Resource
from tulle.app.patching import patch_problems
from tulle.kit.derived import Derived
from tulle.mesh.problem import locate
from tulle.mesh.resolve import Part, PartKind, Resolution
from tulle.mesh.service.endpoint import EndpointQuery
from tulle.mesh.view import Gateway, Inbound, Origin, Outbound, Proxyless
from tulle.mesh.workload.workload import WorkloadId
from tulle.mesh.world import World
from tulle.model.findings import Finding
from tulle.xds.bundle import Translated
from tulle.xds.patch.apply import Patched, apply_patches
from tulle.xds.translate import (
    translate_certificate,
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

_OF_HOSTS = (ASSIGNMENTS, NAME_TABLE)

Key = tuple[str, str]
"""(type url, name)"""
Content = dict[Key, Resource]


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is given what."""

    nodes: dict[str, tuple[str, ...]]
    """node -> its parts in the cache"""
    parts: frozenset[Part]
    holders: frozenset[WorkloadId]
    """Whose proxies may be given keys from Secrets: gateways, and who presents certificates of its own."""


def proxy_node(at: WorkloadId) -> str:
    """The cache's name of a proxy."""
    return f"{at[0]}/{at[1]}"


def _certificates_part(holder: WorkloadId) -> str:
    return f"certificates/{proxy_node(holder)}"


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
        self._shared: WeakValueDictionary[tuple[Key, bytes, tuple[Key, ...]], Resource]
        self._shared = WeakValueDictionary()
        self._plan: Derived[str, Plan] = Derived(graph, self._make_plan, "plan")
        self._queries: Derived[str, frozenset[EndpointQuery]] = Derived(
            graph, self._find_queries, "all_endpoint_queries"
        )
        self._translated: Derived[Part, tuple[Translated, ...]] = Derived(graph, self._translate, "translate")
        self._patched: Derived[Part, Patched] = Derived(graph, self._patch, "patch_part")
        self._endpoints: Derived[EndpointQuery, tuple[Translated, ...]] = Derived(
            graph, lambda query: translate_endpoints(world.endpoints(query)), "translate_endpoints"
        )
        self._assignment: Derived[WorkloadId, Resource | None] = Derived(
            graph, self._encode_assignment, "encode_assignment"
        )
        self._names: Derived[str, Resource] = Derived(graph, self._encode_names, "encode_names")
        self._part_content: Derived[Part, Content] = Derived(
            graph, lambda part: self._resources(self._translated(part)), "part_content"
        )
        self._certificates: Derived[WorkloadId, Content] = Derived(
            graph, self._translate_certificates, "certificates"
        )
        self._of_parts: Derived[str, dict[str, Content]] = Derived(graph, self._gather_parts, "all_parts")
        self._of_all: Derived[str, Content] = Derived(graph, self._gather, "all_content")
        self._put: dict[str, Content] = {}
        self._assigned = Plan({}, frozenset(), frozenset())
        self._queried: frozenset[EndpointQuery] = frozenset()
        self.revision = 0
        """Counts the turns."""

    def turn(self) -> int:
        """Bring the cache up to date. Returns the revision that it now has."""
        plan, queried = self._plan(""), self._queries("")
        content = self._of_parts("") | {name: self._of_all(name) for name in (ENDPOINTS, *_OF_HOSTS)}
        with self._cache.transaction():
            for part, resources in content.items():
                self._put_part(part, resources)
            self._assign(plan)
            for part in self._put.keys() - content.keys():
                self._cache.drop(part)
                del self._put[part]
        for query in self._queried - queried:
            self._endpoints.forget(query)
        self._queried = queried
        self.revision += 1
        return self.revision

    def proxies(self) -> frozenset[str]:
        """The nodes of all proxies that are declared."""
        return frozenset(node for node in self._assigned.nodes if not node.startswith("host:"))

    def origins(self, node: str, type_url: str, name: str) -> tuple[Origin, ...]:
        """What an Envoy object of a proxy may be wrong for: the patches that changed it, the last one first;
        else the written thing that it exists for."""
        namespace, _, workload = node.partition("/")
        for one in self.content((namespace, workload)):
            if (one.type_url, one.name) == (type_url, name):
                return one.changed_by[::-1] or (one.origin,)
        return ()

    def findings(self) -> tuple[Finding, ...]:
        """What became of EnvoyFilters' patches, where something is wrong."""
        patched = [self._patched(part) for part in self._plan("").parts if part.patches]
        return locate(patch_problems(self._world, patched), self._world.resources.get)

    def content(self, at: WorkloadId) -> tuple[Translated, ...]:
        """Everything that one proxy is given, sorted; empty if the workload has none."""
        found: dict[Key, Translated] = {}
        for part in self._resolution.parts(at):
            found |= {(one.type_url, one.name): one for one in self._translated(part)}
            for query in self._resolution.endpoint_queries(part).values():
                found |= {(one.type_url, one.name): one for one in self._endpoints(query)}
        return tuple(found[key] for key in sorted(found))

    # -- into the cache --------------------------------------------------------------------------

    def _put_part(self, part: str, content: Content) -> None:
        before = self._put.get(part)
        if before is content:
            return
        before = before or {}
        changed = [each for key, each in content.items() if before.get(key) is not each]
        self._cache.update(part, changed, before.keys() - content.keys())
        self._put[part] = content

    def _assign(self, plan: Plan) -> None:
        if plan is self._assigned:
            return
        for node, parts in plan.nodes.items():
            if self._assigned.nodes.get(node) != parts:
                self._cache.assign(node, parts)
        for node in self._assigned.nodes.keys() - plan.nodes.keys():
            self._cache.unassign(node)
        for part in self._assigned.parts - plan.parts:
            self._part_content.forget(part)
            self._translated.forget(part)
            self._patched.forget(part)
        for part in {each.plain for each in self._assigned.parts} - {each.plain for each in plan.parts}:
            self._translated.forget(part)
        for holder in self._assigned.holders - plan.holders:
            self._certificates.forget(holder)
        self._assigned = plan

    # -- the functions behind the cells ----------------------------------------------------------

    def _make_plan(self, _: str) -> Plan:
        parts = {at: self._resolution.parts(at) for at in self._resolution.proxies()}
        nodes = {proxy_node(at): (*map(str, each), ENDPOINTS) for at, each in parts.items()}
        holders = frozenset(
            at
            for at, each in parts.items()
            if each[0].kind is PartKind.GATEWAY or any(self._resolution.credentials(each[0]))
        )
        for at in holders:
            nodes[proxy_node(at)] += (_certificates_part(at),)
        nodes[host_node(self._world.settings.host)] = _OF_HOSTS
        return Plan(nodes, frozenset(part for each in parts.values() for part in each), holders)

    def _find_queries(self, _: str) -> frozenset[EndpointQuery]:
        parts = self._plan("").parts
        return frozenset(q for part in parts for q in self._resolution.endpoint_queries(part).values())

    def _gather_parts(self, _: str) -> dict[str, Content]:
        plan = self._plan("")
        found = {str(part): self._part_content(part) for part in plan.parts}
        return found | {_certificates_part(at): self._certificates(at) for at in plan.holders}

    def _gather(self, part: str) -> Content:
        """What there is one of for each service or workload of the mesh."""
        if part == ENDPOINTS:
            return self._resources(one for query in self._queries("") for one in self._endpoints(query))
        if part == ASSIGNMENTS:
            found = [self._assignment(at) for at in self._world.workload_ids()]
        else:
            found = [self._names(host) for host in self._world.service_hosts()]
        return {each.key: each for each in found if each is not None}

    def _patch(self, part: Part) -> Patched:
        patches = self._resolution.patches(part)
        return apply_patches(part.context, self._translated(part.plain), patches)

    def _translate(self, part: Part) -> tuple[Translated, ...]:
        if part.patches:
            return self._patched(part).resources
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

    def _translate_certificates(self, holder: WorkloadId) -> Content:
        """Keys are in the parts of their holders alone, and not in what `content` shows."""
        return self._resources(map(translate_certificate, self._resolution.certificates(holder)))

    def _encode_assignment(self, at: WorkloadId) -> Resource | None:
        assignment = self._world.assignment(at)
        if assignment is None:
            return None
        return Resource(WORKLOAD, proxy_node(at), assignment.model_dump_json(exclude_defaults=True).encode())

    def _encode_names(self, host: str) -> Resource:
        return Resource(NAMES, host, self._world.names_of(host).model_dump_json().encode())

    def _resources(self, content: Iterable[Translated]) -> Content:
        """Equal content is one resource, in whatever part it is."""
        found: Content = {}
        for one in content:
            key = (one.type_url, one.name)
            resource = self._shared.get((key, one.body, one.needs))
            if resource is None:
                resource = Resource(one.type_url, one.name, one.body, one.needs)
                self._shared[key, one.body, one.needs] = resource
            found[key] = resource
        return found
