"""An egress gateway between a mesh and a server beside it, in both languages, as in Istio's tasks."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from tests.netns.beyond import addressed, nameserver, said_at
from tests.netns.mesh import Mesh, mesh_in, wait_for

TOWN = Path(__file__).with_name("manifests") / "town.yaml"
THERE = "192.0.2.20"
HOST = "secure.example"
AUTHORITY = Path("/usr/local/share/tulle-test-egress.pem")
pytestmark = pytest.mark.root_only("the machine's addresses and its nameserver are the test's")

ENTRY = """
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: secure, namespace: town}
spec:
  hosts: [secure.example]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]
  resolution: DNS
"""
ORIGINATE = f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: originate, namespace: town}}
spec:
  host: {HOST}
  trafficPolicy:
    portLevelSettings: [{{port: {{number: 443}}, tls: {{mode: SIMPLE, caCertificates: {AUTHORITY}}}}}]
"""
MUTUAL = f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: originate, namespace: NAMESPACE}}
spec:
  host: {HOST}
  trafficPolicy:
    portLevelSettings: [{{port: {{number: 443}}, tls: {{mode: MUTUAL, credentialName: client, sni: {HOST}}}}}]
"""
ISTIO = """
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: way-out, namespace: town}
spec: {selector: {istio: egressgateway}, servers: [{hosts: [secure.example], SERVER}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: way-out, namespace: town}
spec: {host: istio-egressgateway.istio-system.svc.cluster.local, subsets: [{name: secure POLICY}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: secure, namespace: town}
spec:
  hosts: [secure.example]
  gateways: [way-out, mesh]
  ROUTES:
  - match: [{gateways: [mesh], port: PORT SNI}]
    route:
    - destination:
        host: istio-egressgateway.istio-system.svc.cluster.local
        subset: secure
        port: {number: PORT}
  - match: [{gateways: [way-out], port: PORT SNI}]
    route: [{destination: {host: secure.example, port: {number: LAST}}}]
"""
GATEWAY_API = """
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way-out, namespace: town}
spec: {gatewayClassName: tulle, listeners: [{name: it, hostname: secure.example, LISTENER}]}
---
apiVersion: gateway.networking.k8s.io/VERSION
kind: KIND
metadata: {name: to-gateway, namespace: town}
spec:
  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: secure}]
  rules: [{backendRefs: [{name: way-out-istio, port: PORT}]}]
---
apiVersion: gateway.networking.k8s.io/VERSION
kind: KIND
metadata: {name: from-gateway, namespace: town}
spec:
  parentRefs: [{name: way-out}]
  hostnames: [secure.example]
  rules: [{backendRefs: [{group: networking.istio.io, kind: Hostname, name: secure.example, port: LAST}]}]
"""
TO_GATEWAY = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: way-out, namespace: town}
spec:
  host: way-out-istio.town.svc.cluster.local
  trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: ISTIO_MUTUAL, sni: secure.example}}]}
"""


def filled(text: str, **words: str) -> str:
    for word, meant in words.items():
        text = text.replace(word, meant)
    return ENTRY + text


PLAIN = {
    "istio": filled(
        ISTIO,
        SERVER="port: {number: 80, name: http, protocol: HTTP}",
        POLICY="",
        ROUTES="http",
        PORT="80",
        SNI="",
        LAST="80",
    ),
    "way-out": filled(
        GATEWAY_API,
        LISTENER="port: 80, protocol: HTTP",
        VERSION="v1beta1",
        KIND="HTTPRoute",
        PORT="80",
        LAST="80",
    ),
}
PASSED = {
    "istio": filled(
        ISTIO,
        SERVER="port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}",
        POLICY="",
        ROUTES="tls",
        PORT="443",
        SNI=", sniHosts: [secure.example]",
        LAST="443",
    ),
    "way-out": filled(
        GATEWAY_API,
        LISTENER="port: 443, protocol: TLS, tls: {mode: Passthrough}",
        VERSION="v1alpha2",
        KIND="TLSRoute",
        PORT="443",
        LAST="443",
    ),
}
BEGUN = {
    "istio": filled(
        ISTIO,
        SERVER="port: {number: 80, name: https, protocol: HTTPS}, tls: {mode: ISTIO_MUTUAL}",
        POLICY=", trafficPolicy: {portLevelSettings: "
        "[{port: {number: 80}, tls: {mode: ISTIO_MUTUAL, sni: secure.example}}]}",
        ROUTES="http",
        PORT="80",
        SNI="",
        LAST="443",
    ),
    "way-out": filled(
        GATEWAY_API,
        LISTENER="port: 80, protocol: HTTPS, "
        "tls: {mode: Terminate, options: {gateway.istio.io/tls-terminate-mode: ISTIO_MUTUAL}}",
        VERSION="v1",
        KIND="HTTPRoute",
        PORT="80",
        LAST="443",
    )
    + TO_GATEWAY,
}
LANGUAGES = pytest.mark.parametrize("language", PLAIN)


@pytest.fixture(scope="module")
def authority() -> Iterator[trustme.CA]:
    made = trustme.CA()
    AUTHORITY.write_bytes(made.cert_pem.bytes())
    yield made
    AUTHORITY.unlink()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("egress-gateway")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(tls)
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_OPTIONAL
    with ExitStack() as stack:
        stack.enter_context(addressed(THERE))
        stack.enter_context(said_at(THERE, 80))
        stack.enter_context(said_at(THERE, 443, tls))
        through = stack.enter_context(nameserver({f"{HOST}.": THERE}, folder))
        mesh = stack.enter_context(mesh_in(folder / "home"))
        mesh.through = through
        mesh.up(TOWN)
        yield mesh


def proxy(language: str) -> tuple[str, str]:
    """Namespace and name of the gateway's own proxy."""
    return ("istio-system", "istio-egressgateway") if language == "istio" else ("town", "way-out-istio")


def passed(mesh: Mesh, language: str, port: int) -> float:
    """How many connections the gateway has opened to a port of the host outside."""
    namespace, name = proxy(language)
    said = mesh.tulle("proxy", "stats", name, "-n", namespace).stdout
    cluster = f'"outbound|{port}||{HOST}"'
    lines = [line for line in said.splitlines() if line.startswith("envoy_cluster_upstream_cx_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if cluster in line)


def answer(mesh: Mesh, *arguments: str, text: str = "") -> str:
    command = ("curl", "-sS", "-m", "20", *arguments)
    return mesh.execute("client.town", *command, status=None, text=text).stdout


def reached(mesh: Mesh, shown: str, language: str, port: int, *arguments: str, text: str = "") -> None:
    """What curl gets, from the moment at which the gateway is up; and by the gateway it goes."""
    mesh.ready(*proxy(language))
    assert answer(mesh, *arguments, text=text) == shown
    assert passed(mesh, language, port)


@LANGUAGES
def test_http_leaves_by_the_gateway(town: Mesh, language: str) -> None:
    with town.applied(PLAIN[language]):
        reached(town, f"{THERE} {HOST} plain", language, 80, f"http://{HOST}/")


@LANGUAGES
def test_tls_is_passed_by_its_server_name(town: Mesh, language: str, authority: trustme.CA) -> None:
    with town.applied(PASSED[language]):
        trusted = authority.cert_pem.bytes().decode()
        url = ("--cacert", "/dev/stdin", f"https://{HOST}/")
        reached(town, f"{THERE} {HOST} tls", language, 443, *url, text=trusted)
        found_elsewhere = ("--resolve", f"{HOST}:443:{THERE}")
        reached(town, f"{THERE} {HOST} tls", language, 443, *found_elsewhere, *url, text=trusted)


@LANGUAGES
def test_the_gateway_begins_tls(town: Mesh, language: str) -> None:
    with town.applied(BEGUN[language] + ORIGINATE):
        reached(town, f"{THERE} {HOST} tls", language, 443, f"http://{HOST}/")


@LANGUAGES
def test_the_gateway_shows_its_certificate(town: Mesh, language: str, authority: trustme.CA) -> None:
    namespace, _ = proxy(language)
    own = authority.issue_cert("client.example")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "client", "namespace": namespace},
        "stringData": {
            "tls.key": own.private_key_pem.bytes().decode(),
            "tls.crt": "".join(each.bytes().decode() for each in own.cert_chain_pems),
            "ca.crt": authority.cert_pem.bytes().decode(),
        },
    }
    documents = BEGUN[language] + MUTUAL.replace("NAMESPACE", namespace) + f"---\n{json.dumps(secret)}\n"
    with town.applied(documents):
        reached(town, f"{THERE} {HOST} tls client.example", language, 443, f"http://{HOST}/")


def test_a_virtual_service_for_port_80_of_a_service_without_one(town: Mesh) -> None:
    """Istio's task has a Service with port 443 alone, and callers without TLS."""
    documents = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: greeter, namespace: town}
spec:
  hosts: [greeter.town.svc.cluster.local]
  http: [{match: [{gateways: [mesh], port: 80}], route: [{destination: {host: echo, port: {number: 80}}}]}]
"""
    url = "http://greeter.town.svc.cluster.local/"
    assert town.request("client.town", url)["status"] == 503
    with town.applied(documents):
        assert wait_for("it is routed", lambda: town.request("client.town", url))["status"] == 200
