"""Ingress (networking.k8s.io/v1) in the one vocabulary of the View.

All Ingresses of this mesh are one set of rules, served at port 80 and, where one of them has a certificate,
at port 443 by the proxies with the labels of Istio's ingress gateway. A rule that names the host of a request
stands before one for its wildcard, that before one for any host; of the paths that match, the longest is
taken, an exact one before a prefix; what no rule takes goes to a default backend (Kubernetes, "Ingress":
"Multiple matches", "Hostname wildcards", "DefaultBackend"). Read by `gateway/gateway.py` and
`review/ingress.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tulle.mesh.gateway.deployment import INGRESS_LABELS
from tulle.mesh.gateway.ingress_class import Ingress, ingresses
from tulle.mesh.name import service_host
from tulle.mesh.policy.certificate import certificate_fault
from tulle.mesh.route.common import Destination, specificity
from tulle.mesh.route.gateway_api.rule import BackendFault, backend
from tulle.mesh.route.server import Server
from tulle.mesh.view import (
    Forward,
    GatewayChain,
    HttpChain,
    MatchKind,
    NamedMatch,
    Origin,
    RequestMatch,
    Respond,
    Route,
    ServerTls,
    ValueMatch,
    VirtualHost,
    WeightedCluster,
)
from tulle.mesh.workload.draft import Labels, matches
from tulle.mesh.world import World
from tulle.model.gateway_api import BackendObjectReference
from tulle.model.kubernetes import HTTPIngressPath, IngressBackend

HTTP_PORT, HTTPS_PORT = 80, 443
"""The ports of an Ingress are fixed (`IngressRule.host`)."""
_ANY = "*"


@dataclass(frozen=True, slots=True)
class _Path:
    """One path of a rule."""

    ingress: Ingress
    written: HTTPIngressPath
    field: str

    @property
    def rank(self) -> tuple[int, int, int]:
        """Sorts what is tried first before the rest."""
        written = self.written
        return (-len(written.elements), written.path_type != "Exact", -len(written.path))


def serves_ingress(labels: Labels) -> bool:
    """Whether a gateway's proxy with these labels serves Ingresses."""
    return matches(INGRESS_LABELS, labels)


def ingress_servers(world: World, labels: Labels) -> Iterator[Server]:
    """What Ingresses ask of a gateway's proxy with these labels."""
    served = ingresses(world.declaration) if serves_ingress(labels) else ()
    if not served:
        return
    origin = _origin(served[0], "spec")
    yield Server(HTTP_PORT, "HTTP", origin, _virtual_hosts(world, served, HTTP_PORT))
    table = f"https.{HTTPS_PORT}.ingress"
    chains = tuple(_chains(world, served, table))
    if chains:
        # One table behind every certificate: SNI chooses the certificate, the Host header the rule
        # (`IngressTLS.secretName`).
        hosts = _virtual_hosts(world, served, HTTPS_PORT)
        yield Server(HTTPS_PORT, "HTTPS", origin, hosts, table, chains)


def ingress_backend(world: World, ingress: Ingress, written: IngressBackend) -> Destination | BackendFault:
    """What a backend stands for: a port of a Service of the Ingress's own namespace."""
    assert written.service is not None, "a resource is refused"
    name, port = written.service.name, written.service.port
    number = port.number
    if port.name is not None:
        service = world.service(service_host(name, ingress.namespace, world.settings.cluster_domain))
        found = next((each for each in service.ports if each.name == port.name), None) if service else None
        if service is not None and found is None:
            return BackendFault(
                "BackendNotFound",
                "service.port.name",
                f"Service {ingress.namespace}/{name} has no port called {port.name}",
                "Name one of its ports.",
            )
        number = found.number if found is not None else None
    # Without the Service its port has no number, and is not looked for.
    ref = BackendObjectReference(name=name, port=number or 1)
    found = backend(world, ingress.key, ref, at_gateway=True)
    if isinstance(found, BackendFault):
        field = "service.name" if found.field == "name" else "service.port.number"
        return replace(found, field=field)
    return found


def rule_field(rule: int, path: int) -> str:
    """Where a path of a rule is written."""
    return f"spec.rules[{rule}].http.paths[{path}]"


# -- TLS --------------------------------------------------------------------------------------------


def _chains(world: World, served: Iterable[Ingress], table: str) -> Iterator[GatewayChain]:
    for ingress in served:
        for index, tls in enumerate(ingress.spec.tls):
            if tls.secret_name and not certificate_fault(world, ingress.namespace, tls.secret_name):
                yield GatewayChain(
                    name=f"https.{index}.{ingress.name}.{ingress.namespace}.ingress",
                    then=HttpChain(table, f"outbound_{table}"),
                    origin=_origin(ingress, f"spec.tls[{index}]"),
                    server_names=tls.hosts,
                    tls=ServerTls((f"{ingress.namespace}/{tls.secret_name}",)),
                )


# -- rules ------------------------------------------------------------------------------------------


def _virtual_hosts(world: World, served: tuple[Ingress, ...], port: int) -> tuple[VirtualHost, ...]:
    paths: dict[str, list[_Path]] = {}
    naming: dict[str, list[Ingress]] = {}
    for ingress in served:
        for number, rule in enumerate(ingress.spec.rules):
            host = rule.host or _ANY
            naming.setdefault(host, []).append(ingress)
            for index, path in enumerate(rule.http.paths if rule.http is not None else ()):
                paths.setdefault(host, []).append(_Path(ingress, path, rule_field(number, index)))
    if any(ingress.spec.default_backend is not None for ingress in served):
        naming.setdefault(_ANY, [])
    return tuple(
        VirtualHost(
            f"{domain}:{port}",
            (domain,),
            (
                *_routes(world, domain, paths),
                *_default(
                    world, [*(each for host in _rules_for(domain, naming) for each in naming[host]), *served]
                ),
            ),
            _origin((naming[domain] or served)[0], "spec"),
        )
        for domain in sorted(naming)
    )


def _rules_for(domain: str, hosts: Iterable[str]) -> list[str]:
    """The hosts of rules that hold for requests of a virtual host, the most specific first."""
    _, dot, rest = domain.partition(".")
    possible = {domain, f"*.{rest}" if dot else domain, _ANY}
    return sorted(possible.intersection(hosts), key=specificity)


def _routes(world: World, domain: str, paths: dict[str, list[_Path]]) -> Iterator[Route]:
    for host in _rules_for(domain, paths):
        condition = (_one_label(host),) if host == domain and host.startswith("*.") else ()
        for path in sorted(paths[host], key=lambda each: each.rank):
            ingress = path.ingress
            action = _action(world, ingress, path.written.backend)
            match = RequestMatch(_path_match(path.written), headers=condition)
            yield Route(_name(ingress, path.field), match, action, _origin(ingress, path.field))


def _default(world: World, candidates: Iterable[Ingress]) -> Iterator[Route]:
    """Where requests go that no rule takes: the first default backend, of those that name the host before
    others."""
    for ingress in candidates:
        if ingress.spec.default_backend is not None:
            field = "spec.defaultBackend"
            action = _action(world, ingress, ingress.spec.default_backend)
            yield Route(_name(ingress, field), RequestMatch(), action, _origin(ingress, field))
            return


def _path_match(written: HTTPIngressPath) -> ValueMatch:
    if written.path_type == "Exact":
        return ValueMatch(MatchKind.EXACT, written.path)
    elements = written.elements
    return ValueMatch(MatchKind.PATH_PREFIX, elements) if elements else ValueMatch(MatchKind.PREFIX, "/")


def _one_label(host: str) -> NamedMatch:
    """A wildcard stands for one label (`IngressRule.host`); Envoy's stands for any number of them."""
    pattern = rf"[^.]+{re.escape(host[1:])}(:[0-9]+)?"
    return NamedMatch(":authority", ValueMatch(MatchKind.REGEX, pattern, ignore_case=True))


def _action(world: World, ingress: Ingress, written: IngressBackend) -> Forward | Respond:
    found = ingress_backend(world, ingress, written)
    if isinstance(found, BackendFault):
        return Respond(503)  # as Istio's ingress gateway does for a cluster that is not there
    return Forward((WeightedCluster(found.cluster),))


def _name(ingress: Ingress, field: str) -> str:
    numbers = re.findall(r"\[(\d+)\]", field) or ["default"]
    return ".".join((ingress.namespace, ingress.name, *numbers))


def _origin(ingress: Ingress, field: str) -> Origin:
    return Origin(ingress.key.kind, ingress.namespace, ingress.name, field)
