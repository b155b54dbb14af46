"""ServiceEntry (networking.istio.io), field by field as in service_entry.proto and workload_entry.proto."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tulle.model.istio.shared import ExportTo
from tulle.model.schema import DnsLabel, Int, Labels, Model, Port


class ServicePort(Model):
    number: Port
    protocol: str = ""
    name: str
    target_port: Port | None = None


class WorkloadEntrySpec(Model):
    address: str = ""
    ports: dict[str, Port] = {}
    labels: Labels = {}
    network: str = ""
    locality: str = ""
    weight: Annotated[Int, Field(ge=0)] = 0
    service_account: DnsLabel | None = None


class ServiceEntrySelector(Model):
    labels: Labels = {}


class ServiceEntrySpec(Model):
    hosts: Annotated[tuple[str, ...], Field(min_length=1, max_length=256)]
    addresses: Annotated[tuple[str, ...], Field(max_length=256)] = ()
    ports: tuple[ServicePort, ...] = ()
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    resolution: Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"] = "NONE"
    endpoints: Annotated[tuple[WorkloadEntrySpec, ...], Field(max_length=4096)] = ()
    workload_selector: ServiceEntrySelector | None = None
    export_to: ExportTo = ()
    subject_alt_names: tuple[str, ...] = ()
