"""A Secret's certificate and key, as gateways need them. Read by `gateway.py`, `status.py`, `resolve.py`."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tulle.mesh.view import Certificate
from tulle.mesh.world import World
from tulle.model.kubernetes import SecretSpec
from tulle.model.resource import Key, Resource

_NAMES = (("tls.crt", "tls.key"), ("cert", "key"))
"""Of a Secret of type kubernetes.io/tls, and of a generic one as Istio takes it."""


def certificate(world: World, namespace: str, name: str) -> Certificate | None:
    """What a gateway's proxy is given; None if the Secret cannot be used."""
    if certificate_fault(world, namespace, name):
        return None
    secret: Resource[SecretSpec] | None = world.resource(Key("", "Secret", namespace, name))
    content = secret.spec.content if secret is not None else {}
    for chain, key in _NAMES:
        if chain in content and key in content:
            return Certificate(f"{namespace}/{name}", content[chain], content[key])
    return None


def certificate_fault(world: World, namespace: str, name: str) -> str:
    """Why a Secret cannot be used as a server's certificate; "" if it can."""
    secret: Resource[SecretSpec] | None = world.resource(Key("", "Secret", namespace, name))
    if secret is None:
        return f"there is no Secret {namespace}/{name}"
    content = secret.spec.content
    for certificate, key in _NAMES:
        if certificate in content and key in content:
            return _fault(f"Secret {namespace}/{name}", content[certificate], content[key])
    return f"Secret {namespace}/{name} has no tls.crt and tls.key"


def _fault(secret: str, certificate: bytes, key: bytes) -> str:
    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
    except ValueError:
        return f"the certificate in {secret} is not PEM"
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError):
        return f"the key in {secret} is not an unencrypted PEM key"
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(encoding, form) != leaf.public_key().public_bytes(encoding, form):
        return f"the key in {secret} does not belong to its certificate"
    return ""
