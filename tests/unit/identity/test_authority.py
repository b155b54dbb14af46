import datetime
import os
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tulle.identity import authority, spiffe, svid
from tulle.identity.authority import Authority, AuthorityError
from tulle.kit.clock import ManualClock

IDENTITY = spiffe.workload("cluster.local", "shop", "orders")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def root(tmp_path: Path, clock: ManualClock) -> Authority:
    return authority.create(tmp_path / "authority", "cluster.local", clock)


def issued(root: Authority, **options: object) -> x509.Certificate:
    key = svid.new_key()
    return x509.load_pem_x509_certificate(root.issue(key.public_key(), IDENTITY, **options))  # type: ignore[arg-type]


def test_is_kept_in_a_private_file_and_read_back(tmp_path: Path, root: Authority, clock: ManualClock) -> None:
    file = tmp_path / "authority" / "authority.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    again = authority.open_or_create(file.parent, "cluster.local", clock)
    assert again.fingerprint == root.fingerprint
    assert again.root_pem == root.root_pem


def test_the_root_is_an_spiffe_signing_certificate_for_ten_years(root: Authority) -> None:
    certificate = x509.load_pem_x509_certificate(root.root_pem)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    assert constraints.critical
    assert constraints.value.ca
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://cluster.local"]
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life == datetime.timedelta(days=3650 + 30)


def test_a_leaf_has_the_extensions_of_an_svid(root: Authority, clock: ManualClock) -> None:
    leaf = issued(root, dns_names=["proxy.cluster.local"])
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert names.critical  # the subject is empty
    assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == [str(IDENTITY)]
    assert names.value.get_values_for_type(x509.DNSName) == ["proxy.cluster.local"]
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not usage.value.crl_sign
    assert set(extended) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert constraints.critical
    assert not constraints.value.ca
    assert leaf.not_valid_before_utc.timestamp() == clock.wall() - 3600
    assert leaf.not_valid_after_utc.timestamp() == clock.wall() + 24 * 3600


def test_openssl_accepts_the_chain_by_its_strict_rules(tmp_path: Path) -> None:
    class Now(ManualClock):
        def wall(self) -> float:
            return datetime.datetime.now(datetime.UTC).timestamp()

    root = authority.create(tmp_path, "cluster.local", Now())
    (tmp_path / "root.pem").write_bytes(root.root_pem)
    (tmp_path / "leaf.pem").write_bytes(root.issue(svid.new_key().public_key(), IDENTITY))
    for purpose in ("sslserver", "sslclient"):
        subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", "root.pem", "leaf.pem"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )


def test_a_leaf_does_not_outlive_the_root(root: Authority) -> None:
    leaf = issued(root, lifetime_seconds=20 * 365 * 86400)
    certificate = x509.load_pem_x509_certificate(root.root_pem)
    assert leaf.not_valid_after_utc == certificate.not_valid_after_utc


def test_signs_for_its_own_trust_domain_and_never_as_the_trust_domain(root: Authority) -> None:
    key = svid.new_key().public_key()
    for identity in (spiffe.workload("other", "a", "b"), spiffe.SpiffeId("cluster.local")):
        with pytest.raises(ValueError, match="no leaf identity"):
            root.issue(key, identity)


def test_takes_nothing_but_the_key_from_a_request(root: Authority) -> None:
    key = svid.new_key()
    wish = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "admin")]))
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.UniformResourceIdentifier("spiffe://cluster.local/ns/bank/sa/root"),
                    x509.DNSName("proxy.cluster.local"),
                ]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )
    leaf = x509.load_pem_x509_certificate(root.sign(wish, IDENTITY))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(str(IDENTITY))]
    assert leaf.subject == x509.Name([])
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.public_key() == key.public_key()


def foreign_request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def with_a_wrong_signature() -> str:
    csr = x509.load_pem_x509_csr(svid.request(svid.new_key()).encode())
    der = bytearray(csr.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("csr", "why"),
    [
        ("", "no readable"),
        ("garbage", "no readable"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "no readable"),
        ("x" * 9000, "more than"),
        (foreign_request(rsa.generate_private_key(65537, 2048)), "P-256"),
        (foreign_request(ec.generate_private_key(ec.SECP384R1())), "P-256"),
        (with_a_wrong_signature(), "signature"),
    ],
)
def test_refuses_a_bad_request(root: Authority, csr: str, why: str) -> None:
    with pytest.raises(svid.RefusedRequest, match=why):
        root.sign(csr, IDENTITY)


def damage_text(content: bytes) -> bytes:
    return content[: len(content) // 2]


def damage_bytes(_content: bytes) -> bytes:
    return b"\x00\xff" * 100


def other_key(content: bytes) -> bytes:
    return svid.key_to_pem(svid.new_key()) + content[content.index(b"-----BEGIN CERT") :]


def only_key(content: bytes) -> bytes:
    return content[: content.index(b"-----BEGIN CERT")]


@pytest.mark.parametrize("damage", [damage_text, damage_bytes, other_key, only_key, lambda _: b""])
def test_a_damaged_file_is_named_with_a_remedy(
    tmp_path: Path, root: Authority, clock: ManualClock, damage: object
) -> None:
    file = tmp_path / "authority" / "authority.pem"
    broken = damage(file.read_bytes())  # type: ignore[operator]
    file.write_bytes(broken)
    with pytest.raises(AuthorityError) as error:
        authority.open_or_create(file.parent, "cluster.local", clock)
    assert error.value.file == file
    assert "damaged" in error.value.problem
    assert "backup" in error.value.remedy
    assert file.read_bytes() == broken


def test_refuses_a_key_that_others_can_read(tmp_path: Path, root: Authority, clock: ManualClock) -> None:
    file = tmp_path / "authority" / "authority.pem"
    file.chmod(0o644)
    with pytest.raises(AuthorityError, match="chmod 600"):
        authority.load(file.parent, "cluster.local", clock)


def test_refuses_another_trust_domain(tmp_path: Path, root: Authority, clock: ManualClock) -> None:
    with pytest.raises(AuthorityError, match=r"cluster\.local, not of example\.org"):
        authority.load(tmp_path / "authority", "example.org", clock)


def test_refuses_an_expired_root(tmp_path: Path, root: Authority, clock: ManualClock) -> None:
    clock.advance(3651 * 86400)
    with pytest.raises(AuthorityError, match="expired"):
        authority.load(tmp_path / "authority", "cluster.local", clock)


def test_does_not_replace_an_authority(tmp_path: Path, root: Authority, clock: ManualClock) -> None:
    with pytest.raises(AuthorityError, match="already"):
        authority.create(tmp_path / "authority", "cluster.local", clock)


def test_a_full_disk_is_named(clock: ManualClock) -> None:
    with pytest.raises(AuthorityError, match="cannot be written"):
        authority.create(Path("/proc/nothing-can-be-made-here"), "cluster.local", clock)


def test_a_truncated_file_is_refused_and_never_made_anew(
    tmp_path: Path, root: Authority, clock: ManualClock
) -> None:
    file = tmp_path / "authority" / "authority.pem"
    whole = file.read_bytes()
    for length in range(len(whole)):
        os.truncate(file, length)
        if length == len(whole) - 1:  # without its last line end it is the same
            assert authority.open_or_create(file.parent, "cluster.local", clock).root_pem == root.root_pem
        else:
            with pytest.raises(AuthorityError, match="is damaged") as error:
                authority.open_or_create(file.parent, "cluster.local", clock)
            assert "\n" not in str(error.value)
        assert file.read_bytes() == whole[:length]
        file.write_bytes(whole)
