"""WorkloadEntry and WorkloadGroup (networking.istio.io), as in workload_entry.proto and workload_group.proto.

Refused is what Istio's CRDs and its validation (pkg/config/validation: validateWorkloadEntry) refuse.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from tulle.model.istio.host import is_address, is_full_name
from tulle.model.istio.labels import WrittenLabels
from tulle.model.schema import Int, Model, NoEffect, NotHonoured, Port, exactly_one, problem

_UNIX = "unix://"
_NAME = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")


def _is_socket(address: Any) -> bool:
    return str(address).startswith(_UNIX)


def _check_address(value: str) -> str:
    if _is_socket(value):
        if value[7:8] not in ("/", "@") or value.endswith("/"):
            raise problem(
                "invalid-address",
                f"“{value}” is not the address of a socket",
                remedy="Write unix:///absolute/path.",
            )
    elif value and not is_address(value) and not is_full_name(value):
        raise problem(
            "invalid-address",
            f"“{value}” is neither an address nor a DNS name",
            remedy="Write an IP address, or a full name without a wildcard.",
        )
    return value


def _check_port_name(value: str) -> str:
    if len(value) > 63 or not _NAME.fullmatch(value):
        raise problem(
            "invalid-port-name", f"“{value}” is not the name of a port", remedy="Use letters, digits and “-”."
        )
    return value


PortLabel = Annotated[str, AfterValidator(_check_port_name)]
"""A port's name (`ValidatePortName`: letters of either case)."""


def _check_ports(value: dict[str, int]) -> dict[str, int]:
    for name in value:
        _check_port_name(name)
        if len(name) == 63:  # the CRD's rule is narrower by one
            raise problem("invalid-port-name", f"“{name}” is too long", remedy="Use 62 letters at most.")
    return value


class WorkloadTemplate(Model):
    """The same as a WorkloadGroup has it, whose workloads bring address and labels: neither is looked at
    (`ValidateWorkloadGroup`)."""

    address: Annotated[str, Field(max_length=256)] = ""
    ports: Annotated[dict[str, Port], Field(max_length=128), AfterValidator(_check_ports)] = {}
    labels: Annotated[dict[str, str], Field(max_length=256)] = {}
    network: Annotated[
        str,
        Field(max_length=2048),
        NoEffect("there is one network: every address is reached directly, and without one nothing is"),
    ] = ""
    locality: Annotated[str, Field(max_length=2048)] = ""
    """region/zone/sub-zone"""
    weight: Annotated[Int, Field(ge=0, le=2**32 - 1)] = 0
    """0: 1"""
    service_account: Annotated[str, Field(max_length=253)] = ""

    @model_validator(mode="after")
    def _ports_are_of_addresses(self) -> WorkloadTemplate:
        if _is_socket(self.address) and self.ports:
            raise problem("exclusive-fields", "a socket has no ports", remedy="Remove ports.", field="ports")
        return self


class WorkloadEntrySpec(WorkloadTemplate):
    address: Annotated[
        str,
        Field(max_length=256),
        AfterValidator(_check_address),
        NotHonoured("a workload's proxy does not see the sockets of its host", _is_socket),
    ] = ""
    labels: Annotated[WrittenLabels, Field(max_length=256)] = {}

    @model_validator(mode="after")
    def _fits(self) -> WorkloadEntrySpec:
        if not self.address and not self.network:
            raise problem("missing-field", "address is needed", remedy="Write address.", field="address")
        return self


_Seconds = Annotated[Int, Field(ge=0, le=2**31 - 1)]


class GroupMetadata(Model):
    labels: Annotated[WrittenLabels, Field(max_length=256)] = {}
    annotations: Annotated[dict[str, str], Field(max_length=256)] = {}


class HTTPHeader(Model):
    name: Annotated[str, Field(pattern=r"^[-_A-Za-z0-9]+$")]
    value: str = ""


class HTTPHealthCheck(Model):
    path: str = ""
    port: Port
    host: str = ""
    scheme: Literal["", "HTTP", "HTTPS"] = ""
    http_headers: tuple[HTTPHeader, ...] = ()


class TCPHealthCheck(Model):
    host: str = ""
    port: Port


class ExecHealthCheck(Model):
    command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]


class GrpcHealthCheck(Model):
    port: Port | None = None
    service: str = ""


class ReadinessProbe(Model):
    initial_delay_seconds: _Seconds = 0
    timeout_seconds: _Seconds = 0
    period_seconds: _Seconds = 0
    success_threshold: _Seconds = 0
    failure_threshold: _Seconds = 0
    http_get: HTTPHealthCheck | None = None
    tcp_socket: TCPHealthCheck | None = None
    exec: ExecHealthCheck | None = None
    grpc: GrpcHealthCheck | None = None

    @model_validator(mode="after")
    def _one(self) -> ReadinessProbe:
        exactly_one(self, "http_get", "tcp_socket", "exec", "grpc")
        return self


class WorkloadGroupSpec(Model):
    metadata: GroupMetadata | None = None
    template: WorkloadTemplate
    probe: ReadinessProbe | None = None
