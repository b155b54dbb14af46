"""EndpointSet -> ClusterLoadAssignment (EDS)."""

from __future__ import annotations

from itertools import groupby

from tulle.mesh.view import Endpoint, EndpointSet
from tulle.xds import message
from tulle.xds.bundle import Translated, translated
from tulle.xds.message import Tree
from tulle.xds.tls import MESHED

_TRANSPORT_SOCKET_MATCH = "envoy.transport_socket_match"


def _endpoint(one: Endpoint) -> Tree:
    built: Tree = {"endpoint": {"address": message.socket_address(one.address, one.port)}}
    if not one.healthy:
        built["health_status"] = "UNHEALTHY"
    if one.weight != 1:
        built["load_balancing_weight"] = message.number(one.weight)
    if one.mtls:
        built["metadata"] = {"filter_metadata": {_TRANSPORT_SOCKET_MATCH: message.texts(MESHED)}}
    return built


def _place(one: Endpoint) -> tuple[int, tuple[str, str, str]]:
    return one.priority, one.locality


def localities(endpoints: EndpointSet) -> list[Tree]:
    """endpoint.v3.LocalityLbEndpoints. Priorities are made dense: Envoy wants them from 0 without gaps
    (`LocalityLbEndpoints.priority`), and a set whose leases have all lapsed has none at 0."""
    ordered = sorted(endpoints.endpoints, key=lambda one: (*_place(one), one.address, one.port))
    rank = {priority: at for at, priority in enumerate(sorted({one.priority for one in ordered}))}
    weights = dict(endpoints.weights)
    made: list[Tree] = []
    for (priority, (region, zone, sub_zone)), members in groupby(ordered, key=_place):
        present = list(members)
        locality: Tree = {
            # Envoy asks for neither of the two; gRPC's own clients ignore a locality that lacks one.
            "locality": {"region": region, "zone": zone, "sub_zone": sub_zone},
            "load_balancing_weight": message.number(
                weights.get(present[0].locality, sum(one.weight for one in present))
            ),
            "lb_endpoints": [_endpoint(one) for one in present],
        }
        if rank[priority]:
            locality["priority"] = rank[priority]
        made.append(locality)
    return made


def translate_endpoints(endpoints: EndpointSet) -> tuple[Translated, ...]:
    """One EDS resource."""
    found = localities(endpoints)
    built = message.ClusterLoadAssignment(cluster_name=endpoints.name, endpoints=found)
    return (translated(built, endpoints.name, endpoints.origin),)
