"""TCPRoute, TLSRoute and UDPRoute, with the rules of their CRDs (apis/v1, v1.6)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from tulle.model.gateway_api.shared import (
    BackendObjectReference,
    DefaultGateways,
    ParentReferences,
    SectionName,
    Weight,
)
from tulle.model.schema import Hostname, Model, NotHonoured, problem


class BackendRef(BackendObjectReference):
    weight: Weight = 1


class L4RouteRule(Model):
    name: SectionName | None = None
    backend_refs: Annotated[tuple[BackendRef, ...], Field(min_length=1, max_length=16)]


class L4RouteSpec(Model):
    """What the three kinds share: exactly one rule, whose backends share the connections by weight."""

    parent_refs: ParentReferences = ()
    use_default_gateways: DefaultGateways = None
    rules: Annotated[tuple[L4RouteRule, ...], Field(min_length=1, max_length=1)]


class TCPRouteSpec(L4RouteSpec):
    pass


def _is_of_the_mesh(parents: ParentReferences) -> bool:
    return any(
        (parent.group, parent.kind) in (("", "Service"), ("networking.istio.io", "ServiceEntry"))
        for parent in parents
    )


class UDPRouteSpec(L4RouteSpec):
    parent_refs: Annotated[
        ParentReferences,
        NotHonoured("datagrams are routed at gateways, and go as they are in the mesh", _is_of_the_mesh),
    ] = ()


class TLSRouteSpec(L4RouteSpec):
    hostnames: Annotated[tuple[Hostname, ...], Field(min_length=1, max_length=1024)]
    """SNI names, `*.` for one or more labels."""

    @field_validator("hostnames")
    @classmethod
    def _are_no_addresses(cls, hostnames: tuple[str, ...]) -> tuple[str, ...]:
        for index, hostname in enumerate(hostnames):
            if hostname.replace(".", "").isdecimal() and hostname.count(".") == 3:
                raise problem(
                    "invalid-hostname",
                    f"“{hostname}” is an address",
                    remedy="Write a name: an address cannot be a TLS server name (RFC 6066, 3).",
                    field=f"[{index}]",
                )
        return hostnames


class TLSRouteV1Alpha2Spec(TLSRouteSpec):
    """As it was published first: without host names it is for all that come to its parent."""

    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=1024)] = ()
