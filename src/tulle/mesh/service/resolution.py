"""How a cluster finds what stands behind a ServiceEntry's host. Read by `outbound/cluster.py`."""

from __future__ import annotations

from dataclasses import replace

from tulle.mesh.name import outside_name
from tulle.mesh.route.common import Destination
from tulle.mesh.service.endpoint import EndpointQuery
from tulle.mesh.service.service import Resolution, Service, ServicePort
from tulle.mesh.view import Cluster, Discovery, EndpointSet
from tulle.mesh.world import World

_BY_NAME = {Resolution.DNS: Discovery.DNS, Resolution.DNS_ROUND_ROBIN: Discovery.DNS_ONE}


def resolved(
    world: World, made: Cluster, service: Service, port: ServicePort, query: EndpointQuery
) -> Cluster:
    """The cluster of a port, with its way to find addresses; `query` is for its endpoints."""
    if made.tls is not None and not made.tls.names and service.server_names:
        made = replace(made, tls=replace(made.tls, names=service.server_names))
    if service.resolution is Resolution.NONE:
        override = port.target if isinstance(port.target, int) and port.target != port.number else None
        return replace(
            made, discovery=Discovery.ORIGINAL_DESTINATION, endpoint_set="", port_override=override
        )
    if service.resolution is Resolution.DYNAMIC_DNS:
        return replace(made, discovery=Discovery.DYNAMIC_DNS, endpoint_set="")
    if service.resolution not in _BY_NAME:
        return made
    domain = world.settings.cluster_domain
    found = world.endpoints(query)
    within = _in_mesh(world, found)
    if within is not None:
        return replace(made, endpoint_set=within.cluster)
    named = tuple(replace(each, address=outside_name(each.address, domain)) for each in found.endpoints)
    return replace(
        made,
        discovery=_BY_NAME[service.resolution],
        endpoint_set="",
        named_endpoints=replace(found, name=made.name, endpoints=named),
    )


def _in_mesh(world: World, found: EndpointSet) -> Destination | None:
    """The port of a Service that a single name means. What stands behind that Service is known here; its
    virtual address leads the programs of workloads there, and not their proxies."""
    if len(found.endpoints) != 1:
        return None
    named = found.endpoints[0]
    service = world.service(named.address)
    port = service.port(named.port) if service is not None else None
    known = service is not None and port is not None and service.behind(port).resolution is Resolution.STATIC
    return Destination(named.address, named.port) if known else None
