"""How deep a meshed call to an HTTP port is looked into: on the client's side, or on both (decision 24).

A client's proxy that processes HTTP and removes what applications forge may tell the application itself who
calls; then the server's side need only be sure that it is such a proxy, and passes the bytes on. Whoever else
comes meets HTTP processing in any case, so nothing here decides what a stranger may do.

To have the server's side process HTTP for one more cause, add a function to `_CAUSES`. Read by
`inbound/inbound.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tulle.mesh.outbound.tls import opaque
from tulle.mesh.policy.envoy_filter import looks_into_http
from tulle.mesh.service.service import Service, ServicePort
from tulle.mesh.view import Cluster, Depth, Discovery, InboundMtls, Origin, Protocol, Reason, Upstream
from tulle.mesh.workload.draft import HTTP_PROCESSING
from tulle.mesh.workload.workload import Workload
from tulle.mesh.world import World
from tulle.model.meshconfig import HttpProcessing

_MESH_CONFIG = Origin("MeshConfig", "", "", "spec.httpProcessing")


@dataclass(frozen=True, slots=True)
class Served:
    """A port of a workload, and all service ports that lead to it."""

    workload: Workload
    mtls: InboundMtls
    claims: tuple[tuple[Service, ServicePort], ...]
    sidecar: Origin | None = None
    """Where a Sidecar says how it is served."""


def depth(world: World, served: Served, protocol: Protocol) -> Depth | None:
    """The depth of a port; None if it is no HTTP port, or has to be looked at."""
    if not protocol.is_http:
        return None
    return Depth(tuple(reason for cause in _CAUSES for reason in cause(world, served)))


def bars(world: World, service: Service) -> tuple[Reason, ...]:
    """Why no caller of a service can say who calls it, whatever the ports behind it allow.

    A cluster is one for all endpoints, and so is what it writes: the one identity that its server has. To an
    endpoint without a proxy nothing is written, since nobody there could tell it from a forgery (Istio too
    writes the header at the server's proxy alone).
    """
    found: list[Reason] = []
    if len(world.server_identities(service.host)) > 1:
        text = f"the workloads of service {service.name} have several identities"
        found.append(Reason(text, service.origin))
    selected = world.selected(service.namespace, service.selector) if service.selector is not None else ()
    workloads = (world.workload(at) for at in selected)
    bare = next((each for each in workloads if each is not None and not _meshed(each)), None)
    if bare is not None:
        found.append(Reason(f"workload {bare.name} of service {service.name} has no proxy", bare.origin))
    if world.workload_entries(service):
        found.append(Reason(f"service {service.name} has WorkloadEntries", service.origin))
    return tuple(found)


def as_it_can(made: Cluster) -> Cluster:
    """A cluster as people's rules have made it, without the promise of `tulle-http` if it cannot keep it: to
    tell its server's application who calls, and to leave connections before the application does.

    It cannot if somebody says how long they may be idle, if another HTTP than the application's is spoken on
    the way, if it dials whatever address was asked for, or if it begins with what only a proxy understands.
    """
    pool = made.pool
    can = (
        made.mtls is not None
        and len(made.mtls.identities) == 1
        and made.discovery is not Discovery.ORIGINAL_DESTINATION
        and made.proxy_protocol is None
        and pool.idle_seconds is None
        and pool.upstream is Upstream.DECLARED
    )
    return made if can else opaque(made)


def _meshed(workload: Workload) -> bool:
    return workload.proxy and not workload.gateway


# -- causes -------------------------------------------------------------------------------------------


def _asked_for(world: World, served: Served) -> Iterator[Reason]:
    """The workload's annotation, else the mesh's configuration."""
    workload = served.workload
    if written := annotation(workload):
        if written != HttpProcessing.CLIENT:
            origin = Origin(
                workload.key.kind, workload.key.namespace, workload.key.name, annotations_field(workload)
            )
            yield Reason(f"annotation {HTTP_PROCESSING}", origin)
    elif world.mesh_config().http_processing is HttpProcessing.BOTH:
        yield Reason("the mesh's httpProcessing", _MESH_CONFIG)


def _without_mtls(_: World, served: Served) -> Iterator[Reason]:
    if served.mtls is InboundMtls.DISABLE:
        yield Reason("mTLS is disabled", served.workload.origin)


def _sidecar(_: World, served: Served) -> Iterator[Reason]:
    """Its limits are of requests, and its protocol is not what callers know of the service."""
    if served.sidecar is not None:
        yield Reason("a Sidecar says how it is served", served.sidecar)


def _disagreement(_: World, served: Served) -> Iterator[Reason]:
    """Callers speak the protocol of the service that they call. What is not HTTP for one of them is bytes."""
    spoken = {port.protocol.is_http2 for _, port in served.claims if port.protocol.is_http}
    if len(spoken) > 1:
        yield Reason("services disagree about its protocol", served.claims[0][0].origin)


def _nobody_can(world: World, served: Served) -> Iterator[Reason]:
    """No chain is made for callers that do not exist."""
    reasons = [bars(world, service) for service, port in served.claims if port.protocol.is_http]
    if all(reasons):
        yield from (reason for each in reasons for reason in each)


def _patched(world: World, served: Served) -> Iterator[Reason]:
    """What people change about the server's processing of HTTP is to be met by every request."""
    found = looks_into_http(world, served.workload)
    if found is not None:
        origin = Origin("EnvoyFilter", found.namespace, found.name)
        yield Reason(f"EnvoyFilter {found.namespace}/{found.name} changes it", origin)


_CAUSES: tuple[Callable[[World, Served], Iterable[Reason]], ...] = (
    _asked_for,
    _without_mtls,
    _sidecar,
    _disagreement,
    _nobody_can,
    _patched,
)


def annotation(workload: Workload) -> str:
    """What a workload's annotation asks for, as written."""
    return dict(workload.annotations).get(HTTP_PROCESSING, "")


def annotations_field(workload: Workload) -> str:
    """Where a workload's annotations are written in the resource that declares it."""
    own = workload.key.kind in ("App", "Pod")
    return "metadata.annotations" if own else "spec.template.metadata.annotations"
