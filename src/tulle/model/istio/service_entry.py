"""ServiceEntry (networking.istio.io), field by field as in service_entry.proto.

Refused is what Istio's CRD and its validation (pkg/config/validation: ValidateServiceEntry) refuse.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tulle.model.istio.host import DestinationHost, Subnet, has_partial_wildcard, is_address, is_full_name
from tulle.model.istio.labels import SelectedLabels
from tulle.model.istio.shared import ServiceNamespaces, check_protocol
from tulle.model.istio.workload_entry import PortLabel, WorkloadEntrySpec
from tulle.model.remark import Remark
from tulle.model.schema import Model, Port, problem

Resolution = Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]
_BY_NAME = ("DNS", "DNS_ROUND_ROBIN")
_NAMED_PROTOCOLS = frozenset({"http", "http2", "http_proxy", "grpc", "grpc-web", "https", "tls"})
"""Those that tell hosts apart: by Host header or by SNI."""
_DYNAMIC_PROTOCOLS = frozenset({"http", "http2", "grpc", "tls"})


class ServicePort(Model):
    number: Port
    protocol: Annotated[
        str, Field(max_length=256), AfterValidator(lambda text: check_protocol(text) if text else text)
    ] = ""
    """"": detected"""
    name: PortLabel
    target_port: Port | None = None


class ServiceEntrySelector(Model):
    labels: Annotated[SelectedLabels, Field(max_length=256)] = {}


class ServiceEntrySpec(Model):
    hosts: Annotated[tuple[DestinationHost, ...], Field(min_length=1, max_length=256)]
    addresses: Annotated[tuple[Annotated[Subnet, Field(max_length=64)], ...], Field(max_length=256)] = ()
    ports: Annotated[tuple[ServicePort, ...], Field(max_length=256)] = ()
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    resolution: Resolution = "NONE"
    endpoints: Annotated[tuple[WorkloadEntrySpec, ...], Field(max_length=4096)] = ()
    workload_selector: ServiceEntrySelector | None = None
    export_to: ServiceNamespaces = ()
    subject_alt_names: tuple[str, ...] = ()

    def remarks(self) -> Iterator[Remark]:
        if self.workload_selector is not None:
            if not self.workload_selector.labels:
                message = "a selector without labels selects all workloads of the namespace"
                yield Remark("workloadSelector", "selects-everything", message, "Write labels.")
            if self.resolution == "NONE":
                message = "resolution NONE goes where it was dialled, and selects nothing"
                yield Remark("workloadSelector", "no-effect", message, "Write resolution: STATIC.")
        for index, host in enumerate(self.hosts):
            if has_partial_wildcard(host) and self.resolution != "DYNAMIC_DNS":
                message = f"“{host}” has a wildcard for a part of a label"
                yield Remark(f"hosts[{index}]", "invalid-hostname", message, "Write “*.” and a name.")

    @model_validator(mode="after")
    def _fits(self) -> ServiceEntrySpec:
        self._check_selection()
        self._check_ports()
        self._check_addresses()
        self._check_endpoints()
        self._check_hosts()
        return self

    def _check_selection(self) -> None:
        if self.workload_selector is None:
            return
        if self.endpoints:
            raise problem(
                "exclusive-fields",
                "workloadSelector and endpoints exclude each other",
                remedy="Write one of them.",
                field="endpoints",
            )

    def _check_ports(self) -> None:
        for index, port in enumerate(self.ports):
            before = self.ports[:index]
            for name, what in (("number", "number"), ("name", "name")):
                if getattr(port, name) in [getattr(each, name) for each in before]:
                    raise problem(
                        "duplicate-name",
                        f"two ports have the {what} {getattr(port, name)}",
                        remedy="Write each port once, with a name of its own.",
                        field=f"ports[{index}].{name}",
                    )
            spoken = port.protocol.lower()
            if self.resolution == "DYNAMIC_DNS" and spoken not in _DYNAMIC_PROTOCOLS:
                raise problem(
                    "invalid-value",
                    "DYNAMIC_DNS reads the name from each call: HTTP, HTTP2, GRPC and TLS have one",
                    remedy="Write one of these protocols.",
                    field=f"ports[{index}].protocol",
                )
            if self.resolution != "NONE" and len(self.hosts) > 1 and spoken not in _NAMED_PROTOCOLS:
                raise problem(
                    "exclusive-fields",
                    "several hosts cannot be told apart at a port that speaks neither HTTP nor TLS",
                    remedy="Write one ServiceEntry for each host.",
                    field=f"ports[{index}].protocol",
                )

    def _check_addresses(self) -> None:
        for index, address in enumerate(self.addresses):
            if "/" in address and self.resolution not in ("NONE", "STATIC"):
                raise problem(
                    "exclusive-fields",
                    f"a range of addresses does not go with resolution {self.resolution}",
                    remedy="Write single addresses, or resolution: NONE or STATIC.",
                    field=f"addresses[{index}]",
                )
        if self.resolution == "DYNAMIC_DNS" and self.addresses:
            raise problem(
                "exclusive-fields",
                "DYNAMIC_DNS finds addresses by name",
                remedy="Remove addresses.",
                field="addresses",
            )

    def _check_endpoints(self) -> None:
        if self.endpoints and self.resolution in ("NONE", "DYNAMIC_DNS"):
            raise problem(
                "exclusive-fields",
                f"resolution {self.resolution} has no endpoints",
                remedy="Write resolution: STATIC or DNS, or remove endpoints.",
                field="endpoints",
            )
        if self.resolution == "DNS_ROUND_ROBIN" and len(self.endpoints) > 1:
            raise problem(
                "exclusive-fields",
                "DNS_ROUND_ROBIN has one endpoint at most",
                remedy="Write one endpoint, or resolution: DNS.",
                field="endpoints",
            )
        names = {port.name for port in self.ports}
        for index, endpoint in enumerate(self.endpoints):
            for name in endpoint.ports:
                if name not in names:
                    raise problem(
                        "unknown-port",
                        f"no port of this ServiceEntry is called “{name}”",
                        remedy="Write the name of one of its ports.",
                        field=f"endpoints[{index}].ports.{name}",
                    )
            socket = endpoint.address.startswith("unix://")
            if (
                self.resolution == "STATIC"
                and endpoint.address
                and not socket
                and not is_address(endpoint.address)
            ):
                raise problem(
                    "invalid-address",
                    f"“{endpoint.address}” is no IP address",
                    remedy="Write an IP address, or resolution: DNS.",
                    field=f"endpoints[{index}].address",
                )
            if self.resolution in _BY_NAME and (socket or not endpoint.address):
                raise problem(
                    "invalid-address",
                    "DNS needs a name or an IP address",
                    remedy="Write address: a full name.",
                    field=f"endpoints[{index}].address",
                )

    def _check_hosts(self) -> None:
        by_server_name = any(port.protocol.lower() in ("https", "tls") for port in self.ports)
        for index, host in enumerate(self.hosts):
            if by_server_name and has_partial_wildcard(host):
                raise problem(
                    "not-honoured",
                    "a wildcard for a part of a label does not tell TLS server names apart",
                    remedy="Write “*.” and a name, or ports that speak HTTP alone.",
                    field=f"hosts[{index}]",
                )
            if self.resolution == "DYNAMIC_DNS" and not host.startswith("*"):
                raise problem(
                    "invalid-hostname",
                    "DYNAMIC_DNS is for hosts with a wildcard",
                    remedy="Write “*.” and a name, or resolution: DNS.",
                    field=f"hosts[{index}]",
                )
            if self.resolution in _BY_NAME and not self.endpoints and not is_full_name(host):
                raise problem(
                    "invalid-hostname",
                    f"“{host}” is no name that can be resolved",
                    remedy="Write endpoints, or resolution: NONE or DYNAMIC_DNS.",
                    field=f"hosts[{index}]",
                )
