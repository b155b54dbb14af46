"""The built-in certificate authority: one root, kept by the control plane, that signs leaves.

Whom it signs for is decided elsewhere (`source/agents.py` asks what runs where); here is only how.
The extensions follow the X.509-SVID standard, sections 3 and 4.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tulle.identity.spiffe import SpiffeId, check_trust_domain
from tulle.identity.svid import (
    BACKDATED_SECONDS,
    LIFETIME_SECONDS,
    InvalidSvid,
    Svid,
    identity_of,
    key_from_pem,
    key_to_pem,
    new_key,
    requested_key,
)
from tulle.kit import durable
from tulle.kit.clock import Clock

ROOT_LIFETIME = datetime.timedelta(days=3650)
ROOT_BACKDATED = datetime.timedelta(days=30)
"""A clock that is found to be fast and set back must not make the root a thing of the future: nobody can be
given another one."""
_FILE = "authority.pem"


class AuthorityError(Exception):
    """The authority's file cannot be used. Says which file, what is wrong and what to do."""

    def __init__(self, file: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {problem}; {remedy}")
        self.file = file
        self.problem = problem
        self.remedy = remedy


class Authority:
    """A root certificate with its key. Made by `create`, `load` or `open_or_create`."""

    def __init__(self, root: x509.Certificate, key: ec.EllipticCurvePrivateKey, clock: Clock) -> None:
        self._root = root
        self._key = key
        self._clock = clock
        self.trust_domain = identity_of(root).trust_domain
        der = root.public_bytes(serialization.Encoding.DER)
        self.root_pem = root.public_bytes(serialization.Encoding.PEM)
        self.fingerprint = hashlib.sha256(der).hexdigest()
        """SHA-256 of the root's DER, hexadecimal: what a join token carries."""

    def issue(
        self,
        key: ec.EllipticCurvePublicKey,
        identity: SpiffeId,
        dns_names: Iterable[str] = (),
        lifetime_seconds: float = LIFETIME_SECONDS,
    ) -> bytes:
        """A leaf for `key`, PEM. Never valid for longer than the root; backdated by one hour."""
        if identity.trust_domain != self.trust_domain or not identity.path:
            raise ValueError(f"{identity} is no leaf identity of trust domain {self.trust_domain}")
        now = _utc(self._clock.wall())
        until = min(now + datetime.timedelta(seconds=lifetime_seconds), self._root.not_valid_after_utc)
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(identity))]
        names += [x509.DNSName(name) for name in dns_names]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._root.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(seconds=BACKDATED_SECONDS))
            .not_valid_after(until)
            # RFC 5280 4.2.1.6: critical where the subject is empty
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def sign(
        self,
        csr_pem: str,
        identity: SpiffeId,
        dns_names: Iterable[str] = (),
        lifetime_seconds: float = LIFETIME_SECONDS,
    ) -> bytes:
        """A leaf for the key of a signing request, of which nothing else is used. Raises RefusedRequest."""
        return self.issue(requested_key(csr_pem), identity, dns_names, lifetime_seconds)

    def own(
        self,
        identity: SpiffeId,
        dns_names: Iterable[str] = (),
        lifetime_seconds: float = LIFETIME_SECONDS,
    ) -> Svid:
        """An identity for this very process, with a key that never leaves its memory."""
        key = new_key()
        chain = self.issue(key.public_key(), identity, dns_names, lifetime_seconds)
        leaf = x509.load_pem_x509_certificate(chain)
        return Svid(
            key_pem=key_to_pem(key),
            chain_pem=chain,
            root_pem=self.root_pem,
            identity=identity,
            not_before=leaf.not_valid_before_utc.timestamp(),
            expires=leaf.not_valid_after_utc.timestamp(),
        )


def create(folder: Path, trust_domain: str, clock: Clock) -> Authority:
    """Make a root and keep it in `folder`, which is made. An existing one raises AuthorityError."""
    check_trust_domain(trust_domain)
    file = folder / _FILE
    if file.exists():
        raise AuthorityError(file, "there is an authority already", "load it, or remove the file")
    key = new_key()
    root = _self_signed(key, trust_domain, _utc(clock.wall()))
    try:
        durable.private_folder(folder)
        # Key and certificate in one file: they are replaced together or not at all.
        durable.replace(file, key_to_pem(key) + root.public_bytes(serialization.Encoding.PEM))
    except OSError as error:
        raise AuthorityError(
            file, f"cannot be written ({error.strerror})", "make room, or give the folder to this user"
        ) from error
    return Authority(root, key, clock)


def load(folder: Path, trust_domain: str, clock: Clock) -> Authority:
    """Read the root back. Raises AuthorityError for whatever is wrong with the file."""
    file = folder / _FILE
    restore = "restore it from a backup; or remove it, and every agent has to join again"
    try:
        mode = file.stat().st_mode
        content = file.read_bytes()
    except OSError as error:
        raise AuthorityError(file, f"cannot be read ({error.strerror})", restore) from error
    if mode & 0o077:
        raise AuthorityError(file, "other users can read the authority's key", f"run chmod 600 {file}")
    try:
        key = key_from_pem(content)
        root = x509.load_pem_x509_certificate(content)
        identity = identity_of(root)
        is_authority = root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (InvalidSvid, ValueError, x509.ExtensionNotFound) as error:
        raise AuthorityError(file, f"is damaged ({error})", restore) from None
    if root.public_key() != key.public_key() or not is_authority or identity.path:
        raise AuthorityError(file, "is damaged (key and certificate make no authority)", restore)
    if identity.trust_domain != trust_domain:
        raise AuthorityError(
            file,
            f"is the authority of trust domain {identity.trust_domain}, not of {trust_domain}",
            "set the trust domain back; or remove the file, and every agent has to join again",
        )
    if root.not_valid_after_utc.timestamp() <= clock.wall():
        raise AuthorityError(
            file,
            f"the root has expired on {root.not_valid_after_utc:%Y-%m-%d}",
            "remove it, and every agent has to join again",
        )
    return Authority(root, key, clock)


def open_or_create(folder: Path, trust_domain: str, clock: Clock) -> Authority:
    """The authority kept in `folder`; a new one on first use. Raises AuthorityError."""
    if (folder / _FILE).exists():
        return load(folder, trust_domain, clock)
    return create(folder, trust_domain, clock)


def _self_signed(
    key: ec.EllipticCurvePrivateKey, trust_domain: str, now: datetime.datetime
) -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tulle"),
            # RFC 5280 A.1: a common name has at most 64 characters; the URI name has the whole
            x509.NameAttribute(NameOID.COMMON_NAME, f"root of {trust_domain}"[:64]),
        ]
    )
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - ROOT_BACKDATED)
        .not_valid_after(now + ROOT_LIFETIME)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(SpiffeId(trust_domain)))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .add_extension(subject_key, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key), critical=False
        )
        .sign(key, hashes.SHA256())
    )


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _utc(moment: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC)
