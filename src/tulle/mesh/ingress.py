"""The proxies that gateways run as: made because somebody wrote a Gateway, in either language.

Gateway API: one proxy `NAME-istio` for each Gateway of our class, in its namespace. Istio: one for each
selector that no other workload matches, in the root namespace (`istio: ingressgateway` is
`istio-ingressgateway`). Pure; read by `workload.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from tulle.mesh.draft import Draft, GatewayPort, Labels, matches, sorted_labels
from tulle.model import gateway_api, istio
from tulle.model.resource import Resource

CLASS = "tulle"
"""The GatewayClass that exists without being written."""
CONTROLLER = "tulle.dev/gateway-controller"
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
GATEWAY_CLASS = "gateway.networking.k8s.io/gateway-class-name"


def workload_name(gateway: str) -> str:
    """The workload of a Gateway of the Gateway API (Istio's automated deployment names it so)."""
    return f"{gateway}-istio"


def own_proxy(resource: Resource[gateway_api.GatewaySpec]) -> Draft:
    """The proxy of one Gateway of the Gateway API."""
    spec = resource.spec
    labels = dict(spec.infrastructure.labels) if spec.infrastructure is not None else {}
    labels |= {GATEWAY_NAME: resource.name, GATEWAY_CLASS: spec.gateway_class_name}
    name = workload_name(resource.name)
    ports: dict[int, GatewayPort] = {}
    for index, listener in enumerate(spec.listeners):
        field = f"spec.listeners[{index}]"
        ports.setdefault(listener.port, GatewayPort(listener.port, listener.name, listener.protocol, field))
    return Draft(
        namespace=resource.namespace,
        name=name,
        key=resource.key,
        field="",
        labels=sorted_labels(labels),
        service_account=name,
        runs=None,
        gateway_ports=tuple(ports[number] for number in sorted(ports)),
    )


def with_ports_of(draft: Draft, sets: Iterable[Resource[gateway_api.ListenerSetSpec]]) -> Draft:
    """The proxy of a Gateway with the ports that ListenerSets add."""
    ports = {port.number: port for port in draft.gateway_ports}
    for listener in (listener for each in sets for listener in each.spec.listeners):
        ports.setdefault(listener.port, GatewayPort(listener.port, listener.name, listener.protocol))
    return replace(draft, gateway_ports=tuple(ports[number] for number in sorted(ports)))


def implied_proxies(
    gateways: Iterable[Resource[istio.GatewaySpec]], workloads: Iterable[Labels], namespace: str
) -> dict[str, Draft]:
    """The proxies, by name, of the selectors of Istio's Gateways that match none of the workloads.

    Gateways with one selector, or with selectors that mean one name, share a proxy that carries the
    labels of all. An empty selector asks for no proxy of its own.
    """
    known = tuple(workloads)
    drafts: dict[str, Draft] = {}
    for resource in sorted(gateways, key=lambda each: each.key):
        selector = sorted_labels(resource.spec.selector)
        if not selector or any(matches(selector, labels) for labels in known):
            continue
        labels = _labels(resource.spec.selector)
        name = _name(labels)
        if name in drafts and any(labels.get(key, value) != value for key, value in drafts[name].labels):
            name = f"{name}-{hashlib.sha256(repr(selector).encode()).hexdigest()[:6]}"
        draft = drafts.get(name) or Draft(
            namespace=namespace,
            name=name,
            key=resource.key,
            field="spec.selector",
            labels=(),
            service_account=name,
            runs=None,
        )
        drafts[name] = replace(draft, labels=sorted_labels(dict(draft.labels) | labels))
    return {name: replace(draft, gateway_ports=_ports(draft, gateways)) for name, draft in drafts.items()}


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


def _ports(draft: Draft, gateways: Iterable[Resource[istio.GatewaySpec]]) -> tuple[GatewayPort, ...]:
    ports: dict[int, GatewayPort] = {}
    for resource in sorted(gateways, key=lambda each: each.key):
        if not resource.spec.selector or not matches(sorted_labels(resource.spec.selector), draft.labels):
            continue
        for server in resource.spec.servers:
            port = server.port
            ports.setdefault(port.number, GatewayPort(port.number, port.name, port.protocol))
    return tuple(ports[number] for number in sorted(ports))
