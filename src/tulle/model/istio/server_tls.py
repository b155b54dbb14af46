"""ServerTLSSettings, field by field as in Istio's gateway.proto, with the rules of its CRD and validation
(pkg/config/validation: validateTLSOptions)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tulle.model.remark import Remark
from tulle.model.schema import Bool, Model, NoEffect, NotHonoured, problem

_FILES = NotHonoured("certificates come from Secrets: use credentialName")
_PASSED = ("PASSTHROUGH", "AUTO_PASSTHROUGH")

CIPHER_SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
)
"""What `cipherSuites` may name (gateway.proto). Others are ignored, as Istio does."""

TlsProtocol = Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"]


def _ignored_suites(suites: Any) -> bool:
    return any(suite not in CIPHER_SUITES for suite in suites) or len(set(suites)) < len(suites)


class TLSCertificate(Model):
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""


class ServerTLSSettings(Model):
    https_redirect: Bool = False
    mode: Literal[
        "PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"
    ] = "PASSTHROUGH"
    server_certificate: Annotated[str, _FILES] = ""
    private_key: Annotated[str, _FILES] = ""
    ca_certificates: Annotated[str, _FILES] = ""
    ca_crl: Annotated[str, _FILES] = ""
    credential_name: str = ""
    credential_names: Annotated[tuple[str, ...], Field(max_length=2)] = ()
    ca_cert_credential_name: str = ""
    tls_certificates: Annotated[tuple[TLSCertificate, ...], Field(min_length=1, max_length=2), _FILES] = ()
    subject_alt_names: tuple[str, ...] = ()
    verify_certificate_spki: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")], ...] = ()
    verify_certificate_hash: tuple[
        Annotated[str, Field(pattern=r"^([0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}$")], ...
    ] = ()
    min_protocol_version: TlsProtocol = "TLS_AUTO"
    max_protocol_version: TlsProtocol = "TLS_AUTO"
    cipher_suites: Annotated[
        tuple[str, ...],
        NoEffect("suites that gateway.proto does not list, and doubles, are left out", _ignored_suites),
    ] = ()
    insecure_skip_verify: Bool | None = None

    @property
    def terminates(self) -> bool:
        """Whether the gateway itself speaks TLS."""
        return self.mode not in _PASSED

    @property
    def asks_clients(self) -> bool:
        """Whether clients are asked for certificates that Secrets say the authorities of."""
        return self.mode in ("MUTUAL", "OPTIONAL_MUTUAL")

    @property
    def names_files(self) -> bool:
        """Whether certificates at paths are named."""
        return bool(self.server_certificate or self.private_key or self.ca_certificates)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The Secrets with the server's certificates."""
        return self.credential_names or ((self.credential_name,) if self.credential_name else ())

    @property
    def usable_cipher_suites(self) -> tuple[str, ...]:
        """Each known suite once, in the order in which they are written."""
        return tuple(suite for suite in dict.fromkeys(self.cipher_suites) if suite in CIPHER_SUITES)

    def remarks(self) -> Iterator[Remark]:
        old = ("TLSV1_0", "TLSV1_1")
        if self.min_protocol_version in old and not self.cipher_suites:
            message = f"no cipher suite that is offered by default goes with {self.min_protocol_version}"
            yield Remark("minProtocolVersion", "no-effect", message, "Write cipherSuites that do.")
        if self.mode in _PASSED and self.secrets:
            name = "credentialNames" if self.credential_names else "credentialName"
            message = f"mode {self.mode} uses no certificate"
            yield Remark(name, "no-effect", message, "Remove it, or write mode: SIMPLE.")

    @model_validator(mode="after")
    def _certificates(self) -> ServerTLSSettings:
        sources = {
            "credentialName": self.credential_name,
            "credentialNames": self.credential_names,
            "serverCertificate": self.server_certificate and self.private_key,
            "tlsCertificates": self.tls_certificates,
        }
        written = [name for name, value in sources.items() if value]
        if len(written) > 1:
            raise problem(
                "exclusive-fields",
                f"{' and '.join(written)} exclude each other",
                remedy="Name certificates in one way.",
                field=written[-1],
            )
        if self.mode == "ISTIO_MUTUAL":
            files = {
                "serverCertificate": self.server_certificate,
                "privateKey": self.private_key,
                "caCertificates": self.ca_certificates,
            }
            for name in [name for name, value in files.items() if value] + written:
                raise problem(
                    "exclusive-fields",
                    f"mode ISTIO_MUTUAL excludes {name}",
                    remedy="The mesh gives the certificates: remove the field.",
                    field=name,
                )
        elif self.terminates and not written:
            raise problem(
                "missing-field",
                f"mode {self.mode} needs credentialName",
                remedy="Write credentialName: SECRET, a Secret of type kubernetes.io/tls.",
                field="mode",
            )
        return self
