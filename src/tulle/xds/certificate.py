"""Certificates -> the secrets (SDS) that proxies ask for by name. Keys of SVIDs never leave their agents."""

from __future__ import annotations

from collections.abc import Iterable

from tulle.mesh.view import Authorities, Certificate, Cluster
from tulle.xds import message
from tulle.xds.bundle import Translated, translated
from tulle.xds.message import Tree
from tulle.xds.tls import authorities_secret, certificate_secret
from tulle.xds.upstream.origination import authorities_name, certificate_name


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


def secrets_in_files(clusters: Iterable[Cluster]) -> list[Translated]:
    """The secrets of clusters that are files of the proxy's host. It reads them, and again when one is moved
    to its place (`TlsCertificate.watched_directory`: of certificates that come over SDS only)."""
    found: dict[str, Translated] = {}
    for each in clusters:
        tls = each.tls
        if tls is None:
            continue
        if tls.certificate_file:
            pair = {
                "certificate_chain": {"filename": tls.certificate_file},
                "private_key": {"filename": tls.key_file},
            }
            name = certificate_name(tls)
            found[name] = translated(message.Secret(name=name, tls_certificate=pair), name, each.origin)
        if tls.authorities_file and (name := authorities_name(tls)):
            context: Tree = {"trusted_ca": {"filename": tls.authorities_file}}
            if tls.revocation_file:
                context["crl"] = {"filename": tls.revocation_file}
            found[name] = translated(message.Secret(name=name, validation_context=context), name, each.origin)
    return list(found.values())
