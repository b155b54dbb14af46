"""Certificate -> the secret (SDS) that a gateway's listeners name. Keys of SVIDs never leave their agents."""

from __future__ import annotations

from tulle.mesh.view import Certificate
from tulle.xds import message
from tulle.xds.bundle import Translated, translated
from tulle.xds.tls import certificate_secret


def translate_certificate(certificate: Certificate) -> Translated:
    """One secret, by the name that `tls.public_server` gives it."""
    name = certificate_secret(certificate.secret)
    pair = {
        "certificate_chain": {"inline_bytes": certificate.chain_pem},
        "private_key": {"inline_bytes": certificate.key_pem},
    }
    return translated(message.Secret(name=name, tls_certificate=pair), name)
