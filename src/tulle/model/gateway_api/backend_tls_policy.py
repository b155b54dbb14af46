"""BackendTLSPolicy (apis/v1/backendtlspolicy_types.go, v1.6): TLS from a gateway to a Service."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tulle.model.gateway_api.shared import (
    Group,
    KindName,
    LocalObjectReference,
    ObjectName,
    Options,
    SectionName,
)
from tulle.model.schema import DnsName, Hostname, Model, exactly_one, problem

_URI = r"^(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\?([^#]*))?(#(.*))?"
_WELL_KNOWN = (
    r"^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/"
    r"([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]))$"
)


class LocalPolicyTargetReference(Model):
    group: Group
    kind: KindName
    name: ObjectName
    section_name: SectionName | None = None
    """Of a Service: the name of a port."""


class SubjectAltName(Model):
    type: Literal["Hostname", "URI"]
    hostname: Hostname | None = None
    uri: Annotated[str, Field(min_length=1, max_length=253, pattern=_URI)] | None = None

    @model_validator(mode="after")
    def _value_is_of_the_type(self) -> SubjectAltName:
        wanted, other = ("hostname", "uri") if self.type == "Hostname" else ("uri", "hostname")
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise problem(
                "exclusive-fields",
                f"type {self.type} needs {wanted}, and nothing else",
                remedy=f"Write {wanted}: NAME, and leave {other} out.",
                field=wanted if getattr(self, wanted) is not None else "type",
            )
        return self


class BackendTLSPolicyValidation(Model):
    ca_certificate_refs: Annotated[tuple[LocalObjectReference, ...], Field(max_length=8)] = ()
    well_known_ca_certificates: Annotated[
        str | None,
        Field(alias="wellKnownCACertificates", min_length=1, max_length=253, pattern=_WELL_KNOWN),
    ] = None
    hostname: DnsName
    """Sent as SNI, and looked for in the server's certificate unless `subjectAltNames` are written."""
    subject_alt_names: Annotated[tuple[SubjectAltName, ...], Field(max_length=5)] = ()

    @model_validator(mode="after")
    def _one_source(self) -> BackendTLSPolicyValidation:
        exactly_one(self, "ca_certificate_refs", "well_known_ca_certificates")
        return self


class BackendTLSPolicySpec(Model):
    target_refs: Annotated[tuple[LocalPolicyTargetReference, ...], Field(min_length=1, max_length=16)]
    validation: BackendTLSPolicyValidation
    options: Options = {}

    @field_validator("target_refs")
    @classmethod
    def _targets_are_told_apart(
        cls, targets: tuple[LocalPolicyTargetReference, ...]
    ) -> tuple[LocalPolicyTargetReference, ...]:
        for index, one in enumerate(targets):
            for other in targets[:index]:
                if (one.group, one.kind, one.name) != (other.group, other.kind, other.name):
                    continue
                if not one.section_name or not other.section_name or one.section_name == other.section_name:
                    raise problem(
                        "duplicate-target",
                        f"{one.kind} {one.name} stands twice, and not with sections of its own",
                        remedy="Remove one, or set different sectionNames in both.",
                        field=f"[{index}]",
                    )
        return targets
