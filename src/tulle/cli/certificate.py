"""What a certificate in Envoy's dump says, for a table."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography import x509

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whose it is and until when."""

    holds: str
    expires: str


def certificate(secret: Json) -> Certificate:
    """Identity and expiry of a certificate chain or of trusted roots, from the PEM in the dump."""
    from cryptography import x509

    body: Json = secret.get("secret", {})
    chain = body.get("tls_certificate", {}).get("certificate_chain", {})
    roots = body.get("validation_context", {}).get("trusted_ca", {})
    pem = _inline(chain) or _inline(roots)
    if not pem:
        return Certificate("nothing yet" if secret.get("state") == "waiting" else "", "")
    try:
        leaf = x509.load_pem_x509_certificates(pem)[0]
    except (ValueError, IndexError):
        return Certificate("a certificate that cannot be read", "")
    holds = _identity(leaf) if _inline(chain) else f"root {leaf.subject.rfc4514_string()}"
    return Certificate(holds, leaf.not_valid_after_utc.isoformat())


def _inline(source: Json) -> bytes:
    if "inline_bytes" in source:
        return base64.b64decode(source["inline_bytes"])
    return str(source.get("inline_string", "")).encode()


def _identity(leaf: x509.Certificate) -> str:
    from cryptography import x509

    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return leaf.subject.rfc4514_string()
    identities = names.get_values_for_type(x509.UniformResourceIdentifier)
    return ", ".join(identities or names.get_values_for_type(x509.DNSName))
