"""`tls` of a Gateway: certificates of clients, its own towards backends, and what the status says of both."""

from __future__ import annotations

import base64

import pytest

from tests.unit.mesh.certificate import certificate_pem, secret
from tests.unit.mesh.routed import codes, shop
from tests.unit.mesh.test_backend_tls_policy import authorities, cluster, policy
from tests.unit.mesh.test_gateway_standard import GROUP, HTTP, conditions, route, served
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import Authorities, Certificate, ClientValidation, ServerTls

CERT = "tls: {certificateRefs: [{name: cert}]}"
HTTPS = f"{{name: https, port: 443, protocol: HTTPS, {CERT}}}"
OTHER = f"{{name: other, port: 8443, protocol: HTTPS, {CERT}}}"


def ref(name: str = "ca", more: str = "", kind: str = "ConfigMap") -> str:
    return f"{{group: '', kind: {kind}, name: {name}{more}}}"


def asking(*refs: str, mode: str = "") -> str:
    said = f", mode: {mode}" if mode else ""
    return f"{{validation: {{caCertificateRefs: [{', '.join(refs)}]{said}}}}}"


def gateway(listeners: str, default: str = "{}", per_port: str = "[]", backend: str = "{}") -> str:
    return f"""
apiVersion: {GROUP}/v1
kind: Gateway
metadata: {{name: edge, namespace: shop, generation: 3}}
spec:
  gatewayClassName: tulle
  listeners: {listeners}
  tls: {{frontend: {{default: {default}, perPort: {per_port}}}, backend: {backend}}}
"""


def asked(resolution: Resolution) -> dict[int, ClientValidation | None]:
    """What each port with TLS asks of clients."""
    found = (
        (listener.port, chain.tls) for listener in served(resolution).listeners for chain in listener.chains
    )
    return {port: tls.client for port, tls in found if tls is not None}


def listeners(resolution: Resolution) -> dict[str, dict[str, str]]:
    return conditions(resolution, "Gateway", "edge")[1]


def test_a_port_asks_what_is_written_for_it_else_what_is_written_for_all() -> None:
    _, resolution = shop(
        gateway(
            f"[{HTTP}, {HTTPS}, {OTHER}, {{name: free, port: 9443, protocol: HTTPS, {CERT}}}]",
            asking(ref()),
            f"[{{port: 8443, tls: {asking(ref('more'))}}}, {{port: 9443, tls: {{}}}}]",
        ),
        secret("cert", "shop"),
        authorities(),
        authorities("more"),
    )
    assert asked(resolution) == {
        443: ClientValidation("configmap://shop/ca"),
        8443: ClientValidation("configmap://shop/more"),
        9443: None,
    }
    given = resolution.certificates(("shop", "edge-istio"))
    assert [type(each) for each in given] == [Certificate, Authorities, Authorities]
    assert [each.secret for each in given] == ["shop/cert", "configmap://shop/ca", "configmap://shop/more"]
    own, of = conditions(resolution, "Gateway", "edge")
    assert own == {
        "Accepted": "True Accepted",
        "Programmed": "True Programmed",
        "ResolvedRefs": "True ResolvedRefs",
    }
    assert {name: each["ResolvedRefs"] for name, each in of.items()} == dict.fromkeys(of, "True ResolvedRefs")
    assert codes(resolution) == []


def test_an_insecure_fallback_lets_everybody_in_and_says_so() -> None:
    _, resolution = shop(
        gateway(f"[{HTTPS}]", asking(ref(), mode="AllowInsecureFallback")),
        secret("cert", "shop"),
        authorities(),
    )
    assert asked(resolution) == {443: ClientValidation("configmap://shop/ca", required=False, verify=False)}
    own, _ = conditions(resolution, "Gateway", "edge")
    assert own["InsecureFrontendValidationMode"] == "True ConfigurationChanged"


@pytest.mark.parametrize(
    ("wrong", "reason", "code"),
    [
        (ref("nobody"), "InvalidCACertificateRef", "invalid-certificate"),
        (ref("broken"), "InvalidCACertificateRef", "invalid-certificate"),
        (ref("reviews", kind="Service"), "InvalidCACertificateKind", "invalid-reference-kind"),
        (ref("ca", ", namespace: other"), "RefNotPermitted", "reference-not-permitted"),
    ],
)
def test_without_an_authority_the_https_listeners_of_the_port_are_not_served(
    wrong: str, reason: str, code: str
) -> None:
    _, resolution = shop(
        gateway(f"[{HTTP}, {HTTPS}, {OTHER}]", asking(wrong), f"[{{port: 8443, tls: {asking(ref())}}}]"),
        secret("cert", "shop"),
        authorities(),
        authorities("broken", "no certificate"),
        route("all"),
    )
    found = listeners(resolution)
    assert found["https"]["Accepted"] == "False NoValidCACertificate"
    assert found["https"]["Programmed"].startswith("False")
    assert found["https"]["ResolvedRefs"] == f"False {reason}"
    for name in ("http", "other"):
        assert {found[name][each] for each in ("Accepted", "Programmed", "ResolvedRefs")} == {
            "True Accepted",
            "True Programmed",
            "True ResolvedRefs",
        }
    assert list(asked(resolution)) == [8443]
    assert conditions(resolution, "Gateway", "edge")[0]["ResolvedRefs"] == "False ListenersNotResolved"
    field = "spec.tls.frontend.default.validation.caCertificateRefs[0]"
    assert codes(resolution) == [(code, "Gateway/edge", field)]


def test_of_several_authorities_those_that_can_be_used_are_trusted() -> None:
    _, resolution = shop(
        gateway(f"[{HTTPS}]", asking(ref("nobody"), ref(), ref("more"))),
        secret("cert", "shop"),
        authorities(),
        authorities("more"),
    )
    assert asked(resolution) == {443: ClientValidation("configmap://shop/ca,shop/more")}
    (_, trusted) = resolution.certificates(("shop", "edge-istio"))
    assert isinstance(trusted, Authorities)
    assert trusted.chain_pem == 2 * certificate_pem().encode()
    found = listeners(resolution)["https"]
    assert (found["Accepted"], found["ResolvedRefs"]) == ("True Accepted", "False InvalidCACertificateRef")


def test_a_grant_permits_authorities_of_another_namespace() -> None:
    grant = f"""
apiVersion: {GROUP}/v1beta1
kind: ReferenceGrant
metadata: {{name: ca, namespace: other}}
spec:
  from: [{{group: {GROUP}, kind: Gateway, namespace: shop}}]
  to: [{{group: '', kind: ConfigMap}}]
"""
    there = authorities().replace("namespace: shop", "namespace: other")
    _, resolution = shop(
        gateway(f"[{HTTPS}]", asking(ref("ca", ", namespace: other"))), secret("cert", "shop"), there, grant
    )
    assert asked(resolution) == {443: ClientValidation("configmap://other/ca")}


def test_tls_that_is_not_https_asks_nothing() -> None:
    tls = f"{{name: tls, port: 444, protocol: TLS, {CERT}}}"
    tcp_route = f"""
apiVersion: {GROUP}/v1
kind: TCPRoute
metadata: {{name: all, namespace: shop}}
spec: {{parentRefs: [{{name: edge}}], rules: [{{backendRefs: [{{name: orders, port: 7000}}]}}]}}
"""
    _, resolution = shop(gateway(f"[{tls}]", asking(ref())), secret("cert", "shop"), authorities(), tcp_route)
    (listener,) = served(resolution).listeners
    assert [chain.tls for chain in listener.chains] == [ServerTls(("shop/cert",))]


# -- towards backends --------------------------------------------------------------------------------

SHOWN = "{clientCertificateRef: {name: cert}}"


def test_a_gateway_shows_its_certificate_to_backends_that_a_policy_is_for_and_to_no_other() -> None:
    texts = (gateway(f"[{HTTP}]", backend=SHOWN), secret("cert", "shop"), route("all"))
    _, resolution = shop(*texts, authorities(), policy("one"))
    tls = cluster(resolution).tls
    assert tls is not None
    assert tls.certificate_secret == "shop/cert"
    assert [each.secret for each in resolution.certificates(("shop", "edge-istio"))] == ["shop/cert"]
    assert conditions(resolution, "Gateway", "edge")[0]["ResolvedRefs"] == "True ResolvedRefs"

    _, resolution = shop(*texts)
    assert cluster(resolution).tls is None
    assert resolution.certificates(("shop", "edge-istio")) == ()


@pytest.mark.parametrize(
    ("wrong", "reason", "code"),
    [
        ("name: nobody", "InvalidClientCertificateRef", "invalid-certificate"),
        ("name: cert, kind: Other", "InvalidClientCertificateRef", "invalid-certificate"),
        ("name: cert, group: example.org", "InvalidClientCertificateRef", "invalid-certificate"),
        ("name: cert, namespace: other", "RefNotPermitted", "reference-not-permitted"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_not_shown(wrong: str, reason: str, code: str) -> None:
    _, resolution = shop(
        gateway(f"[{HTTP}]", backend=f"{{clientCertificateRef: {{{wrong}}}}}"),
        secret("cert", "shop"),
        route("all"),
        authorities(),
        policy("one"),
    )
    tls = cluster(resolution).tls
    assert tls is not None
    assert tls.certificate_secret == ""
    own, _ = conditions(resolution, "Gateway", "edge")
    assert (own["Accepted"], own["ResolvedRefs"]) == ("True Accepted", f"False {reason}")
    assert codes(resolution) == [(code, "Gateway/edge", "spec.tls.backend.clientCertificateRef")]


OPTION = "gateway.istio.io/tls-terminate-mode"


def with_authority(name: str) -> str:
    """A Secret with the authority of clients beside the certificate of the server, as Istio takes it."""
    authority = base64.b64encode(certificate_pem().encode()).decode()
    return secret(name, "shop").replace("\ndata: {", f"\ndata: {{ca.crt: {authority}, ")


def by_option(mode: str, protocol: str = "HTTPS") -> str:
    said = f"tls: {{certificateRefs: [{{name: cert}}], options: {{{OPTION}: {mode}}}}}"
    return gateway(f"[{{name: https, port: 443, protocol: {protocol}, {said}}}, {OTHER}]")


@pytest.mark.parametrize(("mode", "required"), [("MUTUAL", True), ("OPTIONAL_MUTUAL", False)])
def test_istios_option_asks_for_certificates_at_one_listener(mode: str, required: bool) -> None:
    _, resolution = shop(by_option(mode), with_authority("cert"))
    assert asked(resolution) == {443: ClientValidation("shop/cert-cacert", required=required), 8443: None}
    assert codes(resolution) == []
    given = resolution.certificates(("shop", "edge-istio"))
    assert [each.secret for each in given] == ["shop/cert", "shop/cert-cacert"]


def test_istios_option_without_authorities_serves_nobody_and_says_so() -> None:
    _, resolution = shop(by_option("MUTUAL"), secret("cert", "shop"))
    assert list(asked(resolution)) == [8443]
    assert listeners(resolution)["https"]["ResolvedRefs"] == "False InvalidCACertificateRef"
    found = [("invalid-certificate", "Gateway/edge", "spec.listeners[0].tls.certificateRefs")]
    assert codes(resolution) == found
