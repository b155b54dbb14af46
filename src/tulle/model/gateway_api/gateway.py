"""Gateway and GatewayClass, with the rules of their CRDs (apis/v1/gateway_types.go, v1.6)."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tulle.model.gateway_api.shared import (
    Group,
    KindName,
    LocalObjectReference,
    ObjectName,
    ObjectReference,
    SecretObjectReference,
    SectionName,
)
from tulle.model.label import Labels
from tulle.model.schema import DnsLabel, Hostname, Int, Model, NotHonoured, Port, problem
from tulle.model.selector import LooseLabelSelector

_PROTOCOL = (
    r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|"
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$"
)


_ADDRESS_TYPE = (
    r"^Hostname|IPAddress|NamedAddress|"
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$"
)
_HOSTNAME = r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"


class RouteNamespaces(Model):
    from_: Annotated[Literal["All", "Selector", "Same"], Field(alias="from")] = "Same"
    selector: LooseLabelSelector | None = None
    """Of SELECTOR; without one no namespace is selected."""


class RouteGroupKind(Model):
    group: Group = "gateway.networking.k8s.io"
    kind: KindName


class AllowedRoutes(Model):
    namespaces: RouteNamespaces = RouteNamespaces()
    kinds: Annotated[tuple[RouteGroupKind, ...], Field(max_length=8)] = ()


_TERMINATE_MODE = "gateway.istio.io/tls-terminate-mode"
_TERMINATE_MODES = ("MUTUAL", "OPTIONAL_MUTUAL", "ISTIO_MUTUAL")


def _is_unknown(options: dict[str, str]) -> bool:
    return any(key != _TERMINATE_MODE or value not in _TERMINATE_MODES for key, value in options.items())


class ListenerTLSConfig(Model):
    mode: Literal["Terminate", "Passthrough"] = "Terminate"
    certificate_refs: Annotated[tuple[SecretObjectReference, ...], Field(max_length=64)] = ()
    options: Annotated[
        dict[str, Annotated[str, Field(max_length=4096)]],
        Field(max_length=16),
        NotHonoured(
            f"{_TERMINATE_MODE} is the one option that is known: {', '.join(_TERMINATE_MODES)}", _is_unknown
        ),
    ] = {}

    @property
    def is_mesh_tls(self) -> bool:
        """Whether mTLS of the mesh ends here: with the proxy's own certificate, for clients that have one."""
        return self.terminate_mode == "ISTIO_MUTUAL"

    @property
    def terminate_mode(self) -> str:
        """What Istio's option says of clients' certificates, whose authorities stand in the Secret of the
        server's; "" if it says nothing."""
        return self.options.get(_TERMINATE_MODE, "") if self.mode == "Terminate" else ""

    @model_validator(mode="after")
    def _certificate_is_there(self) -> ListenerTLSConfig:
        if self.mode == "Terminate" and not self.certificate_refs and not self.options:
            raise problem(
                "missing-field",
                "mode Terminate needs certificateRefs or options",
                remedy="Write certificateRefs: [{name: SECRET}].",
                field="mode",
            )
        return self


class Listener(Model):
    name: SectionName
    hostname: Hostname | None = None
    port: Port
    protocol: Annotated[str, Field(min_length=1, max_length=255, pattern=_PROTOCOL)]
    """HTTP, HTTPS, TLS, TCP and UDP are served; the status of others says UnsupportedProtocol."""
    tls: ListenerTLSConfig | None = None
    allowed_routes: AllowedRoutes = AllowedRoutes()

    @model_validator(mode="after")
    def _tls_fits(self) -> Listener:
        protocol = self.protocol
        if protocol in ("HTTP", "TCP", "UDP") and self.tls is not None:
            raise problem(
                "exclusive-fields",
                f"protocol {self.protocol} excludes tls",
                remedy="Remove tls, or write protocol: HTTPS or TLS.",
                field="tls",
            )
        if protocol == "HTTPS" and self.tls is not None and self.tls.mode != "Terminate":
            raise problem(
                "exclusive-fields",
                "protocol HTTPS needs tls mode Terminate",
                remedy="Write mode: Terminate, or protocol: TLS to pass through.",
                field="tls.mode",
            )
        if protocol == "TLS" and self.tls is None:
            raise problem(
                "missing-field",
                "protocol TLS needs tls",
                remedy="Write tls: {mode: Passthrough}, or mode: Terminate with certificateRefs.",
                field="protocol",
            )
        if protocol in ("TCP", "UDP") and self.hostname:
            raise problem(
                "exclusive-fields",
                f"protocol {self.protocol} excludes hostname",
                remedy="Remove hostname: there is no name to match.",
                field="hostname",
            )
        return self


def check_listeners(listeners: tuple[Listener, ...]) -> None:
    """Refuse two listeners of one name, or of one port, protocol and host name."""
    names: set[str] = set()
    ports: set[tuple[Int, str, str | None]] = set()
    for index, listener in enumerate(listeners):
        if listener.name in names:
            raise problem(
                "duplicate-name",
                f"two listeners are called “{listener.name}”",
                remedy="Give every listener its own name.",
                field=f"[{index}].name",
            )
        names.add(listener.name)
        key = (listener.port, listener.protocol, listener.hostname)
        if key in ports:
            raise problem(
                "duplicate-listener",
                f"two listeners have port {listener.port}, protocol {listener.protocol} and one hostname",
                remedy="Change the port or the hostname of one.",
                field=f"[{index}]",
            )
        ports.add(key)


class GatewaySpecAddress(Model):
    type: Annotated[str, Field(min_length=1, max_length=253, pattern=_ADDRESS_TYPE)] = "IPAddress"
    value: Annotated[str | None, Field(max_length=253)] = None

    @model_validator(mode="after")
    def _value_is_of_the_type(self) -> GatewaySpecAddress:
        if self.value is None:
            return self
        if self.type == "IPAddress":
            try:
                ipaddress.ip_address(self.value)
            except ValueError:
                raise problem(
                    "invalid-address",
                    f"“{self.value}” is not an IP address",
                    remedy="Write an address such as 192.0.2.1, or type: Hostname.",
                    field="value",
                ) from None
        if self.type == "Hostname" and not re.fullmatch(_HOSTNAME, self.value):
            raise problem(
                "invalid-hostname",
                f"“{self.value}” is not a host name",
                remedy="Write a DNS name, or “*.” and a DNS name.",
                field="value",
            )
        return self


class ParametersReference(Model):
    group: Group
    kind: KindName
    name: ObjectName
    namespace: DnsLabel | None = None


class GatewayInfrastructure(Model):
    labels: Annotated[Labels, Field(max_length=8)] = {}
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=16)] = {}
    parameters_ref: LocalObjectReference | None = None
    """No kind of parameters is known: the Gateway is not accepted (`InvalidParameters`)."""


class FrontendTLSValidation(Model):
    ca_certificate_refs: Annotated[tuple[ObjectReference, ...], Field(min_length=1, max_length=16)]
    mode: Literal["AllowValidOnly", "AllowInsecureFallback"] = "AllowValidOnly"


class TLSConfig(Model):
    validation: FrontendTLSValidation | None = None


class TLSPortConfig(Model):
    port: Port
    tls: TLSConfig


class FrontendTLSConfig(Model):
    default: TLSConfig
    per_port: Annotated[tuple[TLSPortConfig, ...], Field(max_length=64)] = ()

    @field_validator("per_port")
    @classmethod
    def _ports_are_distinct(cls, per_port: tuple[TLSPortConfig, ...]) -> tuple[TLSPortConfig, ...]:
        for index, each in enumerate(per_port):
            if any(each.port == before.port for before in per_port[:index]):
                raise problem(
                    "duplicate-name",
                    f"port {each.port} stands twice",
                    remedy="Write one TLS configuration for each port.",
                    field=f"[{index}].port",
                )
        return per_port


class GatewayBackendTLS(Model):
    client_certificate_ref: SecretObjectReference | None = None


class ListenerNamespaces(Model):
    from_: Annotated[Literal["All", "Selector", "Same", "None"], Field(alias="from")] = "None"
    selector: LooseLabelSelector | None = None


class AllowedListeners(Model):
    namespaces: ListenerNamespaces = ListenerNamespaces()


class GatewayTLSConfig(Model):
    backend: GatewayBackendTLS | None = None
    frontend: FrontendTLSConfig | None = None


class GatewaySpec(Model):
    gateway_class_name: ObjectName
    listeners: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=64)]
    addresses: Annotated[tuple[GatewaySpecAddress, ...], Field(max_length=16)] = ()
    infrastructure: GatewayInfrastructure | None = None
    allowed_listeners: AllowedListeners | None = None
    tls: GatewayTLSConfig | None = None
    default_scope: Annotated[
        Literal["All", "None"] | None, NotHonoured("routes name their gateways", lambda scope: scope == "All")
    ] = None

    @field_validator("listeners")
    @classmethod
    def _listeners_are_distinct(cls, listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
        check_listeners(listeners)
        return listeners

    @field_validator("addresses")
    @classmethod
    def _addresses_are_distinct(
        cls, addresses: tuple[GatewaySpecAddress, ...]
    ) -> tuple[GatewaySpecAddress, ...]:
        for index, each in enumerate(addresses):
            if each.type in ("IPAddress", "Hostname") and each.value and each in addresses[:index]:
                raise problem(
                    "duplicate-name",
                    f"{each.type} {each.value} stands twice",
                    remedy="Remove one.",
                    field=f"[{index}].value",
                )
        return addresses


_CONTROLLER_NAME = r"^[a-z0-9][-a-z0-9]*(\.[a-z0-9][-a-z0-9]*)*/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$"


class GatewayClassSpec(Model):
    controller_name: Annotated[str, Field(pattern=_CONTROLLER_NAME, max_length=253)]
    parameters_ref: ParametersReference | None = None
    """No kind of parameters is known: the class is not accepted (`InvalidParameters`)."""
    description: Annotated[str, Field(max_length=64)] = ""
