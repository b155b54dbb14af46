"""A gateway that ends TLS for the world, with a certificate that people wrote into a Secret."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.netns.mesh import Mesh, mesh_in, wait_for

PAIR = Path(__file__).with_name("manifests") / "pair.yaml"
HOST = "shop.example.com"
EDGE = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: pair}}
spec:
  gatewayClassName: tulle
  listeners:
  - {{name: https, port: 443, protocol: HTTPS, hostname: {HOST}, tls: {{certificateRefs: [{{name: edge}}]}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: edge, namespace: pair}}
spec:
  parentRefs: [{{name: edge}}]
  rules: [{{backendRefs: [{{name: echo, port: 8080}}]}}]
"""


def secret(authority: trustme.CA) -> str:
    leaf = authority.issue_cert(HOST)
    chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
    key = leaf.private_key_pem.bytes()
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: edge, namespace: pair}}
type: kubernetes.io/tls
data: {{tls.crt: {base64.b64encode(chain).decode()}, tls.key: {base64.b64encode(key).decode()}}}
"""


class Browser(http.client.HTTPSConnection):
    """Reaches the host by a loopback port, and trusts one authority."""

    def __init__(self, local: str, authority: trustme.CA) -> None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        address, _, port = local.partition(":")
        super().__init__(address, int(port), timeout=10, context=context)
        self._context = context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=HOST)

    def status(self) -> int:
        self.request("GET", "/", headers={"Host": HOST})
        answer = self.getresponse()
        answer.read()
        return answer.status


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with mesh_in(tmp_path_factory.mktemp("https") / "home") as mesh:
        mesh.up(PAIR)
        yield mesh


def test_https_is_served_and_a_renewed_certificate_breaks_no_connection(pair: Mesh) -> None:
    first, second = trustme.CA(), trustme.CA()
    pair.apply(f"{secret(first)}---{EDGE}")
    pair.ready("pair", "edge-istio")
    old = Browser(pair.local("pair", "edge"), first)
    assert old.status() == 200
    pair.apply(secret(second))

    def renewed() -> bool:
        try:
            return Browser(pair.local("pair", "edge"), second).status() == 200
        except ssl.SSLCertVerificationError:
            return False

    wait_for("the new certificate is shown", renewed)
    with pytest.raises(ssl.SSLCertVerificationError):
        Browser(pair.local("pair", "edge"), first).status()
    assert old.status() == 200, "the connection of before is still there"


def test_the_key_is_shown_to_nobody(pair: Mesh) -> None:
    authority = trustme.CA()
    pair.apply(f"{secret(authority)}---{EDGE}")
    pair.ready("pair", "edge-istio")
    shown = pair.tulle("proxy", "config", "edge-istio", "-n", "pair", "-o", "json").stdout
    assert "kubernetes://pair/edge" in shown
    assert "PRIVATE KEY" not in shown
    assert base64.b64encode(b"-----BEGIN EC PRIVATE").decode()[:24] not in shown
