"""TLS of an Istio Gateway's servers: what is asked of clients, which Secrets are given, what is missing."""

from __future__ import annotations

import base64

import pytest

from tests.unit.mesh.certificate import secret
from tests.unit.mesh.routed import SHOP
from tests.unit.mesh.worldly import publish, world_of
from tulle.mesh.evaluate import evaluate_gateway
from tulle.mesh.evaluate.call import Connection, Request
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import Authorities, Certificate, ClientValidation, GatewayListener, ServerTls

PROXY = ("istio-system", "istio-ingressgateway")
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: ["*"]
  gateways: [edge]
  http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]
"""


def server(tls: str, protocol: str = "HTTPS", hosts: str = "[a.example]", number: int = 443) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: {number}, name: one, protocol: {protocol}}}, hosts: {hosts}, tls: {tls}}}]
"""


def authority(name: str, key: str = "cacert") -> str:
    """A Secret that says whom to trust: the certificate of another one will do."""
    chain = next(line for line in secret("x", "y").splitlines() if "tls.crt" in line)
    encoded = chain.split("tls.crt: ")[1].split(",")[0]
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: istio-system}}
data: {{{key}: {encoded}}}
"""


def made(*documents: str) -> Resolution:
    return Resolution(world_of("---".join((SHOP, ROUTE, *documents))))


def listeners(resolution: Resolution) -> tuple[GatewayListener, ...]:
    gateway = resolution.gateway(PROXY)
    assert gateway is not None
    return gateway.listeners


def faults(resolution: Resolution) -> list[tuple[str, str]]:
    return [
        (each.field, each.message) for each in resolution.problems() if each.code == "invalid-certificate"
    ]


@pytest.mark.parametrize(
    ("tls", "client"),
    [
        ("{mode: SIMPLE, credentialName: a}", None),
        ("{mode: MUTUAL, credentialName: a}", ClientValidation("istio-system/a-cacert")),
        (
            "{mode: OPTIONAL_MUTUAL, credentialName: a, subjectAltNames: [b], insecureSkipVerify: true}",
            ClientValidation("istio-system/a-cacert", required=False, verify=False, names=("b",)),
        ),
        (
            "{mode: MUTUAL, credentialNames: [a], caCertCredentialName: a-cacert}",
            ClientValidation("istio-system/a-cacert"),
        ),
    ],
)
def test_what_is_asked_of_clients(tls: str, client: ClientValidation | None) -> None:
    resolution = made(server(tls), secret("a", "istio-system"), authority("a-cacert"))
    ((chain,),) = (each.chains for each in listeners(resolution))
    assert chain.tls == ServerTls(("istio-system/a",), client)
    assert faults(resolution) == []


def test_authorities_come_from_the_secret_itself_or_one_beside_it_and_are_replaced() -> None:
    mutual = server("{mode: MUTUAL, credentialName: a}")
    world = world_of("---".join((SHOP, ROUTE, mutual, secret("a", "istio-system"))))
    resolution = Resolution(world)
    assert listeners(resolution) == ()
    assert faults(resolution) == [
        ("spec.servers[0].tls.credentialName", "there is no ca.crt or cacert for istio-system/a-cacert")
    ]
    publish(world, authority("a-cacert"))
    first, second = resolution.certificates(PROXY)
    assert isinstance(first, Certificate)
    assert isinstance(second, Authorities)
    assert second.secret == "istio-system/a-cacert"
    assert second.chain_pem.startswith(b"-----BEGIN CERTIFICATE-----")
    nonsense = base64.b64encode(b"nonsense").decode()
    publish(
        world,
        f"apiVersion: v1\nkind: Secret\nmetadata: {{name: a-cacert, namespace: istio-system}}\n"
        f"data: {{ca.crt: {nonsense}}}",
    )
    assert listeners(resolution) == ()
    assert "is not PEM" in faults(resolution)[0][1]


def test_plain_http_is_sent_to_https_with_or_without_a_route() -> None:
    redirecting = server("{httpsRedirect: true}", "HTTP", "[a.example, b.example]", 80)
    only_a = ROUTE.replace('["*"]', "[a.example]")
    resolution = Resolution(world_of("---".join((SHOP, only_a, redirecting))))
    gateway = resolution.gateway(PROXY)
    assert gateway is not None
    for host, status in (("a.example", 301), ("b.example", 301), ("c.example", 404)):
        request = Request(Connection(gateway.address, 80), "GET", host, "/")
        assert evaluate_gateway(gateway, request).status == status


def test_services_that_sni_names_are_those_of_the_hosts_alone() -> None:
    passing = server("{mode: AUTO_PASSTHROUGH}", "TLS", '["*.shop.svc.cluster.local"]')
    (listener,) = listeners(made(passing))
    names = {name for chain in listener.chains for name in chain.server_names}
    assert "outbound_.9080_._.reviews.shop.svc.cluster.local" in names
    assert not [name for name in names if ".front." in name]
    assert all(chain.meshed and chain.tls is None for chain in listener.chains)
    resolution = made(passing)
    gateway = resolution.gateway(PROXY)
    assert gateway is not None
    assert all(cluster.mtls is None for cluster in gateway.clusters)


def test_mtls_of_the_mesh_needs_no_secret() -> None:
    (listener,) = listeners(made(server("{mode: ISTIO_MUTUAL}")))
    assert [chain.tls for chain in listener.chains] == [ServerTls(())]


def test_https_without_a_mode_passes_through() -> None:
    (listener,) = listeners(made(server("{}")))
    assert [chain.tls for chain in listener.chains] == [None]
