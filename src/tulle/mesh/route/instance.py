"""The declared instances of a headless service. Read by `host.py` and `service/headless.py`.

The *declared* workloads count, not the ready ones, so that no listener changes with a readiness.
"""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.service.endpoint import EndpointQuery
from tulle.mesh.service.service import Service, ServicePort
from tulle.mesh.world import World


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance behind a port of a headless service."""

    address: str
    port: int
    """The instance's own: a headless service maps no ports for who dials an address."""
    host: str = ""
    """Its own full name, web-0.web.shop.svc.cluster.local; "" if it has none."""
    identity: str = ""
    """"" if no proxy stands before it."""


def instances(world: World, service: Service, port: ServicePort) -> tuple[Instance, ...]:
    """The declared instances, sorted by address; written endpoints for a service without selector."""
    if service.selector is None:
        endpoints = world.endpoints(EndpointQuery(service.host, port.number)).endpoints
        return tuple(Instance(each.address, each.port) for each in endpoints)
    found: list[Instance] = []
    for at in world.selected(service.namespace, service.selector):
        workload = world.workload(at)
        target = world.target_ports(at, service.host, port.number)
        if workload is None or target is None or not workload.address:
            continue
        named = workload.hostname and workload.subdomain == service.name
        host = f"{workload.hostname}.{service.host}" if named else ""
        identity = workload.identity if workload.proxy and not workload.gateway else ""
        found += [Instance(address, target, host, identity) for address in workload.addresses]
    return tuple(sorted(found, key=lambda each: each.address))
