"""The proxies that gateways run as: made because somebody wrote a Gateway, in either language.

Gateway API: one proxy `NAME-istio` for each Gateway of our class, in its namespace. Istio: one for each
selector that no other workload matches, in the root namespace (`istio: ingressgateway` is
`istio-ingressgateway`, which serves Ingresses too). Pure; read by `workload/workload.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tulle.mesh.workload.draft import Draft, GatewayPort, Labels, matches, sorted_labels
from tulle.model import gateway_api, istio, kubernetes
from tulle.model.resource import Key, Metadata, Resource

CLASSES = ("tulle", "istio")
"""The GatewayClasses that exist without being written: ours, and the one that Istio's documentation names in
every Gateway (a written class of that name decides instead, whoever's it is)."""
CONTROLLER = "tulle.dev/gateway-controller"
ADDRESS = "IPAddress"
"""The type of address that a gateway can have (`GatewaySpecAddress`)."""


def _implied(name: str) -> Resource[gateway_api.GatewayClassSpec]:
    return Resource(
        Key(gateway_api.GROUP, "GatewayClass", "", name),
        f"{gateway_api.GROUP}/v1",
        Metadata(name=name, generation=1),
        gateway_api.GatewayClassSpec(controller_name=CONTROLLER),
        {
            "apiVersion": f"{gateway_api.GROUP}/v1",
            "kind": "GatewayClass",
            "metadata": {"name": name, "generation": 1},
            "spec": {"controllerName": CONTROLLER},
        },
        {},
    )


IMPLIED_CLASSES = {each.key: each for each in map(_implied, CLASSES)}
"""Those classes, where nobody has written one of that name."""
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
INGRESS_LABELS: Labels = (("istio", "ingressgateway"),)
"""Of the proxies that serve Ingresses: Istio's ingress gateway, as it does there (MeshConfig,
`ingressSelector`)."""
GATEWAY_CLASS = "gateway.networking.k8s.io/gateway-class-name"


def workload_name(gateway: str) -> str:
    """The workload of a Gateway of the Gateway API (Istio's automated deployment names it so)."""
    return f"{gateway}-istio"


def unknown_parameters(
    ref: gateway_api.LocalObjectReference | gateway_api.ParametersReference | None,
) -> str:
    """Why the parameters that a GatewayClass or a Gateway refers to are not known; "" if it has none.

    There is no kind of parameters, and what refers to a kind that is not supported is not accepted, with the
    reason InvalidParameters (`GatewayClassSpec.parametersRef`, `GatewayInfrastructure.parametersRef`).
    """
    return f"{ref.kind} ({ref.group or 'core'}) is not a kind of parameters that is known" if ref else ""


def own_proxy(resource: Resource[gateway_api.GatewaySpec]) -> Draft | None:
    """The proxy of one Gateway of the Gateway API; None where its parameters are not known."""
    spec = resource.spec
    infrastructure = spec.infrastructure or gateway_api.GatewayInfrastructure()
    if unknown_parameters(infrastructure.parameters_ref):
        return None
    labels = dict(infrastructure.labels)
    labels |= {GATEWAY_NAME: resource.name, GATEWAY_CLASS: spec.gateway_class_name}
    name = workload_name(resource.name)
    ports = (
        GatewayPort(listener.port, listener.name, listener.protocol, f"spec.listeners[{index}]")
        for index, listener in enumerate(spec.listeners)
    )
    return Draft(
        namespace=resource.namespace,
        name=name,
        key=resource.key,
        field="",
        labels=sorted_labels(labels),
        annotations=sorted_labels(infrastructure.annotations),
        service_account=name,
        runs=None,
        gateway_ports=_distinct(ports),
        wanted_addresses=tuple(each.value for each in spec.addresses if each.type == ADDRESS and each.value),
    )


def unsupported_addresses(spec: gateway_api.GatewaySpec) -> tuple[int, ...]:
    """Which of a Gateway's addresses are of a type that no proxy can have: then it is not accepted
    (`GatewayReasonUnsupportedAddress`)."""
    return tuple(index for index, each in enumerate(spec.addresses) if each.type != ADDRESS)


def missed_addresses(spec: gateway_api.GatewaySpec, addresses: Iterable[str]) -> tuple[int, ...]:
    """Which of a Gateway's addresses its proxy does not have (`GatewayReasonAddressNotUsable`)."""
    known = set(addresses)
    return tuple(
        index
        for index, each in enumerate(spec.addresses)
        if each.type == ADDRESS and each.value and each.value not in known
    )


def with_ports_of(draft: Draft, sets: Iterable[Resource[gateway_api.ListenerSetSpec]]) -> Draft:
    """The proxy of a Gateway with the ports that ListenerSets add."""
    more = (
        GatewayPort(listener.port, listener.name, listener.protocol)
        for each in sets
        for listener in each.spec.listeners
    )
    return replace(draft, gateway_ports=_distinct((*draft.gateway_ports, *more)))


def _distinct(ports: Iterable[GatewayPort]) -> tuple[GatewayPort, ...]:
    """Each port once, as the first says it, sorted."""
    first: dict[tuple[int, bool], GatewayPort] = {}
    for port in ports:
        first.setdefault((port.number, port.udp), port)
    return tuple(first[at] for at in sorted(first))


def implied_proxies(
    gateways: Iterable[Resource[istio.GatewaySpec]],
    ingresses: Sequence[Resource[kubernetes.IngressSpec]],
    workloads: Iterable[Labels],
    namespace: str,
) -> dict[str, Draft]:
    """The proxies, by name, of the selectors of Istio's Gateways that match none of the workloads, and the
    one that serves Ingresses.

    Gateways with one selector, or with selectors that mean one name, share a proxy that carries the
    labels of all. An empty selector asks for no proxy of its own.
    """
    known = tuple(workloads)
    drafts: dict[str, Draft] = {}
    asking = [
        (resource.key, "spec.selector", sorted_labels(resource.spec.selector))
        for resource in sorted(gateways, key=lambda each: each.key)
    ]
    asking += [(resource.key, "spec", INGRESS_LABELS) for resource in ingresses[:1]]
    for key, field, selector in asking:
        if not selector or any(matches(selector, labels) for labels in known):
            continue
        labels = _labels(dict(selector))
        name = _name(labels)
        if name in drafts and any(labels.get(key, value) != value for key, value in drafts[name].labels):
            name = f"{name}-{hashlib.sha256(repr(selector).encode()).hexdigest()[:6]}"
        draft = drafts.get(name) or Draft(
            namespace=namespace,
            name=name,
            key=key,
            field=field,
            labels=(),
            service_account=name,
            runs=None,
        )
        drafts[name] = replace(draft, labels=sorted_labels(dict(draft.labels) | labels))
    return {
        name: replace(draft, gateway_ports=_ports(draft, gateways, ingresses))
        for name, draft in drafts.items()
    }


def _labels(selector: Mapping[str, str]) -> dict[str, str]:
    """A selector, and the labels that Istio's own gateways carry with it."""
    labels = dict(selector)
    role = labels.get("istio") or labels.get("app", "").removeprefix("istio-")
    if role in ("ingressgateway", "egressgateway"):
        labels = {"istio": role, "app": f"istio-{role}"} | labels
    return labels


def _name(labels: Mapping[str, str]) -> str:
    name = labels.get("app") or labels.get("istio") or next(labels[key] for key in sorted(labels))
    return (
        "".join(each if each.isalnum() or each == "-" else "-" for each in name.lower()).strip("-")
        or "gateway"
    )


def _ports(
    draft: Draft,
    gateways: Iterable[Resource[istio.GatewaySpec]],
    ingresses: Iterable[Resource[kubernetes.IngressSpec]],
) -> tuple[GatewayPort, ...]:
    written = [
        GatewayPort(server.port.number, server.port.name, server.port.protocol)
        for resource in sorted(gateways, key=lambda each: each.key)
        if resource.spec.selector and matches(sorted_labels(resource.spec.selector), draft.labels)
        for server in resource.spec.servers
    ]
    return _distinct((*written, *ingress_ports(ingresses, draft.labels)))


def ingress_ports(
    ingresses: Iterable[Resource[kubernetes.IngressSpec]], labels: Labels
) -> tuple[GatewayPort, ...]:
    """The ports at which a proxy with these labels serves Ingresses."""
    specs = [each.spec for each in ingresses] if matches(INGRESS_LABELS, labels) else []
    found = [GatewayPort(80, "http", "HTTP")] if specs else []
    if any(tls.secret_name for spec in specs for tls in spec.tls):
        found.append(GatewayPort(443, "https", "HTTPS"))
    return tuple(found)
