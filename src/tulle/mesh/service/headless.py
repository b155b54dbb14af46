"""Services without a virtual address: callers choose an instance, by its name or by its address.

HTTP to an instance's own name goes to that instance (Istio answers it with the service's cluster); TCP to
an instance's address goes there, through one cluster per service that may be used for its declared
instances only (decision 11). Read by `outbound/cluster.py`, `outbound/listener.py` and
`outbound/outbound.py`.
"""

from __future__ import annotations

from dataclasses import replace

from tulle.mesh.name import short_forms
from tulle.mesh.outbound.depth import as_it_can
from tulle.mesh.outbound.tls import OPAQUE
from tulle.mesh.policy.client_tls import mesh_tls
from tulle.mesh.policy.destination import DestinationPolicy
from tulle.mesh.policy.settings import governed
from tulle.mesh.route.common import PASSTHROUGH, Destination
from tulle.mesh.route.host import default_route, port_origin
from tulle.mesh.route.instance import Instance
from tulle.mesh.service.service import Service, ServicePort
from tulle.mesh.view import (
    Cluster,
    Discovery,
    HttpChain,
    MutualTls,
    OutboundChain,
    OutboundListener,
    TcpChain,
    VirtualHost,
    WeightedCluster,
)
from tulle.mesh.world import World

# -- HTTP -------------------------------------------------------------------------------------------


def virtual_hosts(
    world: World, service: Service, port: ServicePort, scope: str, declared: tuple[Instance, ...]
) -> tuple[VirtualHost, ...]:
    """A virtual host for each instance with a name, which its address means too."""
    made: list[VirtualHost] = []
    origin = port_origin(service, port)
    for each in declared:
        if each.host:
            route = default_route(replace(service, host=each.host), port)
            names = short_forms(each.host, scope, world.settings.cluster_domain)
            made.append(VirtualHost(f"{each.host}:{port.number}", (*names, each.address), (route,), origin))
    return tuple(made)


def instance_clusters(
    service: Service,
    port: ServicePort,
    policy: DestinationPolicy,
    declared: tuple[Instance, ...],
    alpn: str,
) -> tuple[Cluster, ...]:
    """One cluster for each instance with a name."""
    made: list[Cluster] = []
    settings = policy.at(port.number)
    for each in declared:
        if not each.host:
            continue
        destination = Destination(each.host, port.number)
        secure = each.identity and (settings.tls is None or settings.tls.mode == "ISTIO_MUTUAL")
        built = Cluster(
            name=destination.cluster,
            discovery=Discovery.STATIC,
            origin=port_origin(service, port),
            protocol=port.protocol,
            addresses=((each.address, each.port),),
            mtls=MutualTls((each.identity,), alpn, destination.sni) if secure else None,
        )
        made.append(as_it_can(governed(built, settings)))
    return tuple(made)


# -- TCP --------------------------------------------------------------------------------------------


def chosen_cluster(
    world: World,
    service: Service,
    port: ServicePort,
    policy: DestinationPolicy,
    declared: tuple[Instance, ...],
) -> Cluster:
    """The cluster that dials the instance which the caller chose."""
    destination = Destination(service.host, port.number)
    settings = policy.at(port.number)
    built = Cluster(
        name=destination.cluster,
        discovery=Discovery.ORIGINAL_DESTINATION,
        origin=port_origin(service, port),
        protocol=port.protocol,
        mtls=mesh_tls(world, settings.tls, destination, OPAQUE),
        restrict_to=tuple(each.address for each in declared if each.identity),
    )
    return governed(built, settings)


def listeners(
    service: Service,
    port: ServicePort,
    declared: tuple[Instance, ...],
    http: bool,
    inspect_seconds: float | None,
) -> tuple[OutboundListener, ...]:
    """A listener for each instance's address. `http`: it is HTTP for certain."""
    made: list[OutboundListener] = []
    origin = port_origin(service, port)
    for each in declared:
        name = f"{each.address}_{each.port}"
        spoken = OutboundChain(
            "http",
            HttpChain(str(port.number), f"outbound_{name}"),
            origin,
            application="" if http else "http",
        )
        cluster = Destination(service.host, port.number).cluster if each.identity else PASSTHROUGH
        plain = OutboundChain("tcp", TcpChain((WeightedCluster(cluster),), cluster), origin)
        made.append(
            OutboundListener(
                name=name,
                address=each.address,
                port=each.port,
                chains=(spoken,) if inspect_seconds is not None else (),
                otherwise=spoken if http else plain,
                origin=origin,
                inspect_seconds=None if http else inspect_seconds,
            )
        )
    return tuple(made)
