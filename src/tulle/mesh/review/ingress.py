"""What is wrong with Ingresses. Read by `review.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tulle.kit.memo import memoised
from tulle.mesh.gateway.gateway import GatewayCells
from tulle.mesh.gateway.ingress_class import Ingress, class_of, default_classes, is_ours
from tulle.mesh.policy.certificate import certificate_fault
from tulle.mesh.problem import Problem, info, warning
from tulle.mesh.route.gateway_api.rule import BackendFault
from tulle.mesh.route.ingress import HTTP_PORT, HTTPS_PORT, ingress_backend, rule_field, serves_ingress
from tulle.mesh.view import Gateway, GatewayChain, Origin, RequestMatch
from tulle.mesh.world import World
from tulle.model.kubernetes import CLASS_ANNOTATION, IngressBackend


def review_ingress(world: World, gateways: GatewayCells, ingress: Ingress) -> Iterator[Problem]:
    """The problems of an Ingress."""
    if not is_ours(world.declaration, ingress):
        yield _of_another_class(world, ingress)
        return
    proxies = [each for each in world.gateways() if serves_ingress(each.labels)]
    if not proxies:
        message = "no gateway's proxy has the label istio: ingressgateway, so nobody serves this Ingress"
        remedy = "Take that label from the workloads that are no gateways."
        yield warning(ingress, "spec", "selects-nothing", message, remedy)
    for field, backend in _backends(ingress):
        found = ingress_backend(world, ingress, backend)
        if isinstance(found, BackendFault):
            message = f"{found.message}; its requests are answered with 503"
            yield warning(ingress, f"{field}.{found.field}", "reference-not-found", message, found.remedy)
    yield from _certificates(world, ingress)
    for proxy in proxies:
        view = gateways.gateway(proxy.id)
        if view is not None:
            yield from _overruled(world, ingress, view)


def _of_another_class(world: World, ingress: Ingress) -> Problem:
    name = class_of(world.declaration, ingress)
    field = "spec.ingressClassName"
    if CLASS_ANNOTATION in ingress.metadata.annotations:
        field = f"metadata.annotations.{CLASS_ANNOTATION}"
    message = f"the Ingress has no effect: its class {name} is not this mesh's"
    if not name:
        message = "the Ingress has no effect: it has no class, and no IngressClass is the default"
        if len(default_classes(world.declaration)) > 1:
            message = "the Ingress has no effect: it has no class, and several IngressClasses are the default"
    return info(ingress, field, "no-effect", message, "Write ingressClassName: tulle to have it served here.")


def _backends(ingress: Ingress) -> Iterator[tuple[str, IngressBackend]]:
    if ingress.spec.default_backend is not None:
        yield "spec.defaultBackend", ingress.spec.default_backend
    for number, rule in enumerate(ingress.spec.rules):
        for index, path in enumerate(rule.http.paths if rule.http is not None else ()):
            yield f"{rule_field(number, index)}.backend", path.backend


def _certificates(world: World, ingress: Ingress) -> Iterator[Problem]:
    for index, tls in enumerate(ingress.spec.tls):
        field = f"spec.tls[{index}]"
        if not tls.secret_name:
            message = "without secretName there is no certificate, and no TLS for these hosts"
            yield info(ingress, field, "no-effect", message, "Write secretName.")
            continue
        wrong = certificate_fault(world, ingress.namespace, tls.secret_name)
        if wrong:
            remedy = f"Apply a Secret of type kubernetes.io/tls in namespace {ingress.namespace}."
            yield warning(ingress, f"{field}.secretName", "invalid-certificate", wrong, remedy)


@dataclass(frozen=True, slots=True)
class Served:
    """What a gateway's proxy serves."""

    routes: frozenset[Origin]
    first: Mapping[Origin, Origin]
    """Whose requests those of a route are, where somebody else stands before it."""
    chains: Mapping[Origin, GatewayChain]


@memoised
def what_is_served(view: Gateway) -> Served:
    """Once for all Ingresses that it serves."""
    served: set[Origin] = set()
    first: dict[Origin, Origin] = {}
    for host in (host for table in view.route_tables for host in table.virtual_hosts):
        taken: dict[RequestMatch, Origin] = {}
        for route in host.routes:
            if taken.setdefault(route.match, route.origin) == route.origin:
                served.add(route.origin)
            first.setdefault(route.origin, taken[route.match])
    chains = {chain.origin: chain for each in view.listeners for chain in each.chains}
    return Served(frozenset(served), first, chains)


def _overruled(world: World, ingress: Ingress, view: Gateway) -> Iterator[Problem]:
    """What of an Ingress a gateway's proxy does not serve, because somebody else has the port, the host and
    path, or the server name."""
    served = what_is_served(view)
    for field, _ in _backends(ingress):
        place = field.removesuffix(".backend")
        origin = _origin(ingress, place)
        if origin in served.routes or place == "spec.defaultBackend":
            continue
        other = served.first.get(origin)
        message = f"a Gateway of Istio has this host, or port {HTTP_PORT} for something else than HTTP"
        if other is not None:
            message = f"{other.kind} {other.namespace}/{other.name} has the same host and path, and is older"
        yield warning(ingress, place, "overruled", f"it is not served: {message}", "Change one of them.")
    for index, tls in enumerate(ingress.spec.tls):
        place = f"spec.tls[{index}]"
        if not tls.secret_name or certificate_fault(world, ingress.namespace, tls.secret_name):
            continue
        chain = served.chains.get(_origin(ingress, place))
        missing = set(tls.hosts or ("*",)) - set((chain.server_names or ("*",)) if chain is not None else ())
        if missing:
            names = ", ".join(sorted(missing))
            message = f"somebody older has port {HTTPS_PORT}, or there a certificate, for {names}"
            yield warning(ingress, place, "overruled", message, "Name each host in one place.")


def _origin(ingress: Ingress, field: str) -> Origin:
    return Origin(ingress.key.kind, ingress.namespace, ingress.name, field)
