"""A Secret's certificates and key, as proxies need them. Read by `route/`, `status/status.py`,
`resolve.py`."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from tulle.mesh.view import Authorities, Certificate
from tulle.mesh.world import World
from tulle.model.kubernetes import ConfigMapSpec, SecretSpec
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


_AUTHORITIES = (("cacert", "crl"), ("ca.crt", "ca.crl"))
"""The authorities and what they have revoked (Istio, extractRoot)."""


def authorities(world: World, namespace: str, name: str) -> Authorities | None:
    """The authorities that clients' certificates are held against; None if the Secret cannot be used."""
    if authorities_fault(world, namespace, name):
        return None
    content = _authorities_secret(world, namespace, name) or {}
    for certificates, revoked in _AUTHORITIES:
        if certificates in content:
            return Authorities(f"{namespace}/{name}", content[certificates], content.get(revoked, b""))
    return None


def authorities_fault(world: World, namespace: str, name: str) -> str:
    """Why a Secret cannot say whom to trust; "" if it can."""
    content = _authorities_secret(world, namespace, name)
    if content is None:
        return f"there is no Secret {namespace}/{name}"
    for certificates, revoked in _AUTHORITIES:
        if certificates in content:
            try:
                x509.load_pem_x509_certificates(content[certificates])
                if revoked in content:
                    x509.load_pem_x509_crl(content[revoked])
            except ValueError:
                return f"{certificates} or {revoked} for {namespace}/{name} is not PEM"
            return ""
    return f"there is no ca.crt or cacert for {namespace}/{name}"


def _authorities_secret(world: World, namespace: str, name: str) -> dict[str, bytes] | None:
    """The Secret of that name, else without `-cacert` (Istio, CredentialsController.GetCaCert), else the
    ConfigMap (`caCertCredentialName`)."""
    for kind, called in (("Secret", name), ("Secret", name.removesuffix("-cacert")), ("ConfigMap", name)):
        found: Resource[SecretSpec | ConfigMapSpec] | None = world.resource(Key("", kind, namespace, called))
        if found is not None:
            return found.spec.content
    return None


_BUNDLE = "ca.crt"
"""The key of a ConfigMap with certificates of authorities (`caCertificateRefs`, Core support)."""
_OF_CONFIG_MAPS = "configmap://"


def of_config_maps(names: Iterable[str]) -> str:
    """The name of the `Authorities` that ConfigMaps say together, each by `namespace/name`."""
    return _OF_CONFIG_MAPS + ",".join(names)


def trusted(world: World, name: str) -> Authorities | None:
    """What stands behind the name of `Authorities`; None if nothing of it can be used."""
    if not name.startswith(_OF_CONFIG_MAPS):
        return authorities(world, *name.split("/", 1))
    parts = (each.split("/", 1) for each in name.removeprefix(_OF_CONFIG_MAPS).split(","))
    joined = b"".join(bundle(world, namespace, called) for namespace, called in parts)
    return Authorities(name, joined) if joined else None


def bundle(world: World, namespace: str, name: str) -> bytes:
    """The certificates of authorities in a ConfigMap, as PEM; empty if it cannot be used."""
    if bundle_fault(world, namespace, name):
        return b""
    # Written anew: between certificates there may be anything.
    loaded = x509.load_pem_x509_certificates(_bundle(world, namespace, name) or b"")
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in loaded)


def bundle_fault(world: World, namespace: str, name: str) -> str:
    """Why a ConfigMap cannot say whom to trust; "" if it can."""
    pem = _bundle(world, namespace, name)
    if pem is None:
        return f"there is no ConfigMap {namespace}/{name}"
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError:
        return f"ConfigMap {namespace}/{name} has no PEM certificates under {_BUNDLE}"
    return ""


def _bundle(world: World, namespace: str, name: str) -> bytes | None:
    found: Resource[ConfigMapSpec] | None = world.resource(Key("", "ConfigMap", namespace, name))
    return found.spec.content.get(_BUNDLE, b"") if found is not None else None


_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_LEAST_RSA_BITS = 2048


def _fault(secret: str, certificate: bytes, key: bytes) -> str:
    try:
        public = x509.load_pem_x509_certificates(certificate)[0].public_key()
    except ValueError:
        return f"the certificate in {secret} is not PEM"
    except UnsupportedAlgorithm:
        return f"the certificate in {secret} {_UNUSABLE}"
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError):
        return f"the key in {secret} is not an unencrypted PEM key"
    except UnsupportedAlgorithm:
        return f"the key in {secret} {_UNUSABLE}"
    if not _is_usable(private):
        return f"the key in {secret} {_UNUSABLE}"
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(encoding, form) != public.public_bytes(encoding, form):
        return f"the key in {secret} does not belong to its certificate"
    return ""


_UNUSABLE = (
    "is of a kind that proxies refuse: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519 is needed"
)


def _is_usable(key: PrivateKeyTypes) -> bool:
    """Whether Envoy takes a key: it would refuse the secret, and its listener would answer nobody."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.key_size >= _LEAST_RSA_BITS
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.curve.name in _CURVES
    return isinstance(key, ed25519.Ed25519PrivateKey)
