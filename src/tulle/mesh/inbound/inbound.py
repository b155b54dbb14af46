"""The inbound side: what reaches one workload, by the ports that services select on it.

Read by `resolve.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tulle.kit.derived import Derived
from tulle.mesh.inbound.sidecar_ingress import Served as Said
from tulle.mesh.inbound.sidecar_ingress import numbers, served
from tulle.mesh.outbound.depth import Served, annotation, annotations_field, bars, depth
from tulle.mesh.outbound.sidecar import SidecarCells
from tulle.mesh.policy.upgrade import UpgradeCells
from tulle.mesh.problem import Problem
from tulle.mesh.review.proxy_config import review_annotation
from tulle.mesh.route.host import port_origin
from tulle.mesh.service.service import Service, ServicePort
from tulle.mesh.view import Cluster, Discovery, Inbound, InboundMtls, InboundPort, Origin, Protocol, Upstream
from tulle.mesh.workload.draft import HTTP_PROCESSING
from tulle.mesh.workload.workload import Workload, WorkloadId
from tulle.mesh.world import World
from tulle.model.findings import Severity
from tulle.model.meshconfig import HttpProcessing

_SOURCE = "127.0.0.6"
"""Marks the proxy's calls to its own application, so that they are not redirected again (decision 8)."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """One service's word about a port of the workload."""

    service: Service
    port: ServicePort
    target: int

    @property
    def origin(self) -> Origin:
        return port_origin(self.service, self.port)


class InboundCells:
    """The derived values of the inbound side."""

    def __init__(self, world: World, sidecars: SidecarCells, upgrades: UpgradeCells) -> None:
        graph = world.graph
        self._world = world
        self._sidecars = sidecars
        self._upgrades = upgrades
        self.inbound: Derived[WorkloadId, Inbound | None] = Derived(graph, self._find, "inbound")
        self.problems: Derived[WorkloadId, tuple[Problem, ...]] = Derived(
            graph, lambda at: (*conflicts(world, at), *annotated(world, at)), "inbound_problems"
        )
        self.passed_on: Derived[tuple[str, int], bool] = Derived(graph, self._ask, "passed_on")

    def _find(self, at: WorkloadId) -> Inbound | None:
        workload = self._world.workload(at)
        if workload is None or not workload.proxy or workload.gateway or not workload.address:
            return None
        claims = _claims(self._world, at)
        sidecar = self._sidecars.nearest(workload.namespace, workload.labels)
        said = {number: served(sidecar, number) for number in sorted({*claims, *numbers(sidecar)})}
        ports = {
            number: _port(self._world, workload, number, claims.get(number, ()), own)
            for number, own in said.items()
        }
        clusters = (
            _cluster(workload, port, said[number], self._spoken(port, claims.get(number, ())))
            for number, port in ports.items()
        )
        return Inbound(
            namespace=workload.namespace,
            workload=workload.name,
            address=workload.address,
            identity=workload.identity,
            trust_domain=self._world.trust_domain(),
            ports=tuple(ports.values()),
            clusters=tuple(clusters),
            default_mtls=InboundMtls.PERMISSIVE,
        )

    def _spoken(self, port: InboundPort, claims: Sequence[_Claim]) -> Upstream:
        upgraded = port.protocol is Protocol.HTTP and any(
            self._upgrades.upgraded((claim.service.host, claim.port.number)) for claim in claims
        )
        return Upstream.HTTP1 if upgraded else Upstream.DECLARED

    def _ask(self, at: tuple[str, int]) -> bool:
        """Whether callers of a service's HTTP port tell the application themselves who calls: one of the
        workloads behind it passes HTTP on."""
        host, number = at
        service = self._world.service(host)
        if service is None or service.selector is None or bars(self._world, service):
            return False
        for workload in self._world.selected(service.namespace, service.selector):
            target = self._world.target_ports(workload, host, number)
            there = self.inbound(workload)
            for port in there.ports if there is not None else ():
                if port.port == target and port.depth is not None and port.depth.shallow:
                    return True
        return False


def _claims(world: World, at: WorkloadId) -> dict[int, list[_Claim]]:
    found: dict[int, list[_Claim]] = {}
    for service in world.services_of(at):
        for port in service.ports:
            target = world.target_ports(at, service.host, port.number)
            if target is not None and port.protocol is not Protocol.UDP:
                found.setdefault(target, []).append(_Claim(service, port, target))
    return found


def _port(
    world: World, workload: Workload, number: int, claims: Sequence[_Claim], said: Said | None
) -> InboundPort:
    mtls = InboundMtls.PERMISSIVE
    if said is not None and said.protocol is not None:
        protocol, origin = said.protocol, said.origin
    else:
        protocol, origin = _protocol(claims), claims[0].origin
    declared = tuple((claim.service, claim.port) for claim in claims)
    served = Served(workload, mtls, declared, said.origin if said is not None else None)
    return InboundPort(
        port=number,
        protocol=protocol,
        mtls=mtls,
        cluster=f"inbound|{number}||",
        origin=origin,
        depth=depth(world, served, protocol),
        idle_seconds=said.idle_seconds if said is not None else None,
        connection_seconds=said.pool.connection_seconds if said is not None else None,
        service_port=claims[0].port.number if claims and claims[0].port.number != number else 0,
    )


def _protocol(claims: Sequence[_Claim]) -> Protocol:
    """What all services say that say something.

    Where they disagree, HTTP if any of them says so, in whichever version the caller speaks: a second service
    must not take away the HTTP processing that keeps callers from forging headers (decision 24). Otherwise
    bytes alone, which suit TLS as well as anything.
    """
    declared = {claim.port.protocol for claim in claims} - {Protocol.DETECT}
    if not declared:
        return Protocol.DETECT
    if len(declared) == 1:
        return next(iter(declared))
    return Protocol.HTTP if any(protocol.is_http for protocol in declared) else Protocol.TCP


def _cluster(workload: Workload, port: InboundPort, said: Said | None, spoken: Upstream) -> Cluster:
    said = said or Said(port.origin)
    return Cluster(
        name=port.cluster,
        discovery=Discovery.STATIC,
        origin=said.origin,
        protocol=port.protocol,
        pool=replace(said.pool, upstream=spoken),
        addresses=(said.address(workload.address, port.port),),
        source_address=_SOURCE,
    )


def conflicts(world: World, at: WorkloadId) -> tuple[Problem, ...]:
    """Services that say different things about one port of a workload."""
    found: list[Problem] = []
    for number, claims in sorted(_claims(world, at).items()):
        first = next((claim for claim in claims if claim.port.protocol is not Protocol.DETECT), None)
        taken = "HTTP" if _protocol(claims) is Protocol.HTTP else "TCP"
        for claim in claims:
            if first is None or claim.port.protocol in (Protocol.DETECT, first.port.protocol):
                continue
            found.append(
                Problem(
                    claim.service.key,
                    claim.port.field or claim.service.field,
                    "protocol-conflict",
                    Severity.WARNING,
                    f"port {number} of the workloads behind service {claim.service.name} is "
                    f"{claim.port.protocol} here and {first.port.protocol} in service {first.service.name}; "
                    f"it is treated as {taken}",
                    "Give the port one protocol in both services.",
                )
            )
    return tuple(found)


def annotated(world: World, at: WorkloadId) -> tuple[Problem, ...]:
    """What is wrong with the annotations of a workload that are for its proxy."""
    workload = world.workload(at)
    if workload is None:
        return ()
    return (*_misspelt(workload), *review_annotation(workload))


def _misspelt(workload: Workload) -> tuple[Problem, ...]:
    """An annotation that says neither of the two words; it is taken for the safer one."""
    if annotation(workload) in ("", *HttpProcessing):
        return ()
    return (
        Problem(
            workload.key,
            annotations_field(workload),
            "unknown-value",
            Severity.WARNING,
            f"{HTTP_PROCESSING} is “{annotation(workload)}”, which is taken for “both”",
            "Write “client” or “both”.",
        ),
    )
