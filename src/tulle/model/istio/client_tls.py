"""ClientTLSSettings, field by field as in Istio's destination_rule.proto, with the rules of its validation
(pkg/config/validation/agent: ValidateTLS)."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from tulle.model.schema import Bool, Model, problem

_FILES = ("client_certificate", "private_key", "ca_certificates", "ca_crl")


class ClientTLSSettings(Model):
    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] = "DISABLE"
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential_name: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    insecure_skip_verify: Bool | None = None
    ca_crl: str = ""

    @model_validator(mode="after")
    def _certificates(self) -> ClientTLSSettings:
        if self.mode == "ISTIO_MUTUAL":
            self._without(
                (*_FILES, "credential_name"),
                "mode ISTIO_MUTUAL excludes",
                "The mesh gives the certificates: remove the field.",
            )
        if self.mode in ("SIMPLE", "MUTUAL") and self.insecure_skip_verify:
            named = ("credential_name",) if self.mode == "SIMPLE" else ()
            self._without(
                ("ca_certificates", *named, "subject_alt_names"),
                "insecureSkipVerify excludes",
                "Nothing is verified with it: leave one of the two out.",
            )
        if self.mode in ("SIMPLE", "MUTUAL") and self.credential_name:
            self._without(_FILES, "credentialName excludes", "Keep certificates in the Secret.")
        elif self.mode == "MUTUAL":
            for name in ("client_certificate", "private_key"):
                if not getattr(self, name):
                    alias = type(self).model_fields[name].alias or name
                    raise problem(
                        "missing-field",
                        f"mode MUTUAL needs {alias} or credentialName",
                        remedy="Write both clientCertificate and privateKey, or credentialName.",
                        field=alias,
                    )
        return self

    def _without(self, names: tuple[str, ...], message: str, remedy: str) -> None:
        for name in names:
            if getattr(self, name):
                alias = type(self).model_fields[name].alias or name
                raise problem("exclusive-fields", f"{message} {alias}", remedy=remedy, field=alias)
