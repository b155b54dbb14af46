"""`resolve`: the World seen by one proxy.

One `Resolution` stands on one World. Its parts are derived values: an outbound side for each scope
(`scope.py`) with proxies, an inbound side for each workload, a gateway for each gateway's proxy. A View puts
together the parts of one proxy. Fed by `world.py`; read by the composition roots, which translate the parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from tulle.kit.derived import Derived
from tulle.mesh.gateway.gateway import GatewayCells
from tulle.mesh.inbound.inbound import InboundCells
from tulle.mesh.outbound.cluster import ClusterCells
from tulle.mesh.outbound.outbound import OutboundCells
from tulle.mesh.outbound.proxyless import proxyless
from tulle.mesh.outbound.sidecar import SidecarCells
from tulle.mesh.policy.credential import Credentials, credentials, given
from tulle.mesh.policy.envoy_filter import (
    CONTEXTS,
    ENVOY_FILTER,
    GATEWAY,
    INBOUND,
    OUTBOUND,
    PatchRef,
    label,
    patch,
    refs_of,
)
from tulle.mesh.policy.upgrade import UpgradeCells
from tulle.mesh.problem import Problem, locate
from tulle.mesh.review.review import ReviewCells
from tulle.mesh.route.attachment import Attachments
from tulle.mesh.route.common import Destination
from tulle.mesh.route.gateway_api.binding import BindingCells
from tulle.mesh.route.host import HostCells
from tulle.mesh.scope import Scope, ScopeCells
from tulle.mesh.service.endpoint import EndpointQuery
from tulle.mesh.status.status import StatusCells
from tulle.mesh.view import (
    Authorities,
    Certificate,
    Cluster,
    Discovery,
    Gateway,
    Inbound,
    Origin,
    Outbound,
    Proxyless,
    View,
    WorkloadView,
)
from tulle.mesh.view.patch import Patch
from tulle.mesh.workload.draft import sorted_labels
from tulle.mesh.workload.workload import WorkloadId
from tulle.mesh.world import World
from tulle.model.findings import Finding
from tulle.model.resource import Key


class PartKind(StrEnum):
    OUTBOUND = "outbound"
    INBOUND = "inbound"
    GATEWAY = "gateway"
    PROXYLESS = "proxyless"


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """A unit of sharing and of change: `outbound/SCOPE`, `proxyless/SCOPE`, `inbound/NAMESPACE/WORKLOAD`,
    `gateway/NAMESPACE/WORKLOAD`."""

    kind: PartKind
    of: Scope
    """Whose it is; of an inbound or gateway part only the namespace says anything."""
    workload: str = ""
    """"" for an outbound or proxyless part, which all workloads of the scope share."""
    patches: tuple[PatchRef, ...] = ()
    """What EnvoyFilters change about it."""

    def __str__(self) -> str:
        name = f"{self.kind}/{self.of}" + (f"/{self.workload}" if self.workload else "")
        return f"{name};patches={label(self.patches)}" if self.patches else name

    @property
    def context(self) -> str:
        """What EnvoyFilters call this side of a proxy."""
        return {PartKind.INBOUND: INBOUND, PartKind.GATEWAY: GATEWAY}.get(self.kind, OUTBOUND)

    @property
    def plain(self) -> Part:
        """The same without patches."""
        return replace(self, patches=()) if self.patches else self

    @property
    def at(self) -> WorkloadId:
        """The workload of an inbound or gateway part."""
        return (self.of.namespace, self.workload)


class Resolution:
    """Everything that is derived from one World for its proxies. Make one for each World."""

    def __init__(self, world: World) -> None:
        graph = world.graph
        self._world = world
        attachments = Attachments(world)
        sidecars = SidecarCells(world)
        self._scopes = ScopeCells(world, attachments, sidecars)
        hosts = self._hosts = HostCells(world, attachments, sidecars)
        upgrades = UpgradeCells(world)
        self._inbound = InboundCells(world, sidecars, upgrades)
        self._clusters = ClusterCells(world, hosts, self._inbound, upgrades)
        self._outbound = OutboundCells(world, hosts, self._clusters)
        bindings = BindingCells(world, attachments)
        self._gateways = GatewayCells(world, hosts, self._clusters, self._scopes, bindings)
        self._review = ReviewCells(world, hosts, self._clusters, self._gateways, bindings)
        self._status = StatusCells(world, attachments, bindings)
        self._proxyless: Derived[Scope, Proxyless] = Derived(
            graph, lambda scope: proxyless(scope, self._outbound.outbound(scope)), "proxyless"
        )
        self.credentials: Derived[Part, Credentials] = Derived(
            graph, lambda part: credentials(self._part_clusters(part)), "credentials"
        )
        self._queries: Derived[Part, dict[str, EndpointQuery]] = Derived(
            graph, self._find_queries, "endpoint_queries"
        )
        self._is_patched: Derived[str, bool] = Derived(
            graph, lambda _: bool(world.of_kind(*ENVOY_FILTER)), "is_anything_patched"
        )
        self._patch: Derived[PatchRef, Patch | None] = Derived(graph, lambda ref: patch(world, ref), "patch")
        self._refs: Derived[WorkloadId, tuple[tuple[PatchRef, ...], ...]] = Derived(
            graph, self._find_refs, "patch_refs"
        )

    # -- parts -----------------------------------------------------------------------------------

    def outbound(self, namespace: str, **labels: str) -> Outbound:
        """What workloads of a namespace see when they call out, those with these labels if any rule asks."""
        return self._outbound.outbound(Scope(namespace, sorted_labels(labels)))

    def inbound(self, at: WorkloadId) -> Inbound | None:
        """What reaches a workload; None for one without a sidecar."""
        return self._inbound.inbound(at)

    def gateway(self, at: WorkloadId) -> Gateway | None:
        """What a gateway's proxy does; None for another workload."""
        return self._gateways.gateway(at)

    def certificates(self, at: WorkloadId) -> tuple[Certificate | Authorities, ...]:
        """What stands in the Secrets that a proxy's listeners and clusters name: certificates and keys, by
        the names of their Secrets, and then the authorities that others' certificates are held against."""
        gateway = self.gateway(at)
        chains = (chain for each in (gateway.listeners if gateway else ()) for chain in each.chains)
        settings = [chain.tls for chain in chains if chain.tls is not None]
        own = {name for tls in settings for name in tls.secrets}
        trusted = {tls.client.authorities for tls in settings if tls.client is not None}
        for part in self.parts(at):
            named = self.credentials(part)
            own.update(named[0])
            trusted.update(named[1])
        return given(self._world, (tuple(sorted(own)), tuple(sorted(trusted))))

    def proxyless(self, namespace: str, **labels: str) -> Proxyless:
        """The same for gRPC clients, which call out without an Envoy."""
        return self._proxyless(Scope(namespace, sorted_labels(labels)))

    def proxies(self) -> tuple[WorkloadId, ...]:
        """The workloads that are to be configured, with an Envoy or without, sorted."""
        return tuple(at for at in self._world.workload_ids() if self.parts(at))

    def parts(self, proxy: WorkloadId) -> tuple[Part, ...]:
        """What a proxy's View is put together from; nothing for a workload that has none and is none."""
        workload = self._world.workload(proxy)
        if workload is not None and workload.proxyless:
            return (Part(PartKind.PROXYLESS, self._scopes.scope(proxy)),)
        if workload is None or not workload.proxy:
            return ()
        inward, outward, edge = self._refs(proxy) if self._is_patched("") else ((), (), ())
        if workload.gateway:
            return (Part(PartKind.GATEWAY, Scope(proxy[0]), proxy[1], edge),)
        inbound = Part(PartKind.INBOUND, Scope(proxy[0]), proxy[1], inward)
        return (Part(PartKind.OUTBOUND, self._scopes.scope(proxy), patches=outward), inbound)

    def _find_refs(self, proxy: WorkloadId) -> tuple[tuple[PatchRef, ...], ...]:
        """The patches of a proxy for what reaches it, what it calls, and what it does as a gateway."""
        workload = self._world.workload(proxy)
        if workload is None:
            return ((), (), ())
        return tuple(refs_of(self._world, workload, context) for context in CONTEXTS)

    def part(self, part: Part) -> Outbound | Inbound | Gateway | Proxyless | None:
        """The value of a part."""
        match part.kind:
            case PartKind.OUTBOUND:
                return self._outbound.outbound(part.of)
            case PartKind.INBOUND:
                return self.inbound(part.at)
            case PartKind.GATEWAY:
                return self.gateway(part.at)
            case PartKind.PROXYLESS:
                return self._proxyless(part.of)

    def resolve(self, proxy: WorkloadId) -> View:
        """The View of a sidecar, a gateway or a gRPC client. It is empty for a workload without a proxy."""
        namespace, name = proxy
        parts = {part.kind: self.part(part) for part in self.parts(proxy)}
        outbound = parts.get(PartKind.OUTBOUND)
        inbound_side = parts.get(PartKind.INBOUND)
        gateway = parts.get(PartKind.GATEWAY)
        client = parts.get(PartKind.PROXYLESS)
        view = WorkloadView(
            namespace,
            name,
            outbound if isinstance(outbound, Outbound) else None,
            inbound_side if isinstance(inbound_side, Inbound) else None,
            gateway if isinstance(gateway, Gateway) else None,
            client if isinstance(client, Proxyless) else None,
        )
        return View(f"{namespace}/{name}", (view,))

    # -- endpoints -------------------------------------------------------------------------------

    def endpoint_queries(self, part: Part) -> dict[str, EndpointQuery]:
        """EDS name -> what it stands for, of all clusters of a part. `World.endpoints` answers each."""
        return self._queries(part.plain)

    def patches(self, part: Part) -> tuple[Patch, ...]:
        """What EnvoyFilters change about a part, in order."""
        found = (self._patch(ref) for ref in part.patches)
        return tuple(each for each in found if each is not None)

    def all_endpoint_queries(self) -> dict[str, EndpointQuery]:
        """The same for all parts that some proxy has."""
        parts = {part for proxy in self.proxies() for part in self.parts(proxy)}
        return {name: query for part in sorted(parts) for name, query in self.endpoint_queries(part).items()}

    def _find_queries(self, part: Part) -> dict[str, EndpointQuery]:
        found = (self._query(each, part.of) for each in self._part_clusters(part))
        return {query.name: query for query in found if query is not None}

    def _part_clusters(self, part: Part) -> tuple[Cluster, ...]:
        match part.kind:
            case PartKind.OUTBOUND | PartKind.PROXYLESS:
                return self._outbound.clusters(part.of)
            case PartKind.GATEWAY:
                gateway = self.gateway(part.at)
                return gateway.clusters if gateway is not None else ()
            case PartKind.INBOUND:
                return ()

    def policy_origin(self, proxy: WorkloadId, cluster: str) -> Origin | None:
        """The DestinationRule that says most of a proxy's cluster: of its subset, else of its service."""
        destination = Destination.of(cluster)
        if destination is None:
            return None
        vantage = self._hosts.vantage(destination.host, self.parts(proxy)[0].of)
        policy = self._clusters.policy((destination.host, vantage))
        subset = dict(policy.subsets).get(destination.subset)
        return subset.origin if subset is not None and subset.written is not None else policy.origin

    def _query(self, cluster: Cluster, scope: Scope) -> EndpointQuery | None:
        destination = Destination.of(cluster.name)
        if destination is None or cluster.discovery is not Discovery.EDS:
            return None
        named = Destination.of(cluster.endpoint_set or cluster.name) or destination
        if (named.host, named.port) != (destination.host, destination.port):
            return EndpointQuery(named.host, named.port)
        vantage = self._hosts.vantage(destination.host, scope)
        subsets = dict(self._clusters.policy((destination.host, vantage)).subsets)
        labels = subsets[destination.subset].labels if destination.subset in subsets else ()
        wanted = self._clusters.order(destination, vantage)
        return EndpointQuery(
            destination.host, destination.port, named.subset, labels, wanted, destination.udp
        )

    # -- what people are told --------------------------------------------------------------------

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with routes, rules and gateways, sorted."""
        found = {problem for at in self._world.workload_ids() for problem in self._inbound.problems(at)}
        found.update(self._review.problems())
        return tuple(sorted(found))

    def findings(self) -> tuple[Finding, ...]:
        """The problems, with file, line and column. Those of workloads and services are `World.findings`."""
        return locate(self.problems(), self._world.resources.get)

    def status(self, key: Key) -> dict[str, object] | None:
        """The status that the Gateway API specifies for a kind of it, without times; None for others."""
        return self._status.status(key)
