"""ServiceEntry (Istio): services that no platform knows, and endpoints that people wrote.

Each host is a service of its own (`convertServices` in Istio's registry of service entries). Pure; read by
`listing.py` and `endpoint.py`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from tulle.mesh.protocol import named
from tulle.mesh.service.declared import Entry, Resolution, Service, ServicePort
from tulle.mesh.view import Endpoint
from tulle.mesh.workload.draft import sorted_labels
from tulle.model import istio
from tulle.model.resource import Resource

WORKLOAD_ENTRY = (istio.GROUP, "WorkloadEntry")

_ALLOCATE = "networking.istio.io/enable-autoallocate-ip"
_TLS_MODE = "security.istio.io/tlsMode"


def entry_services(resource: Resource[istio.ServiceEntrySpec]) -> Iterator[Entry]:
    """One service for each host."""
    spec = resource.spec
    ports = tuple(
        ServicePort(
            number=port.number,
            protocol=named(port.number, port.protocol),
            name=port.name,
            target=port.target_port or port.number,
            field=f"spec.ports[{index}]",
        )
        for index, port in enumerate(spec.ports)
    )
    selector = spec.workload_selector
    single, ranges = _addresses(spec.addresses)
    for index, written in enumerate(spec.hosts):
        host = written.lower().rstrip(".")
        service = Service(
            host=host,
            namespace=resource.namespace,
            name=host,
            ports=ports,
            key=resource.key,
            field=f"spec.hosts[{index}]",
            addresses=single,
            ranges=ranges,
            selector=sorted_labels(selector.labels) if selector is not None else None,
            resolution=Resolution(spec.resolution),
            external=spec.location == "MESH_EXTERNAL",
            export_to=spec.export_to,
            server_names=spec.subject_alt_names,
        )
        field = "spec.workloadSelector" if selector is not None else ""
        yield Entry(service, selector_field=field, virtual=_is_virtual(resource, host))


def _is_virtual(resource: Resource[istio.ServiceEntrySpec], host: str) -> bool:
    """Whether the host gets an address of the mesh (Istio's `ShouldV2AutoAllocateIPFromConfig`).

    What is found by the name in each call has none: there its caller's own resolver says where it goes.
    """
    spec = resource.spec
    if spec.addresses or "*" in host or spec.resolution in ("NONE", "DYNAMIC_DNS"):
        return False
    return resource.metadata.labels.get(_ALLOCATE, "").lower() != "false"


def _addresses(written: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Single addresses, and ranges of them. IPv6 is left out: workloads have none (decision 7)."""
    single: list[str] = []
    ranges: list[str] = []
    for text in written:
        network = ipaddress.ip_network(text, strict=False)
        if network.version != 4:
            continue
        if network.num_addresses == 1:
            single.append(str(network.network_address))
        else:
            ranges.append(str(network))
    return tuple(single), tuple(ranges)


def entry_endpoints(
    resource: Resource[istio.ServiceEntrySpec], service: Service, port: ServicePort
) -> Iterator[tuple[Endpoint, dict[str, str]]]:
    """What a ServiceEntry itself says of the endpoints of one port, with their labels."""
    spec = resource.spec
    by_name = service.resolution in (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)
    if by_name and not spec.endpoints and spec.workload_selector is None:
        # "If no endpoints are specified, the proxy will resolve the DNS address specified in the hosts field"
        yield Endpoint(service.host, _number(port), mtls=False), {}
    for index, written in enumerate(spec.endpoints):
        made = workload_endpoint(written, service, port, f"{resource.name}/{index}")
        if made is not None:
            yield made, written.labels


def workload_endpoint(
    written: istio.WorkloadEntrySpec, service: Service, port: ServicePort, name: str
) -> Endpoint | None:
    """One port of a WorkloadEntry that stands behind a service; None if it has no address to dial.

    Its port: as it says itself for the name of the service's port, else the service's target port, else the
    same number (workload_entry.proto, `ports`).
    """
    by_name = service.resolution in (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)
    if not written.address or (not by_name and not _is_ipv4(written.address)):
        return None
    region, zone, sub_zone, *_ = [*written.locality.split("/", 2), "", "", ""]
    return Endpoint(
        address=written.address.lower().rstrip("."),
        port=written.ports.get(port.name) or _number(port),
        mtls=not service.external and _speaks_mtls(written),
        weight=written.weight or 1,
        locality=(region, zone, sub_zone),
        workload=name,
    )


def server_identity(written: istio.WorkloadEntrySpec, namespace: str, trust_domain: str) -> str | None:
    """Who answers there; None for what is not of the mesh."""
    if not written.service_account:
        return None
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{written.service_account}"


def merged_labels(resource: Resource[Any]) -> dict[str, str]:
    """Labels of a WorkloadEntry, those of its metadata first (Istio's `ConvertWorkloadEntry`)."""
    return {**resource.spec.labels, **resource.metadata.labels}


def _speaks_mtls(written: istio.WorkloadEntrySpec) -> bool:
    """Istio's `getTLSModeFromWorkloadEntry`."""
    said = written.labels.get(_TLS_MODE)
    return said == "istio" if said is not None else bool(written.service_account)


def _number(port: ServicePort) -> int:
    return port.target if isinstance(port.target, int) else port.number


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
