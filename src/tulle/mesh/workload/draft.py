"""A workload as one resource declares it, before the mesh gives it an address and an identity.

Made by `expansion.py` and `gateway/deployment.py`; read by `workload.py` and, for what its containers run, by
`assignment.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tulle.model.agentapi import RestartPolicy
from tulle.model.app import AppVersion
from tulle.model.kubernetes import PodSpec
from tulle.model.resource import Key

Labels = tuple[tuple[str, str], ...]
"""Sorted pairs: labels of a workload, or a selector."""

INJECT = "sidecar.istio.io/inject"
TEMPLATES = "inject.istio.io/templates"
HTTP_PROCESSING = "tulle.dev/http-processing"
"""Of a pod template or an App: `both` or `client`, as MeshConfig's `httpProcessing` for its workloads."""
_GRPC_TEMPLATES = frozenset({"grpc-agent", "grpc-simple"})
"""Istio's, for applications whose gRPC library is their xDS client."""


def sorted_labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def matches(selector: Labels, labels: Labels) -> bool:
    """Whether all pairs of a selector are among the labels. An empty selector matches everything."""
    return set(selector) <= set(labels)


@dataclass(frozen=True, slots=True)
class WorkloadPort:
    """A port that a container declares."""

    number: int
    name: str = ""
    udp: bool = False


@dataclass(frozen=True, slots=True)
class GatewayPort:
    """A port that people configured on a gateway; the protocol as written (HTTP, HTTPS, TLS, TCP, ...)."""

    number: int
    name: str
    protocol: str
    field: str = ""

    @property
    def udp(self) -> bool:
        """Whether it is one of UDP's ports, which are others than TCP's."""
        return self.protocol.upper() == "UDP"


@dataclass(frozen=True, slots=True)
class Draft:
    """One workload of a resource."""

    namespace: str
    name: str
    key: Key
    field: str
    """Where the resource declares it."""
    labels: Labels
    service_account: str
    runs: PodSpec | AppVersion | None
    """What its containers run; None: a gateway's own proxy."""
    runs_field: str = ""
    """Where that is written: `spec.template.spec`."""
    annotations: Labels = ()
    ports: tuple[WorkloadPort, ...] = ()
    gateway_ports: tuple[GatewayPort, ...] = ()
    wanted_addresses: tuple[str, ...] = ()
    """What somebody wrote that it shall have one of."""
    locality: str = ""
    """As an App writes it; labels say it otherwise."""
    hostname: str = ""
    subdomain: str = ""
    restart: RestartPolicy = RestartPolicy.ALWAYS
    backoff_limit: int | None = None
    """Of a Job."""
    inject: bool = True
    """False: the workload itself asks for no proxy."""
    proxyless: bool = False
    """In place of an Envoy its own gRPC library is to be configured."""
    external: bool = False
    """Its process is started by somebody else (`tulle run`), inside the namespaces that the agent makes."""

    @property
    def id(self) -> tuple[str, str]:
        return (self.namespace, self.name)

    @property
    def gateway(self) -> bool:
        return self.runs is None


def wants_proxy(labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
    """What the pod says about its sidecar (Istio, "Controlling the injection policy"); the label wins."""
    return labels.get(INJECT, annotations.get(INJECT, "true")).lower() != "false"


def wants_no_envoy(annotations: Mapping[str, str]) -> bool:
    """Whether the pod asks to be configured as a gRPC client in place of getting an Envoy (Istio, "gRPC
    Proxyless Service Mesh")."""
    return any(name.strip() in _GRPC_TEMPLATES for name in annotations.get(TEMPLATES, "").split(","))


def locality(draft: Draft) -> tuple[str, str, str]:
    """Region, zone, sub-zone: as an App writes it, else from `istio-locality`, else from the topology labels.

    Istio reads dots in the label as slashes, since a label's value may have no slash (`GetLocalityLabel`).
    """
    labels = dict(draft.labels)
    text = draft.locality or labels.get("istio-locality", "")
    if text:
        parts = (text if "/" in text else text.replace(".", "/")).split("/", 2)
        region, zone, subzone = (*parts, "", "")[:3]
        return (region, zone, subzone)
    return (
        labels.get("topology.kubernetes.io/region", ""),
        labels.get("topology.kubernetes.io/zone", ""),
        labels.get("topology.istio.io/subzone", ""),
    )
