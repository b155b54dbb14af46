"""Service (core/v1), EndpointSlice (discovery.k8s.io/v1) and Endpoints (core/v1)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tulle.model.schema import (
    Bool,
    DnsLabel,
    Int,
    IpAddress,
    Model,
    NoEffect,
    NotHonoured,
    Port,
    PortName,
    problem,
)

Transport = Literal["TCP", "UDP", "SCTP"]
_BALANCER = NoEffect("there is no load balancer outside the mesh")
_NO_SCTP = NotHonoured("TCP and UDP are carried", lambda protocol: protocol == "SCTP")


def _or_none(target: Any) -> Any:
    """What clients in Go write for no port at all (Kubernetes' `SetDefaults_Service`)."""
    return None if target in (0, "") else target


class ServicePort(Model):
    name: DnsLabel | None = None
    port: Port
    target_port: Annotated[Port | PortName | None, BeforeValidator(_or_none)] = None
    """A number, or the name of a container's port. None: the port itself."""
    protocol: Annotated[Transport, _NO_SCTP] = "TCP"
    app_protocol: str | None = None
    node_port: Annotated[Int | None, NoEffect("no port of the host is taken")] = None


class ServiceSpec(Model):
    type: Annotated[
        Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"],
        NoEffect(
            "it is reached inside the mesh; a Gateway leads in from outside",
            lambda kind: kind in ("NodePort", "LoadBalancer"),
        ),
    ] = "ClusterIP"
    selector: dict[str, str] | None = None
    """None or empty: its endpoints are written as EndpointSlice or Endpoints."""
    ports: tuple[ServicePort, ...] = ()
    cluster_ip: Annotated[str, Field(alias="clusterIP")] = ""
    """'None': headless. An address outside the mesh's service network is replaced, with a finding."""
    cluster_ips: Annotated[
        tuple[str, ...],
        Field(alias="clusterIPs"),
        NoEffect("clusterIP says it", lambda addresses: addresses != ("None",)),
    ] = ()
    external_name: str = ""
    publish_not_ready_addresses: Bool = False
    external_ips: Annotated[tuple[str, ...], Field(alias="externalIPs"), _BALANCER] = ()
    load_balancer_ip: Annotated[str, Field(alias="loadBalancerIP"), _BALANCER] = ""
    load_balancer_source_ranges: Annotated[tuple[str, ...], _BALANCER] = ()
    load_balancer_class: Annotated[str | None, _BALANCER] = None
    allocate_load_balancer_node_ports: Annotated[Bool | None, _BALANCER] = None
    external_traffic_policy: Annotated[str | None, _BALANCER] = None
    health_check_node_port: Annotated[Int | None, _BALANCER] = None
    internal_traffic_policy: Annotated[
        Literal["Cluster", "Local"] | None, NoEffect("all of this mesh is on one machine")
    ] = None
    traffic_distribution: Annotated[str | None, NoEffect("all of this mesh is on one machine")] = None
    ip_families: Annotated[tuple[str, ...], NoEffect("the mesh speaks IPv4 inside")] = ()
    ip_family_policy: Annotated[str | None, NoEffect("the mesh speaks IPv4 inside")] = None
    session_affinity: Annotated[
        Literal["None", "ClientIP"],
        NotHonoured("the mesh balances request by request", lambda value: value == "ClientIP"),
    ] = "None"
    session_affinity_config: Annotated[Any, NotHonoured("the mesh balances request by request")] = None

    @property
    def headless(self) -> bool:
        return self.cluster_ip == "None" or self.cluster_ips == ("None",)

    @model_validator(mode="after")
    def _fits_its_type(self) -> ServiceSpec:
        if self.type == "ExternalName" and not self.external_name:
            raise problem(
                "missing-field",
                "type ExternalName needs externalName",
                remedy="Write externalName: HOST.",
                field="type",
            )
        if self.type != "ExternalName" and not self.ports and not self.headless:
            raise problem(
                "missing-field", "ports are needed", remedy="Write ports: [{name: http, port: 80}]."
            )
        return self

    @model_validator(mode="after")
    def _ports_are_distinct(self) -> ServiceSpec:
        names: set[str] = set()
        numbers: set[tuple[int, str]] = set()
        for index, port in enumerate(self.ports):
            if len(self.ports) > 1 and port.name is None:
                raise problem(
                    "missing-field",
                    "each of several ports needs a name",
                    remedy="Write name: http (the beginning of the name says the protocol).",
                    field=f"ports[{index}]",
                )
            if port.name is not None and port.name in names:
                raise problem(
                    "duplicate-name",
                    f"two ports are called “{port.name}”",
                    remedy="Give every port its own name.",
                    field=f"ports[{index}].name",
                )
            if (port.port, port.protocol) in numbers:
                raise problem(
                    "duplicate-port",
                    f"port {port.port}/{port.protocol} stands twice",
                    remedy="Remove one, or change its number.",
                    field=f"ports[{index}].port",
                )
            names.add(port.name or "")
            numbers.add((port.port, port.protocol))
        return self


class EndpointConditions(Model):
    ready: Bool | None = None
    serving: Bool | None = None
    terminating: Bool | None = None


class SliceEndpoint(Model):
    addresses: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]
    conditions: EndpointConditions = EndpointConditions()
    """`ready` unset counts as ready (discovery/v1)."""
    hostname: DnsLabel | None = None
    zone: str | None = None
    node_name: str | None = None
    target_ref: Annotated[Any, NoEffect("it says where the address is from")] = None
    hints: Annotated[Any, NoEffect("all of this mesh is on one machine")] = None
    deprecated_topology: Annotated[Any, NoEffect("it was replaced by zone")] = None


class EndpointPort(Model):
    name: str = ""
    port: Port | None = None
    protocol: Annotated[Transport, _NO_SCTP] = "TCP"
    app_protocol: str | None = None


class EndpointSliceSpec(Model):
    """The whole of an EndpointSlice: it has no `spec`. Its Service: the label kubernetes.io/service-name."""

    address_type: Literal["IPv4", "IPv6", "FQDN"]
    endpoints: Annotated[tuple[SliceEndpoint, ...], Field(max_length=1000)] = ()
    """An API server takes a slice that has none yet."""
    ports: Annotated[tuple[EndpointPort, ...], Field(max_length=100)] = ()


class EndpointAddress(Model):
    ip: IpAddress
    hostname: DnsLabel | None = None
    node_name: str | None = None
    target_ref: Annotated[Any, NoEffect("it says where the address is from")] = None


class EndpointSubset(Model):
    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class EndpointsSpec(Model):
    """The whole of an Endpoints: it has no `spec`. Its Service has the same name."""

    subsets: tuple[EndpointSubset, ...] = ()
