"""The View of one proxy, put together."""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.view.gateway import Gateway
from tulle.mesh.view.listener import Inbound, Outbound
from tulle.mesh.view.proxyless import Proxyless


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """One workload behind a proxy. A sidecar's has outbound and inbound, a gateway's has a gateway; one whose
    gRPC library is its xDS client has proxyless."""

    namespace: str
    name: str
    outbound: Outbound | None = None
    inbound: Inbound | None = None
    gateway: Gateway | None = None
    proxyless: Proxyless | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Everything for one proxy. More than one workload: a shared host proxy."""

    proxy: str
    """namespace/name"""
    workloads: tuple[WorkloadView, ...]
