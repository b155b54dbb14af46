"""What a rule of an HTTPRoute or a GRPCRoute does with the requests that it takes.

Read by `ranking.py` and `grpc_route.py`, which say which requests these are, and by `parent.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tulle.mesh.name import service_host
from tulle.mesh.route.attachment import UDP_ROUTE, AnyRoute, RouteResource
from tulle.mesh.route.common import Destination
from tulle.mesh.route.gateway_api.filter import (
    RouteFilter,
    Treatment,
    mirrored,
    path_rewrite,
    redirect,
    treatment,
)
from tulle.mesh.route.gateway_api.grant import permitted
from tulle.mesh.route.session import session
from tulle.mesh.service.service import Service
from tulle.mesh.view import (
    MISSING_CLUSTER,
    Forward,
    Mirror,
    Origin,
    Protocol,
    Redirect,
    RequestMatch,
    Respond,
    Retry,
    Route,
    WeightedCluster,
)
from tulle.mesh.world import World
from tulle.model import istio
from tulle.model.gateway_api import (
    BackendObjectReference,
    GRPCBackendRef,
    GRPCRouteRule,
    HTTPBackendRef,
    HTTPRouteRule,
    L4RouteRule,
)
from tulle.model.resource import Key
from tulle.model.schema import seconds

RouteRule = HTTPRouteRule | GRPCRouteRule
Action = Forward | Redirect | Respond

_CONNECTION_ERRORS = ("connect-failure", "refused-stream", "reset", "reset-before-request")
"""With a `retry` these SHOULD be tried again (`HTTPRouteRetry`); a `backendRequest` time-out is a reset."""
HOSTNAME = (istio.GROUP, "Hostname")
"""The kind of a backend that is a host: it has no resource of its own."""
_ATTEMPTS = 2
"""Where `retry` says nothing of `attempts`: as many as without it."""


@dataclass(frozen=True, slots=True)
class BackendFault:
    """Why a reference has no effect. `reason` is the specification's for the ResolvedRefs condition."""

    reason: str
    field: str
    """Of the reference, the one that is wrong."""
    message: str
    remedy: str


class Rule:
    """One rule, whose references are looked up once for all of its matches."""

    def __init__(self, world: World, resource: RouteResource, index: int, at_gateway: bool) -> None:
        rule = resource.spec.rules[index]
        self._rule = rule
        self._of_http = isinstance(rule, HTTPRouteRule)
        self._treatment = treatment(rule.filters)
        clusters = [_cluster(world, resource.key, ref, at_gateway) for ref in rule.backend_refs]
        self._clusters = _shares(clusters)
        retired = tuple(each for each in clusters if not each.weight)
        written, name = rule.session_persistence, f"{resource.namespace}-{resource.name}-{index}"
        self._session = session(written, name, retired) if written is not None else None
        self._mirrors = tuple(_mirrors(world, resource.key, rule, at_gateway))

    def route(self, name: str, match: RequestMatch, origin: Origin) -> Route:
        """The rule for what one of its matches takes."""
        does = self._treatment
        action = self._action(match)
        return Route(name, match, action, origin, does.request, does.response, does.cors)

    def _action(self, match: RequestMatch) -> Action:
        does = self._treatment
        # A gRPC client reads the first as UNKNOWN and the second as UNAVAILABLE ("HTTP to gRPC Status Code
        # Mapping"), which is what a GRPCRoute without a valid backend has to answer.
        missing = 500 if self._of_http else 503
        if does.unknown:
            return Respond(missing)
        if does.redirect is not None:
            return redirect(does.redirect, match.path)
        if all(each.cluster == MISSING_CLUSTER for each in self._clusters):
            return Respond(missing)
        whole, attempt, retry = _limits(self._rule)
        return Forward(
            self._clusters,
            whole,
            attempt,
            retry,
            path=path_rewrite(does.path, match.path),
            authority=does.authority,
            mirrors=self._mirrors,
            session=self._session,
            missing_status=missing,
        )


def loses_backend(rule: RouteRule) -> bool:
    """Whether sessions of a rule are kept within each backend alone: a header has room for one token only."""
    written = rule.session_persistence
    return written is not None and written.type == "Header" and len(rule.backend_refs) > 1


def _cluster(
    world: World, route: Key, ref: HTTPBackendRef | GRPCBackendRef, at_gateway: bool
) -> WeightedCluster:
    found = backend(world, route, ref, at_gateway)
    does = treatment(ref.filters) if ref.filters else Treatment()
    if isinstance(found, BackendFault) or does.unknown:
        return WeightedCluster(MISSING_CLUSTER, ref.weight)
    return WeightedCluster(found.cluster, ref.weight, does.request, does.response, does.authority)


def _shares(clusters: Iterable[WeightedCluster]) -> tuple[WeightedCluster, ...]:
    """Those with a weight above 0, each once for what is done to its requests, in their order."""
    weights: dict[WeightedCluster, int] = {}
    for each in clusters:
        same = replace(each, weight=1)
        weights[same] = weights.get(same, 0) + each.weight
    return tuple(replace(each, weight=weight) for each, weight in weights.items() if weight)


def _mirrors(world: World, route: Key, rule: RouteRule, at_gateway: bool) -> Iterator[Mirror]:
    """A mirror whose backend does not exist is dropped (`HTTPRequestMirrorFilter.backendRef`)."""
    for each in rule.filters:
        if each.request_mirror is not None and (share := mirrored(each.request_mirror)):
            found = backend(world, route, each.request_mirror.backend_ref, at_gateway)
            if isinstance(found, Destination):
                yield Mirror(found.cluster, share)


def _limits(rule: RouteRule) -> tuple[float | None, float | None, Retry | None]:
    """The time for the whole and for an attempt (0: no limit), and what is tried again."""
    if not isinstance(rule, HTTPRouteRule):
        return None, None, None
    whole = attempt = retry = None
    if rule.timeouts is not None:
        whole = seconds(rule.timeouts.request or "") or None
        attempt = seconds(rule.timeouts.backend_request or "") or None
    if rule.retry is not None:
        retry = Retry(
            attempts=_ATTEMPTS if rule.retry.attempts is None else rule.retry.attempts,
            conditions=_CONNECTION_ERRORS,
            statuses=rule.retry.codes,
            backoff_seconds=(seconds(rule.retry.backoff) or None) if rule.retry.backoff else None,
        )
    return whole, attempt, retry


# -- references -------------------------------------------------------------------------------------


def backend(
    world: World, route: Key, ref: BackendObjectReference, at_gateway: bool
) -> Destination | BackendFault:
    """What a reference to a backend stands for."""
    namespace = ref.namespace or route.namespace
    if (ref.group, ref.kind) == HOSTNAME:
        return _named_backend(world, route, ref)
    if (ref.group, ref.kind) != ("", "Service"):
        return BackendFault(
            "InvalidKind",
            "kind",
            f"{ref.kind} ({ref.group or 'core'}) is not a kind that a route can send to",
            "Refer to a Service.",
        )
    if at_gateway and not permitted(world, route, Key("", "Service", namespace, ref.name)):
        return BackendFault(
            "RefNotPermitted",
            "namespace",
            f"no ReferenceGrant in namespace {namespace} lets {route.kind}s of {route.namespace} "
            f"refer to Service {ref.name}",
            f"Write a ReferenceGrant in namespace {namespace}, or move the route there.",
        )
    host = service_host(ref.name, namespace, world.settings.cluster_domain)
    service = world.service(host)
    if service is None:
        return BackendFault(
            "BackendNotFound",
            "name",
            f"there is no Service {ref.name} in namespace {namespace}",
            "Apply the Service, or correct the name or the namespace.",
        )
    return _port(route, service, ref, f"Service {namespace}/{ref.name}")


def _named_backend(world: World, route: Key, ref: BackendObjectReference) -> Destination | BackendFault:
    """A service by the full name of its host (Istio's `Hostname`). A host is in nobody's namespace, so no
    ReferenceGrant is asked for."""
    if ref.namespace is not None:
        message, remedy = "a Hostname is in no namespace", "Remove namespace."
        return BackendFault("InvalidKind", "namespace", message, remedy)
    service = world.service(ref.name)
    if service is None or not service.is_known_in(route.namespace):
        message = f"there is no service {ref.name} that namespace {route.namespace} knows of"
        return BackendFault("BackendNotFound", "name", message, "Apply a ServiceEntry, or correct the name.")
    return _port(route, service, ref, ref.name)


def _port(
    route: Key, service: Service, ref: BackendObjectReference, named: str
) -> Destination | BackendFault:
    udp = _is_udp(route)
    port = service.port(ref.port or 0, udp)
    if port is None or (port.protocol is Protocol.UDP) is not udp:
        ports = ", ".join(
            str(each.number) for each in service.ports if (each.protocol is Protocol.UDP) is udp
        )
        return BackendFault(
            "BackendNotFound",
            "port",
            f"{named} has no {'UDP ' if udp else ''}port {ref.port}",
            f"Use one of its ports: {ports}." if ports else "Give the Service a port.",
        )
    return Destination(service.host, port.number, udp=udp)


def faults(world: World, route: AnyRoute, at_gateway: bool) -> Iterator[tuple[str, BackendFault]]:
    """Every reference of a route that cannot be used, by its field."""
    for index, rule in enumerate(route.spec.rules):
        at = f"spec.rules[{index}]"
        if not isinstance(rule, L4RouteRule):
            yield from _filter_faults(world, route.key, rule.filters, at, at_gateway)
        for number, ref in enumerate(rule.backend_refs):
            field = f"{at}.backendRefs[{number}]"
            found = backend(world, route.key, ref, at_gateway)
            if isinstance(found, BackendFault):
                yield (
                    f"{field}.{found.field}",
                    replace(found, message=f"{found.message}; {_outcome(route.key, ref)}"),
                )
            if isinstance(ref, HTTPBackendRef | GRPCBackendRef):
                yield from _filter_faults(world, route.key, ref.filters, field, at_gateway)


def _outcome(route: Key, ref: BackendObjectReference) -> str:
    """What becomes of the share of a backend that cannot be used."""
    if isinstance(ref, HTTPBackendRef):
        return "its requests are answered with 500"
    if isinstance(ref, GRPCBackendRef):
        return "its requests are answered with UNAVAILABLE"
    return f"its {'datagrams are dropped' if _is_udp(route) else 'connections are closed'}"


def _is_udp(route: Key) -> bool:
    return (route.group, route.kind) == UDP_ROUTE


def _filter_faults(
    world: World, route: Key, filters: tuple[RouteFilter, ...], at: str, at_gateway: bool
) -> Iterator[tuple[str, BackendFault]]:
    for number, each in enumerate(filters):
        field = f"{at}.filters[{number}]"
        if each.request_mirror is not None:
            found = backend(world, route, each.request_mirror.backend_ref, at_gateway)
            if isinstance(found, BackendFault):
                yield f"{field}.requestMirror.backendRef.{found.field}", found
        if each.extension_ref is not None:
            named = f"{each.extension_ref.kind} ({each.extension_ref.group or 'core'})"
            message = f"{named} is not a filter that is known; its requests fail"
            remedy = "Remove the filter."
            yield f"{field}.extensionRef.kind", BackendFault("InvalidKind", "kind", message, remedy)
