"""Gateway (networking.istio.io), field by field as in gateway.proto."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tulle.model.schema import Bool, Labels, Model, NoEffect, NotHonoured, Port, problem

_LATER = NotHonoured("client certificates and the details of TLS come with the security policies")
PROTOCOLS = ("HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB", "TCP", "TLS", "MONGO", "MYSQL", "REDIS", "UDP")


def _not_served(protocol: Any) -> bool:
    return str(protocol).upper() not in ("HTTP", "HTTP2", "GRPC", "HTTPS", "TLS", "TCP")


class ServerPort(Model):
    number: Port
    protocol: Annotated[str, NotHonoured("HTTP, HTTP2, GRPC, HTTPS, TLS and TCP are served", _not_served)]
    name: str = ""
    target_port: Annotated[Port | None, NoEffect("a gateway listens on the port itself")] = None

    @model_validator(mode="after")
    def _known_protocol(self) -> ServerPort:
        if self.protocol.upper() not in PROTOCOLS:
            raise problem(
                "invalid-value",
                f"“{self.protocol}” is not a protocol",
                remedy=f"Write one of {', '.join(PROTOCOLS)}.",
                field="protocol",
            )
        return self


def _mode_later(mode: Any) -> bool:
    return mode not in ("PASSTHROUGH", "SIMPLE", None)


class TLSCertificate(Model):
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""


class ServerTLSSettings(Model):
    https_redirect: Annotated[Bool, NotHonoured("redirects come with the full routing vocabulary", bool)] = (
        False
    )
    mode: Annotated[
        Literal["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"]
        | None,
        NotHonoured("SIMPLE and PASSTHROUGH are known", _mode_later),
    ] = None
    server_certificate: Annotated[str, NotHonoured("certificates come from Secrets: use credentialName")] = ""
    private_key: Annotated[str, NotHonoured("certificates come from Secrets: use credentialName")] = ""
    ca_certificates: Annotated[str, _LATER] = ""
    credential_name: str = ""
    credential_names: Annotated[tuple[str, ...], _LATER] = ()
    tls_certificates: Annotated[tuple[TLSCertificate, ...], _LATER] = ()
    subject_alt_names: Annotated[tuple[str, ...], _LATER] = ()
    verify_certificate_spki: Annotated[tuple[str, ...], _LATER] = ()
    verify_certificate_hash: Annotated[tuple[str, ...], _LATER] = ()
    min_protocol_version: Annotated[
        Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"], _LATER
    ] = "TLS_AUTO"
    max_protocol_version: Annotated[
        Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"], _LATER
    ] = "TLS_AUTO"
    cipher_suites: Annotated[tuple[str, ...], _LATER] = ()
    ca_crl: Annotated[str, _LATER] = ""
    ca_cert_credential_name: Annotated[str, _LATER] = ""

    @model_validator(mode="after")
    def _certificate_is_there(self) -> ServerTLSSettings:
        if self.mode == "SIMPLE" and not (
            self.credential_name or self.credential_names or self.server_certificate or self.tls_certificates
        ):
            raise problem(
                "missing-field",
                "mode SIMPLE needs credentialName",
                remedy="Write credentialName: SECRET, a Secret of type kubernetes.io/tls.",
                field="mode",
            )
        return self


class Server(Model):
    port: ServerPort
    bind: Annotated[str, NotHonoured("a gateway listens on its own address")] = ""
    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    tls: ServerTLSSettings | None = None
    default_endpoint: Annotated[str, NotHonoured("requests go where a VirtualService sends them")] = ""
    name: str = ""

    @model_validator(mode="after")
    def _tls_fits(self) -> Server:
        needs = self.port.protocol.upper() in ("HTTPS", "TLS")
        if needs and (self.tls is None or self.tls.mode is None):
            raise problem(
                "missing-field",
                f"protocol {self.port.protocol} needs tls with a mode",
                remedy="Write tls: {mode: SIMPLE, credentialName: SECRET} or tls: {mode: PASSTHROUGH}.",
                field="tls" if self.tls is not None else "port.protocol",
            )
        if not needs and self.tls is not None and self.tls.mode is not None and _is_plain(self.port.protocol):
            raise problem(
                "exclusive-fields",
                f"protocol {self.port.protocol} excludes tls.mode",
                remedy="Remove tls, or write protocol: HTTPS or TLS.",
                field="tls.mode",
            )
        return self


def _is_plain(protocol: str) -> bool:
    return protocol.upper() in ("HTTP", "HTTP2", "GRPC", "GRPC-WEB")


class GatewaySpec(Model):
    servers: Annotated[tuple[Server, ...], Field(min_length=1)]
    selector: Labels = {}

    @model_validator(mode="after")
    def _port_names_are_distinct(self) -> GatewaySpec:
        names = [server.port.name for server in self.servers]
        for index, name in enumerate(names):
            if name and name in names[:index]:
                raise problem(
                    "duplicate-name",
                    f"two servers' ports are called “{name}”",
                    remedy="Give every port its own name.",
                    field=f"servers[{index}].port.name",
                )
        return self
