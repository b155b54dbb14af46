"""`tulle status`: what was declared, what agents reported and what proxies acknowledged, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from tulle.ads.server import Server
from tulle.ads.status import NodeStatus
from tulle.api.contract import (
    Because,
    GatewayStatus,
    ListenerStatus,
    PortReason,
    PortStatus,
    ProxyStatus,
    WorkloadStatus,
)
from tulle.app.because import because
from tulle.app.pipeline import Pipeline, proxy_node
from tulle.app.relay import Target
from tulle.mesh.gateway.deployment import ingress_ports
from tulle.mesh.gateway.gateway import gateways_of
from tulle.mesh.gateway.ingress_class import ingresses
from tulle.mesh.gateway.listener_set import attached_sets
from tulle.mesh.resolve import Resolution
from tulle.mesh.route.attachment import GATEWAY
from tulle.mesh.view import InboundPort
from tulle.mesh.workload.workload import Workload
from tulle.mesh.world import World
from tulle.model.agentapi import Instance, Phase
from tulle.model.resource import Key


class Overview:
    """Puts the three sources together. Reads only."""

    def __init__(self, world: World, resolution: Resolution, pipeline: Pipeline, server: Server) -> None:
        self._world = world
        self._resolution = resolution
        self._pipeline = pipeline
        self._server = server

    def workloads(self) -> tuple[WorkloadStatus, ...]:
        """All declared workloads, sorted by namespace and name."""
        return tuple(self._workload(each) for each in self._world.workloads())

    def gateways(self, local_ports: Mapping[Target, int]) -> tuple[GatewayStatus, ...]:
        """All gateways with their listeners; `local_ports`: where this machine reaches them."""
        reached = {
            (each.namespace, each.gateway, each.port, each.udp): port for each, port in local_ports.items()
        }
        return tuple(self._gateway(workload, reached) for workload in self._world.gateways())

    def _gateway(
        self, workload: Workload, reached: Mapping[tuple[str, str, int, bool], int]
    ) -> GatewayStatus:
        """One proxy. A Gateway of the Gateway API has its own; Istio's share that of their selector."""
        listeners = [
            ListenerStatus(
                name=name,
                port=number,
                protocol=protocol,
                local=f"127.0.0.1:{port}"
                if (port := reached.get((*workload.id, number, protocol.upper() == "UDP")))
                else "",
            )
            for name, number, protocol in dict.fromkeys(self._written_listeners(workload))
        ]
        own = (workload.key.group, workload.key.kind) == GATEWAY
        return GatewayStatus(
            name=workload.key.name if own else workload.name,
            namespace=workload.namespace,
            workload=workload.name,
            addresses=workload.addresses,
            listeners=tuple(listeners),
        )

    def _written_listeners(self, workload: Workload) -> Iterator[tuple[str, int, str]]:
        """(name, port, protocol) of everything that people asked this proxy to listen on."""
        own = self._world.resource(workload.key)
        if own is not None and (workload.key.group, workload.key.kind) == GATEWAY:
            yield from ((each.name, each.port, each.protocol) for each in own.spec.listeners)
            for listeners in attached_sets(self._world.declaration, own):
                yield from ((each.name, each.port, each.protocol) for each in listeners.spec.listeners)
        for gateway in gateways_of(self._world, workload):
            for server in gateway.spec.servers:
                yield server.port.name, server.port.number, server.port.protocol
        ports = ingress_ports(ingresses(self._world.declaration), workload.labels)
        yield from ((each.name, each.number, each.protocol) for each in ports)

    def refused(self, status: NodeStatus) -> tuple[str, Because | None]:
        """What a proxy refuses in its own words, and the line that caused it."""
        for words, causes in self._refused(status):
            return words, causes[0] if causes else None
        return "", None

    def _refused(self, status: NodeStatus) -> Iterator[tuple[str, list[Because]]]:
        """Each refusal, with the lines that may have caused it, the likeliest first."""
        for type_url, words, names in status.errors:
            origins = [each for name in names for each in self._pipeline.origins(status.node, type_url, name)]
            written = dict.fromkeys(each for each in origins if each.name)
            yield words, [because(self._world, each) for each in written]

    def refusals(self) -> dict[tuple[str, str, str], list[str]]:
        """(kind, namespace, name) of each resource that a proxy refuses, with who refuses it and how."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for node in sorted(self._pipeline.proxies() & self._server.connected()):
            status = self._server.status(node)
            for words, causes in self._refused(status) if status.state == "rejected" else ():
                for at in dict.fromkeys((each.kind, each.namespace, each.name) for each in causes):
                    found.setdefault(at, []).append(f"the proxy of {node} refused: {words}")
        return found

    def _workload(self, workload: Workload) -> WorkloadStatus:
        instance = self._world.instances.get(workload.id)
        services = [service.name for service in self._world.services_of(workload.id)]
        there = self._resolution.inbound(workload.id)
        return WorkloadStatus(
            name=workload.name,
            namespace=workload.namespace,
            address=workload.address,
            ready=instance is not None and instance.ready,
            identity=workload.identity,
            proxy=self._proxy(workload, instance),
            phase=str(instance.phase) if instance else str(Phase.PENDING),
            message=self._message(workload, instance),
            restarts=instance.restarts if instance else 0,
            node=self._world.host_of(workload.id) or "",
            labels=dict(workload.labels),
            annotations=dict(workload.annotations),
            owner=_owner(workload.key),
            services=tuple(services),
            gateway=workload.gateway,
            proxyless=workload.proxyless,
            ports=tuple(self._port(each) for each in (there.ports if there is not None else ())),
        )

    def _port(self, port: InboundPort) -> PortStatus:
        depth = port.depth
        if depth is None:
            return PortStatus(port=port.port, protocol=port.protocol)
        return PortStatus(
            port=port.port,
            protocol=port.protocol,
            http_processing="client" if depth.shallow else "both",
            reasons=tuple(
                PortReason(text=each.text, because=because(self._world, each.origin))
                for each in depth.reasons
            ),
        )

    def _message(self, workload: Workload, instance: Instance | None) -> str:
        if instance is not None:
            return instance.message
        for problem in self._world.problems():
            if problem.key == workload.key and problem.severity == "error":
                return problem.message
        return "its host has not reported it yet"

    def _proxy(self, workload: Workload, instance: Instance | None) -> ProxyStatus:
        if not (workload.proxy or workload.proxyless) or _ended(instance):
            return ProxyStatus(state="none")
        status = self._server.status(proxy_node(workload.id))
        if not workload.proxyless and instance is not None and not instance.proxy_connected:
            # Its agent acknowledges in its place.
            return ProxyStatus(state="disconnected", certificate_expires=moment(instance.certificate_expires))
        words, because = self.refused(status)
        return ProxyStatus(
            state=status.state,
            since=moment(status.since),
            certificate_expires=moment(instance.certificate_expires) if instance else None,
            error=words,
            because=because,
        )


def _ended(instance: Instance | None) -> bool:
    """It ran to its end, and its proxy ended with it."""
    return instance is not None and instance.phase in (Phase.SUCCEEDED, Phase.FAILED)


def _owner(key: Key) -> str:
    return f"{key.kind}/{key.name}"


def moment(seconds: float) -> str | None:
    """RFC 3339 in UTC; None for 0."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None
