"""ClientTLSSettings, field by field as in Istio's destination_rule.proto, with the rules of its validation
(pkg/config/validation/agent: ValidateTLS)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tulle.model.remark import Remark
from tulle.model.schema import Bool, Model, check_dns_name, problem

_FILES = ("client_certificate", "private_key", "ca_certificates", "ca_crl")


class ClientTLSSettings(Model):
    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] = "DISABLE"
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential_name: Annotated[str, AfterValidator(lambda name: check_dns_name(name) if name else name)] = ""
    """Of a Secret in the proxy's own namespace: no other may be named (Istio, `proxyAuthorizedForSecret`)."""
    subject_alt_names: tuple[str, ...] = ()
    sni: Annotated[str, Field(max_length=255)] = ""
    """Envoy takes no longer one (`UpstreamTlsContext.sni`)."""
    insecure_skip_verify: Bool | None = None
    ca_crl: str = ""

    @model_validator(mode="after")
    def _certificates(self) -> ClientTLSSettings:
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

    def remarks(self) -> Iterator[Remark]:
        names = [name for name in (*_FILES, "credential_name") if getattr(self, name)]
        if self.mode == "ISTIO_MUTUAL" and names:
            alias = type(self).model_fields[names[0]].alias or names[0]
            message = "the mesh gives the certificates of ISTIO_MUTUAL, and this one is not used"
            yield Remark(alias, "no-effect", message, "Remove it, or write mode: MUTUAL.")

    def _without(self, names: tuple[str, ...], message: str, remedy: str) -> None:
        for name in names:
            if getattr(self, name):
                alias = type(self).model_fields[name].alias or name
                raise problem("exclusive-fields", f"{message} {alias}", remedy=remedy, field=alias)
