"""The certificates that a gateway's proxy is given: those of its own listeners that can be used."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from tests.unit.mesh.certificate import secret
from tests.unit.mesh.routed import SHOP
from tests.unit.mesh.worldly import publish, world_of
from tulle.mesh.policy.certificate import certificate_fault
from tulle.mesh.resolve import Resolution
from tulle.model.resource import Key

EDGE = ("shop", "edge-istio")
GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: tulle
  listeners:
  - {name: b, port: 443, protocol: HTTPS, hostname: b.example, tls: {certificateRefs: [{name: b}]}}
  - {name: a, port: 443, protocol: HTTPS, hostname: a.example, tls: {certificateRefs: [{name: a}, {name: b}]}}
  - {name: plain, port: 80, protocol: HTTP}
"""


def test_a_gateway_has_those_of_its_listeners() -> None:
    world = world_of("---".join((SHOP, GATEWAY, *(secret(name, "shop") for name in ("a", "b", "other")))))
    resolution = Resolution(world)
    found = resolution.certificates(EDGE)
    assert [each.secret for each in found] == ["shop/a", "shop/b"]
    written = world.resource(Key("", "Secret", "shop", "a"))
    assert written is not None
    assert base64.b64decode(written.document["data"]["tls.key"]) == found[0].key_pem
    assert found[0].chain_pem.startswith(b"-----BEGIN CERTIFICATE-----")
    assert resolution.certificates(("shop", "ratings")) == ()


def test_what_cannot_be_used_is_given_to_nobody() -> None:
    world = world_of("---".join((SHOP, GATEWAY, secret("a", "shop"), secret("b", "shop"))))
    resolution = Resolution(world)
    publish(world, secret("b", "shop").replace("tls.key", "other.key"))
    assert [each.secret for each in resolution.certificates(EDGE)] == ["shop/a"]
    publish(world, secret("b", "shop", edition=2))
    assert [each.secret for each in resolution.certificates(EDGE)] == ["shop/a", "shop/b"]


def pair(key: CertificateIssuerPrivateKeyTypes) -> str:
    """The Secret shop/a with a key and a certificate for it."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    digest = None if isinstance(key, ed448.Ed448PrivateKey | ed25519.Ed25519PrivateKey) else hashes.SHA256()
    pem = serialization.Encoding.PEM
    chain = made.sign(key, digest).public_bytes(pem)
    plain = serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    return tls_secret(chain, private)


def tls_secret(chain: bytes, private: bytes) -> str:
    data = f"{{tls.crt: {base64.b64encode(chain).decode()}, tls.key: {base64.b64encode(private).decode()}}}"
    return f"apiVersion: v1\nkind: Secret\nmetadata: {{name: a, namespace: shop}}\ndata: {data}\n"


@pytest.mark.parametrize(
    ("key", "usable"),
    [
        (rsa.generate_private_key(65537, 1024), False),
        (rsa.generate_private_key(65537, 2048), True),
        (ec.generate_private_key(ec.SECP256K1()), False),
        (ec.generate_private_key(ec.SECP256R1()), True),
        (ec.generate_private_key(ec.SECP521R1()), True),
        (ed448.Ed448PrivateKey.generate(), False),
        (ed25519.Ed25519PrivateKey.generate(), True),
    ],
)
def test_a_key_that_proxies_refuse_cannot_be_used(
    key: CertificateIssuerPrivateKeyTypes, usable: bool
) -> None:
    """What Envoy takes was tried with `envoy --mode validate`."""
    world = world_of(pair(key))
    assert ("of a kind that proxies refuse" in certificate_fault(world, "shop", "a")) is not usable


SM2 = b"""-----BEGIN CERTIFICATE-----
MIIBbzCCARWgAwIBAgIUEBjLBVABtBc5ms5/9sC+tBlEFdAwCgYIKoEcz1UBg3Uw
DDEKMAgGA1UEAwwBYTAgFw0yNjExMjMwODIxMzdaGA8yMDUxMDcxNTA4MjEzN1ow
DDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqBHM9VAYItA0IABGfGJh0Ky5nO
XsWd1nl8ffv3AthMo4OOvxZ8FFbf6M8BU50Yoz+ECnHMybEM2Mtlvn5U0Czs1G+z
CuK0apDcLimjUzBRMB0GA1UdDgQWBBQRR6QsUuP45GELUzNGdtFpiaW4HjAfBgNV
HSMEGDAWgBQRR6QsUuP45GELUzNGdtFpiaW4HjAPBgNVHRMBAf8EBTADAQH/MAoG
CCqBHM9VAYN1A0gAMEUCIBy2mWSsFx4QxyfnOpTISdSGgNOWJPxVJrScJXWVqZij
AiEA9KmfIzaqP8adSB5degI538tDeUNqxszMwvOKADXhfEQ=
-----END CERTIFICATE-----"""


def test_a_key_that_the_library_does_not_know_is_no_accident() -> None:
    world = world_of(tls_secret(SM2, b"any"))
    assert "of a kind that proxies refuse" in certificate_fault(world, "shop", "a")
