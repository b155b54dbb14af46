"""What every route language shares: the names of clusters, the order of age, weights and host names.

Read by the languages' modules (`route/gateway_api/ranking.py`, `route/istio/virtual_service.py`) and by
`outbound/outbound.py` and `gateway/gateway.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tulle.mesh.name import cluster_name, qualify
from tulle.mesh.view import (
    MISSING_CLUSTER,
    Forward,
    MatchKind,
    RequestMatch,
    Respond,
    RouteTable,
    WeightedCluster,
)
from tulle.mesh.world import World
from tulle.model.resource import Resource

PASSTHROUGH = "PassthroughCluster"
"""Goes to the original destination, whatever it is."""


# -- clusters ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Destination:
    """A port of a service, or of one of its subsets: what a cluster stands for."""

    host: str
    port: int
    subset: str = ""
    udp: bool = False

    @property
    def cluster(self) -> str:
        """Its name (`cluster_name`)."""
        return cluster_name(self.host, self.port, self.subset, self.udp)

    @property
    def sni(self) -> str:
        """What a client's proxy sends as SNI (Istio's `BuildDNSSrvSubsetKey`)."""
        return f"outbound_.{self.port}_.{self.subset}_.{self.host}"

    @property
    def raw(self) -> str:
        """The name of a second cluster: for bytes that go as they came, where a policy of the backend asks
        gateways to begin TLS. Our own word."""
        return f"outbound-raw|{self.port}|{self.subset}|{self.host}"

    @staticmethod
    def of(cluster: str) -> Destination | None:
        """The destination that a cluster's name says, in either spelling; None for other clusters."""
        separator = "_." if cluster.startswith("outbound_.") else "|"
        direction, *rest = cluster.split(separator, 3)
        if direction not in ("outbound", "outbound-udp", "outbound-raw") or len(rest) != 3:
            return None
        port, subset, host = rest
        return Destination(host, int(port), subset, direction == "outbound-udp")


def named_clusters(tables: Iterable[RouteTable], kind: str = "") -> set[str]:
    """The clusters that routes, or those that are written in one kind, send requests or copies of them to."""
    return {
        each.cluster
        for table in tables
        for host in table.virtual_hosts
        for route in host.routes
        if isinstance(route.action, Forward) and kind in ("", route.origin.kind)
        for each in (*route.action.clusters, *route.action.mirrors)
    }


# -- order and weights ------------------------------------------------------------------------------


def age(resource: Resource[Any]) -> tuple[str, str, str]:
    """Sorts the oldest first; equally old ones by namespace and name (Gateway API, conflicts).

    A resource from a file has no time of creation and counts as older than any other.
    """
    return (resource.metadata.creation_timestamp or "", resource.namespace, resource.name)


def share(clusters: Iterable[tuple[str | None, int]]) -> tuple[WeightedCluster, ...]:
    """Clusters with a weight above 0, each once, in their order. None is a missing backend."""
    weights: dict[str, int] = {}
    for cluster, weight in clusters:
        if weight > 0:
            name = cluster or MISSING_CLUSTER
            weights[name] = weights.get(name, 0) + weight
    return tuple(WeightedCluster(cluster, weight) for cluster, weight in weights.items())


def forward(clusters: Iterable[tuple[str | None, int]], timeout_seconds: float | None) -> Forward | Respond:
    """Send on by weight; 500 where nothing is left to send to (Gateway API, `backendRefs`)."""
    shared = share(clusters)
    if all(each.cluster == MISSING_CLUSTER for each in shared):
        return Respond(500)
    return Forward(shared, timeout_seconds)


def takes_everything(match: RequestMatch) -> bool:
    """Whether every request (to one destination) matches."""
    path = match.path
    anywhere = path is None or (path.kind, path.value) in ((MatchKind.PREFIX, "/"), (MatchKind.REGEX, ".*"))
    return anywhere and not match.headers and not match.query


# -- host names -------------------------------------------------------------------------------------


def covers(pattern: str, host: str) -> bool:
    """Whether every name that `host` stands for is one that `pattern` stands for.

    `*` stands for all names, `*.example.com` for those below example.com, at any depth.
    """
    if pattern == "*" or pattern == host:
        return True
    return pattern.startswith("*") and host.endswith(pattern[1:])


def intersection(one: str, other: str) -> str | None:
    """The narrower of two host names or patterns of which one covers the other, else None."""
    if covers(one, other):
        return other
    return one if covers(other, one) else None


def specificity(pattern: str) -> tuple[int, int]:
    """Sorts the most specific first: exact names, then the longest wildcard."""
    return (1 if pattern.startswith("*") else 0, -len(pattern))


def full_host(world: World, host: str, namespace: str) -> str:
    """The full name of the service that `host` means in a namespace; without one, only a name of a single
    label is short for something (Istio, `ResolveShortnameToFQDN`).
    """
    if "*" in host:
        return host
    service = world.find_service(host, namespace)
    if service is not None:
        return service.host
    name = host.lower().rstrip(".")
    return name if "." in name else qualify(name, namespace, world.settings.cluster_domain)
