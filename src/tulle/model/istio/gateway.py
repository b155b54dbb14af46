"""Gateway (networking.istio.io), field by field as in gateway.proto, with the rules of its validation
(pkg/config/validation: ValidateGateway)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from tulle.model.istio.host import check_exposed_host
from tulle.model.istio.server_tls import ServerTLSSettings
from tulle.model.remark import Remark
from tulle.model.schema import Int, Model, NoEffect, NotHonoured, Port, check_dns_label, problem

HTTP_PROTOCOLS = ("HTTP", "HTTP2", "GRPC")
TLS_PROTOCOLS = ("HTTPS", "TLS")
TCP_PROTOCOLS = ("TCP", "MONGO", "MYSQL", "REDIS")
_PLAIN_HTTP = (*HTTP_PROTOCOLS, "GRPC-WEB")
_PROTOCOLS = (*_PLAIN_HTTP, *TLS_PROTOCOLS, *TCP_PROTOCOLS, "UDP")
_SERVED = (*HTTP_PROTOCOLS, *TLS_PROTOCOLS, *TCP_PROTOCOLS)


def _not_served(protocol: Any) -> bool:
    return str(protocol).upper() not in _SERVED


class ServerPort(Model):
    number: Port
    protocol: Annotated[str, NotHonoured(f"{', '.join(_SERVED)} are served", _not_served)]
    name: Annotated[str, Field(min_length=1)]
    target_port: Annotated[Int, NotHonoured("a gateway listens on the port itself")] = 0
    """Istio refuses it too (`validateServerPort`)."""

    @model_validator(mode="after")
    def _known_protocol(self) -> ServerPort:
        if self.protocol.upper() not in _PROTOCOLS:
            raise problem(
                "invalid-value",
                f"“{self.protocol}” is not a protocol",
                remedy=f"Write one of {', '.join(_PROTOCOLS)}.",
                field="protocol",
            )
        return self


def _one_address(bind: Any) -> bool:
    return bind not in ("", "0.0.0.0")  # noqa: S104  what it means is written so


def _check_server_host(value: str) -> str:
    namespace, slash, host = value.rpartition("/")
    try:
        if slash and namespace not in ("*", "."):
            check_dns_label(namespace)
        check_exposed_host(host, addresses=True)
    except PydanticCustomError as error:
        raise problem(
            "invalid-hostname",
            f"“{value}” is not a host of a server: {error.message()}",
            remedy="Write a full name, “*”, or “*.” and a name, with NAMESPACE/, “*/” or “./” before it.",
        ) from None
    return value


ServerHost = Annotated[str, AfterValidator(_check_server_host)]


class Server(Model):
    port: ServerPort
    bind: Annotated[
        str,
        NotHonoured("a gateway listens on all of its addresses", _one_address),
    ] = ""
    hosts: Annotated[tuple[ServerHost, ...], Field(min_length=1)]
    tls: ServerTLSSettings | None = None
    default_endpoint: Annotated[str, NoEffect("Istio's gateways do not read it either")] = ""
    name: str = ""
    """For people and statistics."""

    @property
    def protocol(self) -> str:
        """In capitals."""
        return self.port.protocol.upper()

    @property
    def redirects(self) -> bool:
        """Whether plain HTTP is sent to HTTPS."""
        return self.tls is not None and self.tls.https_redirect and self.protocol in _PLAIN_HTTP

    def remarks(self) -> Iterator[Remark]:
        if self.tls is not None and self.tls.https_redirect and self.protocol not in _PLAIN_HTTP:
            message = "only plain HTTP is sent to HTTPS"
            remedy = "Write it at a server with protocol: HTTP, beside this one."
            yield Remark("tls.httpsRedirect", "no-effect", message, remedy)

    @model_validator(mode="after")
    def _tls_fits(self) -> Server:
        if self.protocol in TLS_PROTOCOLS and self.tls is None:
            raise problem(
                "missing-field",
                f"protocol {self.port.protocol} needs tls",
                remedy="Write tls: {mode: SIMPLE, credentialName: SECRET} or tls: {mode: PASSTHROUGH}.",
                field="port.protocol",
            )
        if self.protocol in TLS_PROTOCOLS or self.tls is None:
            return self
        if self.protocol not in _PLAIN_HTTP:
            raise problem(
                "exclusive-fields",
                f"protocol {self.port.protocol} excludes tls",
                remedy="Remove tls, or write protocol: TLS.",
                field="tls",
            )
        if self.tls.terminates or self.tls.names_files:
            raise problem(
                "exclusive-fields",
                f"protocol {self.port.protocol} takes nothing of tls but httpsRedirect",
                remedy="Remove the rest of tls, or write protocol: HTTPS.",
                field="tls.mode" if self.tls.terminates else "tls",
            )
        return self


class GatewaySpec(Model):
    servers: Annotated[tuple[Server, ...], Field(min_length=1)]
    selector: dict[str, str] = {}

    @model_validator(mode="after")
    def _port_names_are_distinct(self) -> GatewaySpec:
        names = [server.port.name for server in self.servers]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise problem(
                    "duplicate-name",
                    f"two servers' ports are called “{name}”",
                    remedy="Give every port its own name.",
                    field=f"servers[{index}].port.name",
                )
        return self
