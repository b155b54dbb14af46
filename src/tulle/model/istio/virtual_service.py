"""VirtualService (networking.istio.io), field by field as in virtual_service.proto; the rules are those of
`ValidateVirtualService` (pkg/config/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from tulle.model.istio.host import (
    GatewayName,
    Host,
    Subnet,
    has_partial_wildcard,
    host_covers,
    is_address,
    is_passed_name,
)
from tulle.model.istio.http_route import HTTPMatchRequest, HTTPRoute
from tulle.model.istio.labels import WrittenLabels
from tulle.model.istio.shared import MatchedPort, Namespaces, RouteDestination, check_weights
from tulle.model.istio.unreachable import unreachable_connections, unreachable_http
from tulle.model.remark import Remark
from tulle.model.schema import DnsLabel, Model, NoEffect, problem

MESH = "mesh"
"""The name by which VirtualServices bind to all sidecars instead of a gateway."""


class TLSMatchAttributes(Model):
    sni_hosts: Annotated[tuple[Host, ...], Field(min_length=1)]
    destination_subnets: tuple[Subnet, ...] = ()
    port: MatchedPort = None
    source_labels: WrittenLabels = {}
    gateways: tuple[GatewayName, ...] = ()
    source_namespace: DnsLabel | None = None


class TLSRoute(Model):
    match: Annotated[tuple[TLSMatchAttributes, ...], Field(min_length=1)]
    route: Annotated[tuple[RouteDestination, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _weights(self) -> TLSRoute:
        check_weights(self.route)
        return self


class L4MatchAttributes(Model):
    destination_subnets: tuple[Subnet, ...] = ()
    port: MatchedPort = None
    source_subnet: Annotated[str, NoEffect("Istio makes nothing of it: a sidecar has one caller")] = ""
    source_labels: WrittenLabels = {}
    gateways: tuple[GatewayName, ...] = ()
    source_namespace: DnsLabel | None = None


class TCPRoute(Model):
    match: tuple[L4MatchAttributes, ...] = ()
    route: Annotated[tuple[RouteDestination, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _weights(self) -> TCPRoute:
        check_weights(self.route)
        return self


class VirtualServiceSpec(Model):
    hosts: tuple[Host, ...] = ()
    """Empty: a delegate, which roots name (`HTTPRoute.delegate`)."""
    gateways: tuple[GatewayName, ...] = ()
    """Empty: the mesh. Otherwise names of Gateways (NAME or NAMESPACE/NAME), and `mesh` for the mesh."""
    http: tuple[HTTPRoute, ...] = ()
    tls: tuple[TLSRoute, ...] = ()
    tcp: tuple[TCPRoute, ...] = ()
    export_to: Namespaces = ()

    @property
    def source_labels(self) -> frozenset[tuple[str, str]]:
        """All labels of callers that its matches ask for."""
        return frozenset(pair for match in self._matches() for pair in match.source_labels.items())

    @property
    def source_namespaces(self) -> frozenset[str]:
        """All namespaces of callers that its matches ask for."""
        return frozenset(match.source_namespace for match in self._matches() if match.source_namespace)

    def remarks(self) -> Iterator[Remark]:
        yield from unreachable_http(self.http)
        yield from unreachable_connections("tls", self.tls)
        yield from unreachable_connections("tcp", self.tcp)
        for index, name in enumerate(self.gateways):
            if "/" not in name and "." in name:
                gateway, namespace = name.split(".")[:2]
                message = "a name with dots is the old way to name a gateway"
                yield Remark(f"gateways[{index}]", "deprecated", message, f"Write {namespace}/{gateway}.")
        for number, route in enumerate(self.tls):
            for index, match in enumerate(route.match):
                for place, name in enumerate(match.sni_hosts):
                    if is_address(name):
                        at = f"tls[{number}].match[{index}].sniHosts[{place}]"
                        message = "clients send no address as the TLS server name (RFC 6066, 3)"
                        yield Remark(at, "no-effect", message, "Write a name.")

    def _matches(self) -> Iterator[HTTPMatchRequest | TLSMatchAttributes | L4MatchAttributes]:
        for route in (*self.http, *self.tls, *self.tcp):
            yield from route.match

    @model_validator(mode="after")
    def _fits(self) -> VirtualServiceSpec:
        if not (self.http or self.tls or self.tcp):
            raise problem(
                "missing-field",
                "one of http, tls, tcp is needed",
                remedy="Write at least one route under http, tls or tcp.",
            )
        if not self.hosts:
            self._check_delegate()
        self._check_hosts()
        for number, route in enumerate(self.tls):
            for index, match in enumerate(route.match):
                self._check_sni(match, f"tls[{number}].match[{index}].sniHosts")
        return self

    def _check_delegate(self) -> None:
        for name in ("gateways", "tls", "tcp"):
            if getattr(self, name):
                raise problem(
                    "exclusive-fields",
                    f"without hosts it is a delegate, which has no {name}",
                    remedy=f"Write hosts: [NAME], or remove {name}.",
                    field=name,
                )
        for index, route in enumerate(self.http):
            if route.delegate is not None:
                raise problem(
                    "exclusive-fields",
                    "a delegate (without hosts) does not delegate itself",
                    remedy="Write hosts: [NAME], or a route.",
                    field=f"http[{index}].delegate",
                )

    def _check_hosts(self) -> None:
        for index, host in enumerate(self.hosts):
            if host == "*" and (not self.gateways or MESH in self.gateways):
                raise problem(
                    "invalid-hostname",
                    "“*” is for gateways alone, and this resource is for the mesh too",
                    remedy="Name the hosts, or the gateways.",
                    field=f"hosts[{index}]",
                )
            if is_passed_name(host):
                self._check_passed(host, f"hosts[{index}]")
            for other in self.hosts[:index]:
                if host_covers(other, host) or host_covers(host, other):
                    raise problem(
                        "duplicate-name",
                        f"“{host}” and “{other}” have names in common",
                        remedy="Write the wider of the two.",
                        field=f"hosts[{index}]",
                    )

    def _check_passed(self, name: str, field: str) -> None:
        if not self.gateways or MESH in self.gateways or not self.tls:
            raise problem(
                "invalid-hostname",
                f"“{name}” is a name of TLS that gateways pass on",
                remedy="Write tls routes, and gateways without “mesh”.",
                field=field,
            )

    def _check_sni(self, match: TLSMatchAttributes, field: str) -> None:
        for index, name in enumerate(match.sni_hosts):
            if is_passed_name(name):
                self._check_passed(name, f"{field}[{index}]")
            if has_partial_wildcard(name):
                raise problem(
                    "not-honoured",
                    f"a wildcard for a part of a label (“{name}”) does not tell TLS server names apart",
                    remedy="Write “*.” and a name.",
                    field=f"{field}[{index}]",
                )
            if not is_address(name) and not any(host_covers(host, name) for host in self.hosts):
                raise problem(
                    "invalid-hostname",
                    f"“{name}” is none of the hosts of this resource",
                    remedy=f"Write it under hosts too, or one of these: {', '.join(self.hosts)}.",
                    field=f"{field}[{index}]",
                )
