"""The services that one resource declares: Kubernetes' Service, an App, a ServiceEntry, a gateway's proxy.

Pure; read by `service.py`, which adds virtual addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tulle.mesh.name import service_host
from tulle.mesh.protocol import select
from tulle.mesh.service.declared import SERVICE_ENTRY, Entry, Service, ServicePort
from tulle.mesh.service.service_entry import entry_services
from tulle.mesh.view import Protocol
from tulle.mesh.workload.draft import Draft, sorted_labels
from tulle.mesh.workload.expansion import APP_LABEL
from tulle.model import app, istio, kubernetes
from tulle.model.resource import Resource

SERVICE_KINDS = frozenset({("", "Service"), (app.GROUP, "App"), SERVICE_ENTRY})


def hosts(resource: Resource[Any], cluster_domain: str) -> list[str]:
    """The full names of the services that a resource declares."""
    return [entry.service.host for entry in services(resource, cluster_domain)]


def services(resource: Resource[Any], cluster_domain: str) -> tuple[Entry, ...]:
    """The services that a resource declares; none if it is of another kind."""
    match (resource.key.group, resource.key.kind):
        case ("", "Service"):
            return (_kubernetes_service(resource, cluster_domain),)
        case (app.GROUP, "App"):
            return tuple(_app_services(resource, cluster_domain))
        case (istio.GROUP, "ServiceEntry"):
            return tuple(entry_services(resource))
        case _:
            return ()


def gateway_service(draft: Draft, cluster_domain: str) -> Entry:
    """The service by which a gateway's proxy is called by name, with its listeners' ports."""
    ports = tuple(
        ServicePort(port.number, select(port.number, port.protocol), port.name, port.number, port.field)
        for port in draft.gateway_ports
    )
    service = Service(
        host=service_host(draft.name, draft.namespace, cluster_domain),
        namespace=draft.namespace,
        name=draft.name,
        ports=ports,
        key=draft.key,
        field=draft.field,
        selector=draft.labels,
        gateway=True,
    )
    return Entry(service)


def _kubernetes_service(resource: Resource[kubernetes.ServiceSpec], cluster_domain: str) -> Entry:
    spec = resource.spec
    external = spec.type == "ExternalName"
    headless = not external and spec.headless
    service = Service(
        host=service_host(resource.name, resource.namespace, cluster_domain),
        namespace=resource.namespace,
        name=resource.name,
        ports=tuple(_kubernetes_port(port, f"spec.ports[{at}]") for at, port in enumerate(spec.ports)),
        key=resource.key,
        selector=sorted_labels(spec.selector) if spec.selector and not external else None,
        headless=headless,
        external_name=spec.external_name.lower().rstrip(".") if external else "",
        publish_not_ready=spec.publish_not_ready_addresses,
    )
    written = "" if headless or external else spec.cluster_ip
    return Entry(
        service,
        written,
        "spec.clusterIP",
        "spec.selector" if spec.selector else "",
        virtual=not headless and not external,
    )


def _kubernetes_port(port: kubernetes.ServicePort, field: str) -> ServicePort:
    return ServicePort(
        number=port.port,
        protocol=select(port.port, port.name or "", port.app_protocol, port.protocol),
        name=port.name or "",
        target=port.port if port.target_port is None else port.target_port,
        field=field,
    )


def _app_services(resource: Resource[app.AppSpec], cluster_domain: str) -> Iterator[Entry]:
    for name, service in resource.spec.services.items():
        field = f"spec.services.{name}"
        ports = tuple(
            ServicePort(
                number=port.port,
                protocol=Protocol(port.protocol) if port.protocol else select(port.port, port.name),
                name=port.name,
                target=port.target_port or port.port,
                field=f"{field}.port" if service.port is not None else f"{field}.ports[{at}]",
            )
            for at, port in enumerate(service.service_ports())
        )
        if ports:
            yield Entry(
                Service(
                    host=service_host(name, resource.namespace, cluster_domain),
                    namespace=resource.namespace,
                    name=name,
                    ports=ports,
                    key=resource.key,
                    field=field,
                    selector=((APP_LABEL, name),),
                ),
                external=all(process.external for process in service.variants().values()),
            )
