"""App (tulle.dev/v1): the short form for processes. Ten services fit on one screen.

    apiVersion: tulle.dev/v1
    kind: App
    metadata: {name: shop}
    spec:
      services:
        reviews:
          port: 9080
          versions:
            v1: {command: python reviews.py}
            v2: {command: python reviews.py, env: {STARS: "1"}, replicas: 2}

A service with a port gives a Service of its name and workloads with the label `app: NAME`; without a port,
workloads alone. A version gives workloads called NAME-VERSION with the label `version: VERSION`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tulle.model.label import Labels
from tulle.model.schema import (
    Bool,
    DnsLabel,
    EnvironmentName,
    Int,
    Model,
    Port,
    PortName,
    Replicas,
    WrittenFloat,
    exactly_one,
    problem,
    seconds,
)

GROUP = "tulle.dev"
Protocol = Literal["http", "http2", "grpc", "tls", "tcp", "udp", "detect"]


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        words = shlex.split(value)
    except ValueError:
        raise problem(
            "invalid-command",
            "a quotation mark has no partner",
            remedy="Close it, or write the command as a list.",
        ) from None
    return words


def _not_empty(command: tuple[str, ...]) -> tuple[str, ...]:
    if not command or not command[0]:
        raise problem("invalid-command", "the command is empty", remedy="Write command: PROGRAM ARGUMENTS.")
    return command


Command = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_not_empty)]
"""A string is split like a shell's words, but no shell runs it; a list is taken as it is."""


def _as_text(value: Any) -> Any:
    match value:
        case bool():
            return "true" if value else "false"
        case WrittenFloat():
            return value.text
        case int() | float():
            return str(value)
        case _:
            return value


Environment = dict[EnvironmentName, Annotated[str, BeforeValidator(_as_text)]]


_DURATION = re.compile(r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+")


def _as_seconds(value: Any) -> Any:
    if isinstance(value, str):
        if not _DURATION.fullmatch(value):
            raise problem(
                "invalid-duration",
                f"“{value}” is not a duration",
                remedy="Write seconds as a number, or a duration such as 500ms or 2s.",
            )
        return seconds(value)
    return value


Seconds = Annotated[float, BeforeValidator(_as_seconds), Field(gt=0, le=86400, strict=True)]
"""Written as a number of seconds or as a duration (500ms, 2s)."""


def _check_locality(value: str) -> str:
    if not re.fullmatch(r"[^/\s]+(/[^/\s]+){0,2}", value):
        raise problem(
            "invalid-locality",
            f"“{value}” is not a locality",
            remedy="Write REGION, REGION/ZONE or REGION/ZONE/SUBZONE.",
        )
    return value


Locality = Annotated[str, AfterValidator(_check_locality)]


class AppPort(Model):
    port: Port
    name: PortName | Literal[""] = ""
    target_port: Port | None = None
    """None: the port itself."""
    protocol: Protocol | None = None
    """None: told by the name, else detected."""


class Readiness(Model):
    """When a workload takes requests: exactly one of http, tcp, grpc, exec."""

    http: Annotated[str, Field(pattern=r"^/\S*$")] | None = None
    """The path of a GET request."""
    tcp: Port | None = None
    grpc: Port | None = None
    exec: Command | None = None
    port: Port | None = None
    """Of the GET request. None: the service's first port."""
    service: str = ""
    """Of grpc: the name that the health service is asked for."""
    period: Seconds = 1.0
    timeout: Seconds = 1.0
    initial_delay: Annotated[float, BeforeValidator(_as_seconds), Field(ge=0, strict=True)] = 0.0
    success_threshold: Annotated[Int, Field(ge=1)] = 1
    failure_threshold: Annotated[Int, Field(ge=1)] = 3

    @model_validator(mode="after")
    def _one(self) -> Readiness:
        exactly_one(self, "http", "tcp", "grpc", "exec")
        if self.port is not None and self.http is None:
            raise problem(
                "exclusive-fields",
                "port belongs to http",
                remedy="Write the port as the value of tcp or grpc.",
                field="port",
            )
        return self


class AppVersion(Model):
    """What a version may have for its own; what it leaves out is the service's."""

    command: Command | None = None
    env: Environment = {}
    workdir: str | None = None
    """Relative to the file's folder."""
    labels: Labels = {}
    service_account: DnsLabel | None = None
    locality: Locality | None = None
    readiness: Readiness | None = None
    replicas: Replicas | None = None
    proxy: Literal["sidecar", "grpc", "none"] | None = None
    """None: sidecar, an Envoy. grpc: its gRPC library reads its configuration itself (`xds:///NAME:PORT`)."""
    external: Bool = False
    """The process is not started by the agent but by `tulle run`, inside the workload's namespaces."""


class AppService(AppVersion):
    port: Port | None = None
    protocol: Protocol | None = None
    """Of the one `port`. None: detected."""
    ports: tuple[AppPort, ...] = ()
    versions: dict[DnsLabel, AppVersion] = {}

    def service_ports(self) -> tuple[AppPort, ...]:
        """The ports, whichever way they are written; empty for a workload without a Service."""
        if self.port is not None:
            return (AppPort(port=self.port, protocol=self.protocol),)
        return self.ports

    def variants(self) -> Mapping[str, AppVersion]:
        """Version -> all that holds for it; '' if there are no versions.

        `env` and `labels` are merged key by key, everything else is replaced.
        """
        if not self.versions:
            return {"": AppVersion(**{name: getattr(self, name) for name in AppVersion.model_fields})}
        return {version: self._variant(version, own) for version, own in self.versions.items()}

    def _variant(self, version: str, own: AppVersion) -> AppVersion:
        fields = {name: getattr(self, name) for name in AppVersion.model_fields}
        fields |= {name: getattr(own, name) for name in own.model_fields_set}
        fields["env"] = {**self.env, **own.env}
        fields["labels"] = {"version": version, **self.labels, **own.labels}
        return AppVersion(**fields)

    @model_validator(mode="after")
    def _ports_fit(self) -> AppService:
        if self.port is not None and self.ports:
            exactly_one(self, "port", "ports")
        if self.protocol is not None and self.port is None:
            raise problem(
                "exclusive-fields",
                "protocol belongs to port",
                remedy="Write the protocol into each of ports.",
                field="protocol",
            )
        for index, port in enumerate(self.ports):
            before = self.ports[:index]
            if len(self.ports) > 1 and not port.name:
                raise problem(
                    "missing-field",
                    "each of several ports needs a name",
                    remedy="Write name: http, name: metrics, ...",
                    field=f"ports[{index}]",
                )
            udp = port.protocol == "udp"
            if any(each.port == port.port and (each.protocol == "udp") == udp for each in before):
                raise problem(
                    "duplicate-port",
                    f"port {port.port} stands twice",
                    remedy="Remove one, or change its number.",
                    field=f"ports[{index}].port",
                )
            if port.name and any(each.name == port.name for each in before):
                raise problem(
                    "duplicate-name",
                    f"two ports are called “{port.name}”",
                    remedy="Give every port its own name.",
                    field=f"ports[{index}].name",
                )
        return self

    @model_validator(mode="after")
    def _runs(self) -> AppService:
        for version, own in self.versions.items():
            if own.command is None and self.command is None and not (own.external or self.external):
                raise problem(
                    "missing-field",
                    "there is no command",
                    remedy="Write command: here or for the service.",
                    field=f"versions.{version}",
                )
        if not self.versions and self.command is None and not self.external:
            raise problem("missing-field", "there is no command", remedy="Write command: PROGRAM ARGUMENTS.")
        return self


class AppSpec(Model):
    services: Annotated[dict[DnsLabel, AppService], Field(min_length=1)]

    @model_validator(mode="after")
    def _workloads_are_distinct(self) -> AppSpec:
        made = {name: name for name, service in self.services.items() if not service.versions}
        for name, service in self.services.items():
            for version in service.versions:
                workload = f"{name}-{version}"
                if workload in made:
                    raise problem(
                        "duplicate-name",
                        f"two workloads are called “{workload}”: the service and this version",
                        remedy="Rename the version or the service.",
                        field=f"services.{name}.versions.{version}",
                    )
                made[workload] = name
        return self
