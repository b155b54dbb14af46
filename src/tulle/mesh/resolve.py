"""`resolve`: the World seen by one proxy.

One `Resolution` stands on one World. Its parts are derived values: an outbound side for each namespace
with proxies, an inbound side for each workload, a gateway for each gateway's proxy. A View puts together
the parts of one proxy. Fed by `world.py`; read by the composition roots, which translate the parts.
"""

from __future__ import annotations

from tulle.kit.derived import Derived
from tulle.mesh.cluster import ClusterCells
from tulle.mesh.endpoint import EndpointQuery
from tulle.mesh.inbound import inbound
from tulle.mesh.outbound import OutboundCells
from tulle.mesh.route.attachment import Attachments
from tulle.mesh.route.common import Destination
from tulle.mesh.route.host import HostCells
from tulle.mesh.view import Cluster, Discovery, Inbound, Outbound, View, WorkloadView
from tulle.mesh.workload import WorkloadId
from tulle.mesh.world import World


class Resolution:
    """Everything that is derived from one World for its proxies."""

    def __init__(self, world: World) -> None:
        graph = world.graph
        self._world = world
        self._hosts = HostCells(world, Attachments(world))
        self._clusters = ClusterCells(world, self._hosts)
        self._outbound = OutboundCells(world, self._hosts, self._clusters)
        self._inbound: Derived[WorkloadId, Inbound | None] = Derived(
            graph, lambda at: inbound(world, at), "inbound"
        )

    # -- parts -----------------------------------------------------------------------------------

    def outbound(self, scope: str) -> Outbound:
        """What workloads of a namespace see when they call out."""
        return self._outbound.outbound(scope)

    def inbound(self, at: WorkloadId) -> Inbound | None:
        """What reaches a workload; None for one without a sidecar."""
        return self._inbound(at)
