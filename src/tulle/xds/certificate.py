"""Certificate -> the secret (SDS) that a gateway's listeners name. Keys of SVIDs never leave their agents."""

from __future__ import annotations

from tulle.mesh.view import Authorities, Certificate
from tulle.xds import message
from tulle.xds.bundle import Translated, translated
from tulle.xds.message import Tree
from tulle.xds.tls import authorities_secret, certificate_secret


def translate_certificate(certificate: Certificate | Authorities) -> Translated:
    """One secret, by the name that `tls.public_server` gives it."""
    if isinstance(certificate, Authorities):
        return _authorities(certificate)
    name = certificate_secret(certificate.secret)
    pair = {
        "certificate_chain": {"inline_bytes": certificate.chain_pem},
        "private_key": {"inline_bytes": certificate.key_pem},
    }
    return translated(message.Secret(name=name, tls_certificate=pair), name)


def _authorities(authorities: Authorities) -> Translated:
    name = authorities_secret(authorities.secret)
    context: Tree = {"trusted_ca": {"inline_bytes": authorities.chain_pem}}
    if authorities.revocation_pem:
        context["crl"] = {"inline_bytes": authorities.revocation_pem}
    return translated(message.Secret(name=name, validation_context=context), name)
