from tulle.ads.mirror import SHARED_SECRETS
from tulle.mesh.policy.certificate import of_config_maps
from tulle.mesh.view import Authorities, Certificate
from tulle.xds import message
from tulle.xds.certificate import translate_certificate


def test_a_certificate_is_a_secret_by_the_name_that_listeners_give_it() -> None:
    made = translate_certificate(Certificate("shop/edge", b"chain", b"key"))
    assert made.name == "kubernetes://shop/edge"
    secret = message.Secret.FromString(made.body)
    assert secret.name == made.name
    assert secret.tls_certificate.certificate_chain.inline_bytes == b"chain"
    assert secret.tls_certificate.private_key.inline_bytes == b"key"


def test_a_key_is_in_no_text() -> None:
    certificate = Certificate("shop/edge", b"chain", b"very secret")
    assert "very secret" not in f"{certificate!r} {translate_certificate(certificate)!r}"


def test_every_such_secret_has_a_name_that_agents_ask_the_control_plane_for() -> None:
    made = (
        Certificate("shop/edge", b"chain", b"key"),
        Authorities("shop/edge-cacert", b"chain"),
        Authorities(of_config_maps(["shop/one", "shop/two"]), b"chain"),
    )
    names = [translate_certificate(each).name for each in made]
    assert names == [
        "kubernetes://shop/edge",
        "kubernetes://shop/edge-cacert",
        "configmap://shop/one,shop/two",
    ]
    assert all(name.startswith(SHARED_SECRETS) for name in names)
