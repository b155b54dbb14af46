"""What the kinds of the Gateway API share: references and names (apis/v1/shared_types.go, v1.6)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tulle.model.schema import DnsLabel, DnsName, Int, Model, NotHonoured, Port, problem

ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
SectionName = DnsName


class ParentReference(Model):
    """What a route attaches to: a Gateway (at the rim) or a Service (in the mesh, GAMMA)."""

    group: str = "gateway.networking.k8s.io"
    kind: str = "Gateway"
    namespace: DnsLabel | None = None
    name: ObjectName
    section_name: SectionName | None = None
    port: Port | None = None


class BackendObjectReference(Model):
    group: str = ""
    kind: str = "Service"
    name: ObjectName
    namespace: DnsLabel | None = None
    port: Port | None = None

    @model_validator(mode="after")
    def _service_needs_port(self) -> BackendObjectReference:
        if self.group == "" and self.kind == "Service" and self.port is None:
            raise problem(
                "missing-field",
                "a reference to a Service needs a port",
                remedy="Write port: NUMBER, one of the Service's ports.",
                field="port",
            )
        return self


class LocalObjectReference(Model):
    group: str
    kind: str
    name: ObjectName


class SecretObjectReference(Model):
    group: str = ""
    kind: str = "Secret"
    name: ObjectName
    namespace: DnsLabel | None = None


class ObjectReference(Model):
    group: str
    kind: str
    name: ObjectName
    namespace: DnsLabel | None = None


class CookieConfig(Model):
    lifetime_type: Literal["Permanent", "Session"] = "Session"


class SessionPersistence(Model):
    session_name: str | None = None
    absolute_timeout: str | None = None
    idle_timeout: str | None = None
    type: Literal["Cookie", "Header"] = "Cookie"
    cookie_config: CookieConfig | None = None


class Fraction(Model):
    numerator: Int
    denominator: Annotated[Int, Field(ge=1)] = 100


NOT_YET = NotHonoured("it comes with the full routing vocabulary")
