"""What is outside of the mesh, declared by ServiceEntries: real servers and a real nameserver beside it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from tests.netns.beyond import addressed, nameserver, said_at
from tests.netns.mesh import Mesh, mesh_in, wait_for

TOWN = Path(__file__).with_name("manifests") / "town.yaml"
FIRST, SECOND = "192.0.2.10", "192.0.2.11"
"""Addresses of the machine that are not the mesh's."""
NAMES = {"plain.example.": FIRST, "secure.example.": FIRST, "one.example.": FIRST, "two.example.": SECOND}
NAMES |= {"one.wild.example.": FIRST, "two.wild.example.": SECOND}

pytestmark = pytest.mark.root_only("the machine's addresses and its nameserver are the test's")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("egress")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("secure.example", "*.wild.example").configure_cert(context)
    with ExitStack() as stack:
        stack.enter_context(addressed(FIRST, SECOND))
        for address, port in ((FIRST, 80), (SECOND, 80), (FIRST, 9000), (SECOND, 9000)):
            stack.enter_context(said_at(address, port))
        stack.enter_context(said_at(FIRST, 443, context))
        stack.enter_context(said_at(SECOND, 443, context))
        through = stack.enter_context(nameserver(NAMES, folder))
        mesh = stack.enter_context(mesh_in(folder / "home"))
        mesh.through = through
        mesh.up(TOWN)
        yield mesh


def entry(name: str, rest: str) -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: town}}
spec: {{hosts: [{name}.example], {rest}}}
"""


REGISTRY_ONLY = """
---
apiVersion: tulle.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
"""
PLAIN = "resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]"
TCP = "resolution: DNS, ports: [{number: 9000, name: tcp, protocol: TCP}]"


def curl(mesh: Mesh, *arguments: str, text: str = "") -> tuple[int, str]:
    """curl's exit status, and the answer with its status."""
    command = ("curl", "-sS", "-m", "20", "-w", " %{http_code}", *arguments)
    done = mesh.execute("client.town", *command, status=None, text=text)
    return done.returncode, done.stdout


def address(mesh: Mesh, host: str) -> str:
    return mesh.execute("client.town", "getent", "ahostsv4", host).stdout.split()[0]


def test_two_tcp_services_share_a_port(town: Mesh) -> None:
    with town.applied(entry("one", TCP) + entry("two", TCP)):
        found = {address(town, f"{name}.example") for name in ("one", "two")}
        assert len(found - {FIRST, SECOND}) == 2, "each has an address of the mesh's own"
        assert curl(town, "http://one.example:9000/") == (0, f"{FIRST} one.example:9000 plain 200")
        assert curl(town, "http://two.example:9000/") == (0, f"{SECOND} two.example:9000 plain 200")
    assert address(town, "one.example") == FIRST, "the machine's resolver answers again"


def test_what_nobody_declared_is_refused(town: Mesh, authority: trustme.CA) -> None:
    trusted = authority.cert_pem.bytes().decode()
    https = ("--cacert", "/dev/stdin")
    elsewhere = ("--resolve", f"secure.example:443:{FIRST}")
    declared = entry("plain", "resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]") + entry(
        "secure", "resolution: DNS, ports: [{number: 443, name: https, protocol: HTTPS}]"
    )
    assert curl(town, "http://plain.example/") == (0, f"{FIRST} plain.example plain 200")
    with town.applied(REGISTRY_ONLY):
        assert curl(town, "http://plain.example/")[1].endswith(" 502")
        assert curl(town, *https, "https://secure.example/", text=trusted)[0] != 0
        with town.applied(declared):
            assert curl(town, "http://plain.example/") == (0, f"{FIRST} plain.example plain 200")
            assert curl(town, f"http://{FIRST}/")[1].endswith(" 502")
            secure = (0, f"{FIRST} secure.example tls 200")
            assert curl(town, *https, "https://secure.example/", text=trusted) == secure
            # By its server name, wherever its caller has found it.
            assert curl(town, *https, *elsewhere, "https://secure.example/", text=trusted) == secure
            other = ("--resolve", f"other.example:443:{FIRST}", "-k")
            assert curl(town, *other, "https://other.example/")[0] != 0


def replaced(file: Path, authority: trustme.CA) -> None:
    """As tools do it that renew certificates: the new file is moved to the place of the old one."""
    new = file.with_suffix(".new")
    new.write_bytes(authority.cert_pem.bytes())
    new.replace(file)


def test_a_proxy_begins_tls_and_looks_at_the_name(town: Mesh, authority: trustme.CA, tmp_path: Path) -> None:
    file = Path("/usr/local/share/tulle-test-authority.pem")
    file.write_bytes(authority.cert_pem.bytes())
    rule = f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: secure, namespace: town}}
spec:
  host: secure.example
  trafficPolicy:
    tls: {{mode: SIMPLE, caCertificates: {file}}}
    connectionPool: {{http: {{maxRequestsPerConnection: 1}}}}  # what is connected stays so
"""
    port = "resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]"
    try:
        with town.applied(entry("secure", port) + rule):
            assert curl(town, "http://secure.example/") == (0, f"{FIRST} secure.example tls 200")
            other = trustme.CA()
            replaced(file, other)
            wait_for(
                "the other authority is believed",
                lambda: curl(town, "http://secure.example/")[1][-3:] == "503",
            )
            replaced(file, authority)
            wait_for("the first one again", lambda: curl(town, "http://secure.example/")[1][-3:] == "200")
        with town.applied(entry("secure", f"{port}, subjectAltNames: [else.example]") + rule):
            assert curl(town, "http://secure.example/")[1].endswith(" 503")
    finally:
        file.unlink()


def test_two_entries_of_one_host_have_the_ports_of_both(town: Mesh, authority: trustme.CA) -> None:
    other = entry("secure", "resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]")
    entries = entry("secure", PLAIN) + other.replace("name: secure,", "name: secure-tls,")
    trusted = authority.cert_pem.bytes().decode()
    with town.applied(REGISTRY_ONLY), town.applied(entries):
        assert curl(town, "http://secure.example/") == (0, f"{FIRST} secure.example plain 200")
        https = curl(town, "--cacert", "/dev/stdin", "https://secure.example/", text=trusted)
        assert https == (0, f"{FIRST} secure.example tls 200")


def test_a_service_is_called_by_another_name_and_port(town: Mesh) -> None:
    """A DNS entry whose one address is a Service leads to what stands behind it."""
    behind = "endpoints: [{address: echo.town.svc.cluster.local, ports: {http: 80}}]"
    with town.applied(entry("alias", f"{PLAIN.replace('80', '8080')}, {behind}")):
        assert town.request("client.town", "http://alias.example:8080/")["status"] == 200


WILD = """
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: town}
spec:
  hosts: ["*.wild.example"]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]
  resolution: DYNAMIC_DNS
"""


def test_every_host_of_a_domain_has_the_address_that_its_name_has(town: Mesh, authority: trustme.CA) -> None:
    trusted = authority.cert_pem.bytes().decode()
    with town.applied(REGISTRY_ONLY), town.applied(WILD):
        for name, there in (("one", FIRST), ("two", SECOND)):
            host = f"{name}.wild.example"
            assert curl(town, f"http://{host}/") == (0, f"{there} {host} plain 200")
            https = curl(town, "--cacert", "/dev/stdin", f"https://{host}/", text=trusted)
            assert https == (0, f"{there} {host} tls 200")
            # Its caller says who it wants, and the proxy where that is.
            wrong = curl(
                town, "--connect-to", f"::{FIRST if there == SECOND else SECOND}:", f"http://{host}/"
            )
            assert wrong == (0, f"{there} {host} plain 200")
        assert curl(town, "http://none.wild.example/", "--connect-to", f"::{FIRST}:")[1].endswith(" 503")
        assert curl(town, "http://plain.example/")[1].endswith(" 502")
