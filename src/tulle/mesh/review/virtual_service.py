"""What is wrong with a VirtualService: what it refers to and is not there, what it says and nobody hears.

Read by `review.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tulle.mesh.export import is_exported
from tulle.mesh.outbound.cluster import ClusterCells
from tulle.mesh.problem import Problem, warning
from tulle.mesh.review.export import review_export
from tulle.mesh.route.attachment import ISTIO_GATEWAY, WILDCARD, bound_gateways
from tulle.mesh.route.common import Destination, age
from tulle.mesh.route.host import HostCells
from tulle.mesh.route.istio import virtual_service
from tulle.mesh.route.istio.action import MISSING_STATUS
from tulle.mesh.route.istio.delegate import delegate_faults
from tulle.mesh.route.istio.destination import DestinationFault, destination
from tulle.mesh.route.istio.server import IstioGateway, common_hosts
from tulle.mesh.route.istio.virtual_service import VirtualService
from tulle.mesh.scope import Scope
from tulle.mesh.world import World
from tulle.model.istio import MESH
from tulle.model.istio import Destination as WrittenDestination
from tulle.model.resource import Key

_NOT_FOUND = "reference-not-found"

# What happens to what is sent to a destination that is not there.
_ANSWERED = f"its requests are answered with {MISSING_STATUS}"
_CLOSED = "its connections are closed"
_COPIED = "its copies are not sent"


def review_virtual_service(
    world: World, hosts: HostCells, clusters: ClusterCells, resource: VirtualService
) -> Iterator[Problem]:
    spec = resource.spec
    yield from review_export(world, resource)
    routes = (
        *((f"spec.http[{index}]", route.route, _ANSWERED) for index, route in enumerate(spec.http)),
        *((f"spec.tls[{index}]", route.route, _CLOSED) for index, route in enumerate(spec.tls)),
        *((f"spec.tcp[{index}]", route.route, _CLOSED) for index, route in enumerate(spec.tcp)),
    )
    for field, route, then in routes:
        for index, each in enumerate(route):
            at = f"{field}.route[{index}].destination"
            yield from _destination(world, clusters, resource, at, each.destination, then)
    for index, http in enumerate(spec.http):
        at = f"spec.http[{index}]"
        if http.mirror is not None:
            yield from _destination(world, clusters, resource, f"{at}.mirror", http.mirror, _COPIED)
        for number, mirror in enumerate(http.mirrors):
            yield from _destination(
                world, clusters, resource, f"{at}.mirrors[{number}].destination", mirror.destination, _COPIED
            )
    for fault in delegate_faults(world, resource):
        code = _NOT_FOUND if fault.missing else "not-attached"
        field = f"spec.http[{fault.index}].delegate"
        yield warning(resource, field, code, fault.message, fault.remedy)
    if not spec.hosts:
        if not hosts.attachments.roots(resource.key):
            message = "it has no hosts, and no VirtualService delegates to it: it has no effect"
            remedy = "Write hosts: [NAME], or delegate: {name: NAME} in another VirtualService."
            yield warning(resource, "", "not-attached", message, remedy)
        return
    for index, gateway in enumerate(bound_gateways(spec, resource.namespace)):
        if gateway == MESH:
            yield from _without_effect(world, hosts, resource)
            continue
        namespace, _, name = gateway.rpartition("/")
        found: IstioGateway | None = world.resource(Key(*ISTIO_GATEWAY, namespace, name))
        field = f"spec.gateways[{index}]"
        if found is None:
            message = f"there is no Gateway {gateway}"
            yield warning(resource, field, _NOT_FOUND, message, "Apply the Gateway, or correct its name.")
        elif not any(common_hosts(world, found, server, resource) for server in found.spec.servers):
            message = f"no host is in both this resource and a server of Gateway {gateway}"
            yield warning(resource, field, "not-attached", message, "Compare the hosts of the two.")


def _destination(
    world: World,
    clusters: ClusterCells,
    resource: VirtualService,
    field: str,
    written: WrittenDestination,
    then: str,
) -> Iterator[Problem]:
    found = destination(world, resource.namespace, written, None)
    if isinstance(found, DestinationFault):
        yield warning(
            resource, f"{field}.{found.field}", _NOT_FOUND, f"{found.message}; {then}", found.remedy
        )
    elif found.subset and not _has_subset(clusters, found, resource.namespace):
        message = f"no DestinationRule gives {found.host} a subset {found.subset}; {then}"
        yield warning(
            resource,
            f"{field}.subset",
            _NOT_FOUND,
            message,
            "Apply a DestinationRule with this subset, or correct the name.",
        )


def _has_subset(clusters: ClusterCells, destination: Destination, namespace: str) -> bool:
    policy = clusters.policy((destination.host, Scope(namespace)))
    return destination.subset in dict(policy.subsets)


def _without_effect(world: World, hosts: HostCells, resource: VirtualService) -> Iterator[Problem]:
    """Its hosts in the mesh that are no service, or for which another resource holds."""
    for index, host in enumerate(virtual_service.written_hosts(world, resource)):
        service = world.service(host) if "*" not in host else None
        if service is None:
            if host.endswith(f".svc.{world.settings.cluster_domain}") and "*" not in host:
                message = f"there is no service {host}"
                remedy = "Apply the service, or correct the host."
                yield warning(resource, f"spec.hosts[{index}]", _NOT_FOUND, message, remedy)
            older = _older(world, hosts, resource, host)
            if older is not None:
                message = f"{older.key}, which is older, holds for {host}"
                remedy = "Write all routes of one host in one resource."
                yield warning(resource, f"spec.hosts[{index}]", "overruled", message, remedy)
            continue
        attached = [hosts.attached((host, port.number, Scope(resource.namespace))) for port in service.ports]
        routes = [key for each in attached for key in each.routes]
        others = [
            each.virtual_service
            for each in attached
            if each.virtual_service is not None and each.virtual_service != resource.key
        ]
        if routes or others:
            first = (routes or others)[0]
            message = f"{first} holds for {host}; this resource has no effect on it in the mesh"
            remedy = "Write all routes of one host in one resource, in one language."
            yield warning(resource, f"spec.hosts[{index}]", "overruled", message, remedy)


def _older(world: World, hosts: HostCells, resource: VirtualService, host: str) -> VirtualService | None:
    """The older VirtualService of the mesh for a host that no service has."""
    others = (
        each
        for each in sorted(hosts.attachments.virtual_services(WILDCARD if "*" in host else host), key=age)
        if age(each) < age(resource)
        and is_exported(world, each, resource.namespace)
        and host in virtual_service.written_hosts(world, each)
    )
    return next(others, None)
