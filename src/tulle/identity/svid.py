"""X.509-SVIDs as their holder sees them: keys, requests, reading what was issued, when to renew.

Source: the X.509-SVID standard (standards/X509-SVID.md), sections 2 to 5.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from tulle.identity.spiffe import InvalidIdentity, SpiffeId, parse

BACKDATED_SECONDS = 3600
"""How long before its making a leaf is valid: the clocks of two hosts may differ by as much."""
LIFETIME_SECONDS = 24 * 3600
_MOST_REQUEST = 8192
_JITTER = 0.1


class RefusedRequest(ValueError):  # noqa: N818  the peer's mistake
    """A certificate signing request that nothing is signed for."""


class InvalidSvid(ValueError):  # noqa: N818  a statement about files or an answer
    """A key, a chain and a root that do not make an SVID; the message says why."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, not encrypted: the file's mode protects it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def key_from_pem(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Read a P-256 key. Raises InvalidSvid."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise InvalidSvid(f"no readable private key: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidSvid("the private key is not a P-256 key")
    return key


def fingerprint_of_key(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, hexadecimal."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return digest.finalize().hex()


def request(key: ec.EllipticCurvePrivateKey) -> str:
    """A certificate signing request, PEM. It names nobody: the authority would not read it."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def requested_key(csr_pem: str) -> ec.EllipticCurvePublicKey:
    """The public key of a request whose signature proves that the sender holds the private one.

    Nothing else of a request is ever looked at. Raises RefusedRequest.
    """
    if len(csr_pem) > _MOST_REQUEST:
        raise RefusedRequest(f"a signing request of more than {_MOST_REQUEST} characters")
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        key = csr.public_key()
        valid = csr.is_signature_valid
    except Exception as error:  # the parser raises several kinds, some not documented
        raise RefusedRequest(f"no readable signing request: {error}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RefusedRequest("the key of the signing request is not a P-256 key")
    if not valid:
        raise RefusedRequest("the signature of the signing request is wrong")
    return key


def identity_of(certificate: x509.Certificate) -> SpiffeId:
    """The one SPIFFE ID of a certificate. None or several URI names raise InvalidSvid."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        raise InvalidSvid("the certificate has no subject alternative name") from None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise InvalidSvid(f"the certificate has {len(uris)} URI names; an SVID has exactly one")
    try:
        return parse(uris[0])
    except InvalidIdentity as error:
        raise InvalidSvid(f"the certificate's URI name is no SPIFFE ID: {error}") from None


@dataclass(frozen=True, slots=True)
class Svid:
    """An identity with its key, as PEM."""

    key_pem: bytes = field(repr=False)
    chain_pem: bytes = field(repr=False)
    """Leaf first, then intermediates if any."""
    root_pem: bytes = field(repr=False)
    identity: SpiffeId
    not_before: float
    """Seconds since the epoch, as `expires`."""
    expires: float

    def covers(self, moment: float) -> bool:
        """Whether it is valid at a moment in seconds since the epoch (RFC 5280, 4.1.2.5: both ends belong
        to it)."""
        return self.not_before <= moment <= self.expires

    def renewal(self, random: Callable[[], float]) -> float:
        """When to ask for the next one: at half of the life that it had when issued, give or take a
        tenth (`random` gives 0 to 1), so that what started together does not ask together."""
        issued = self.not_before + BACKDATED_SECONDS
        return issued + max(self.expires - issued, 0) * (0.5 + _JITTER * (2 * random() - 1))


def read(key_pem: bytes, chain_pem: bytes, root_pem: bytes) -> Svid:
    """Put an SVID together and verify it against its root, its validity in time aside.

    Raises InvalidSvid. Whether it has expired is for the caller to ask: `expires`.
    """
    key = key_from_pem(key_pem)
    try:
        leaf, *intermediates = x509.load_pem_x509_certificates(chain_pem)
        roots = x509.load_pem_x509_certificates(root_pem)
    except ValueError as error:
        raise InvalidSvid(f"no readable certificate: {error}") from None
    if leaf.public_key() != key.public_key():
        raise InvalidSvid("the certificate belongs to another key")
    moment = leaf.not_valid_before_utc + (leaf.not_valid_after_utc - leaf.not_valid_before_utc) / 2
    _verify(leaf, intermediates, roots, moment)
    identity = identity_of(leaf)
    return Svid(
        key_pem=key_pem,
        chain_pem=chain_pem,
        root_pem=root_pem,
        identity=identity,
        not_before=leaf.not_valid_before_utc.timestamp(),
        expires=leaf.not_valid_after_utc.timestamp(),
    )


def _verify(
    leaf: x509.Certificate,
    intermediates: list[x509.Certificate],
    roots: list[x509.Certificate],
    moment: datetime.datetime,
) -> None:
    verifier = PolicyBuilder().store(Store(roots)).time(moment).build_client_verifier()
    try:
        verifier.verify(leaf, intermediates)
    except (VerificationError, InvalidSignature) as error:
        raise InvalidSvid(f"the certificate does not come from the root: {error}") from None


def root_identity(root_pem: bytes) -> tuple[str, str]:
    """(trust domain, SHA-256 of the DER) of a root certificate. Raises InvalidSvid."""
    try:
        root = x509.load_pem_x509_certificate(root_pem)
    except ValueError as error:
        raise InvalidSvid(f"no readable root certificate: {error}") from None
    return identity_of(root).trust_domain, root.fingerprint(hashes.SHA256()).hex()
