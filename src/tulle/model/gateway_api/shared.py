"""What the kinds of the Gateway API share: references and names (apis/v1/shared_types.go, v1.6)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tulle.model.schema import (
    DnsLabel,
    DnsName,
    GatewayDuration,
    HeaderName,
    Int,
    Model,
    NotHonoured,
    Port,
    problem,
)

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"

ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
SectionName = DnsName
Group = Annotated[str, Field(max_length=253, pattern=rf"^$|^{_SUBDOMAIN}$")]
"""An API group; "" is Kubernetes' core."""
KindName = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")
]
Weight = Annotated[Int, Field(ge=0, le=1_000_000)]
Options = Annotated[
    dict[str, Annotated[str, Field(max_length=4096)]],
    Field(max_length=16),
    NotHonoured("no option is known"),
]
"""Options of an implementation's own. This one has none."""


class ParentReference(Model):
    """What a route attaches to: a Gateway (at the rim) or a Service (in the mesh, GAMMA)."""

    group: Group = "gateway.networking.k8s.io"
    kind: KindName = "Gateway"
    namespace: DnsLabel | None = None
    name: ObjectName
    section_name: SectionName | None = None
    port: Port | None = None


def check_parents(parents: tuple[ParentReference, ...]) -> tuple[ParentReference, ...]:
    """Refuse references to one parent that do not tell its sections or ports apart (`CommonRouteSpec`'s
    rules: all of them have a sectionName or none, all a port or none, and no two have the same)."""
    for index, one in enumerate(parents):
        for other in parents[:index]:
            parent = (one.group, one.kind, one.namespace, one.name)
            if parent != (other.group, other.kind, other.namespace, other.name):
                continue
            same = (one.section_name, one.port) == (other.section_name, other.port)
            alike = (bool(one.section_name), bool(one.port)) == (bool(other.section_name), bool(other.port))
            if same or not alike:
                raise problem(
                    "duplicate-parent",
                    "the same parent stands twice"
                    if same
                    else "the same parent stands here as a whole and in part",
                    remedy="Remove one, or set sectionName (or port) in both.",
                    field=f"[{index}]",
                )
    return parents


ParentReferences = Annotated[tuple[ParentReference, ...], Field(max_length=32), AfterValidator(check_parents)]


DefaultGateways = Annotated[
    Literal["All", "None"] | None,
    NotHonoured("routes name their gateways (experimental channel)", lambda scope: scope == "All"),
]
"""Whether a route attaches to Gateways that it does not name."""


class BackendObjectReference(Model):
    group: Group = ""
    kind: KindName = "Service"
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
    group: Group
    kind: KindName
    name: ObjectName


class SecretObjectReference(Model):
    group: Group = ""
    kind: KindName = "Secret"
    name: ObjectName
    namespace: DnsLabel | None = None


class ObjectReference(Model):
    group: Group
    kind: KindName
    name: ObjectName
    namespace: DnsLabel | None = None


class CookieConfig(Model):
    lifetime_type: Literal["Permanent", "Session"] = "Session"

    @property
    def is_permanent(self) -> bool:
        """Whether it outlives the browser."""
        return self.lifetime_type == "Permanent"


def _ends_without_its_cookie(session: SessionPersistence | None) -> bool:
    permanent = session is not None and session.cookie_config and session.cookie_config.is_permanent
    return session is not None and session.absolute_timeout is not None and not permanent


class SessionPersistence(Model):
    session_name: Annotated[HeaderName | None, Field(max_length=128)] = None
    absolute_timeout: GatewayDuration | None = None
    type: Literal["Cookie", "Header"] = "Cookie"
    cookie_config: CookieConfig | None = None

    @model_validator(mode="after")
    def _fits(self) -> SessionPersistence:
        if self.cookie_config is None:
            return self
        if self.cookie_config.is_permanent and self.absolute_timeout is None:
            raise problem(
                "missing-field",
                "a Permanent cookie needs absoluteTimeout",
                remedy="Write absoluteTimeout, or lifetimeType: Session.",
                field="cookieConfig.lifetimeType",
            )
        if self.type != "Cookie":
            raise problem(
                "exclusive-fields",
                "cookieConfig belongs to type Cookie",
                remedy="Remove cookieConfig, or write type: Cookie.",
                field="cookieConfig",
            )
        return self


SESSION_LIMIT = NotHonoured(
    "absoluteTimeout is honoured for Permanent cookies alone, which end by themselves",
    _ends_without_its_cookie,
)


class Fraction(Model):
    numerator: Annotated[Int, Field(ge=0)]
    denominator: Annotated[Int, Field(ge=1)] = 100

    @model_validator(mode="after")
    def _at_most_all(self) -> Fraction:
        if self.numerator > self.denominator:
            raise problem(
                "out-of-range",
                "the numerator is larger than the denominator",
                remedy="Write a fraction of at most 1.",
                field="numerator",
            )
        return self
