"""Several resources that declare one host: which of them the host is, and what the others add to it.

Read by `service.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tulle.mesh.service.declared import SERVICE_ENTRY, Entry, Service


def joined(entries: Sequence[Entry]) -> Entry:
    """One service of all entries for a host, the one that stands before the others first.

    ServiceEntries of one namespace that differ in ports (and endpoints) only are one (Istio,
    `canMergeServices`). A platform's service is decorated by ServiceEntries of its name (service_entry.proto,
    `hosts`): with names of its servers, and here with ports that it has not, as Istio's task on egress with
    mutual TLS has it.
    """
    first, *others = entries
    service = first.service
    for other in (each.service for each in others):
        if not _adds_to(other, service):
            continue
        taken = {port.number for port in service.ports}
        ports = tuple(replace(port, adds=other) for port in other.ports if port.number not in taken)
        names = tuple(name for name in other.server_names if name not in service.server_names)
        if ports or names:
            service = replace(
                service, ports=(*service.ports, *ports), server_names=(*service.server_names, *names)
            )
    return first if service is first.service else replace(first, service=service)


def _adds_to(other: Service, service: Service) -> bool:
    if (other.key.group, other.key.kind) != SERVICE_ENTRY or service.headless or service.external_name:
        return False
    if (service.key.group, service.key.kind) != SERVICE_ENTRY:
        return other.is_known_in("")
    return (other.namespace, other.resolution, other.selector, other.export_to, other.external) == (
        service.namespace,
        service.resolution,
        service.selector,
        service.export_to,
        service.external,
    )
