"""What is outside of the mesh, declared by ServiceEntries: real servers and a real nameserver beside it."""

from __future__ import annotations

import http.server
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import pytest
import trustme

from tests.netns.mesh import Mesh, mesh_in

TOWN = Path(__file__).with_name("manifests") / "town.yaml"
FIRST, SECOND = "192.0.2.10", "192.0.2.11"
"""Addresses of the machine that are not the mesh's."""
NAMES = {"plain.example.": FIRST, "secure.example.": FIRST, "one.example.": FIRST, "two.example.": SECOND}
NAMESERVER = "127.0.0.53"
WITH_NAMESERVER = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'

pytestmark = pytest.mark.root_only("the machine's addresses and its nameserver are the test's")


class Said(http.server.BaseHTTPRequestHandler):
    """Answers with the address that was dialled, the Host header, and whether it came by TLS."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        tls = isinstance(self.connection, ssl.SSLSocket)
        text = f"{self.connection.getsockname()[0]} {self.headers['Host']} {'tls' if tls else 'plain'}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Nameserver(socketserver.BaseRequestHandler):
    """Knows `NAMES`."""

    def handle(self) -> None:
        packet, sock = self.request
        query = dns.message.from_wire(packet)
        response = dns.message.make_response(query)
        question = query.question[0]
        address = NAMES.get(question.name.to_text().lower())
        if address is not None and question.rdtype == 1:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", address))
        sock.sendto(response.to_wire(), self.client_address)


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[None]:
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("egress")
    folder.joinpath("resolv.conf").write_text(f"nameserver {NAMESERVER}\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("secure.example").configure_cert(context)
    with ExitStack() as stack:
        for address in (FIRST, SECOND):
            subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
            stack.callback(subprocess.run, ["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True)
        for address, port in ((FIRST, 80), (FIRST, 9000), (SECOND, 9000)):
            stack.enter_context(served(http.server.ThreadingHTTPServer((address, port), Said)))
        secure = http.server.ThreadingHTTPServer((FIRST, 443), Said)
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        stack.enter_context(served(secure))
        stack.enter_context(served(socketserver.ThreadingUDPServer((NAMESERVER, 53), Nameserver)))
        mesh = stack.enter_context(mesh_in(folder / "home"))
        mesh.through = ("unshare", "--mount", "sh", "-c", WITH_NAMESERVER, str(folder / "resolv.conf"))
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


def test_a_proxy_begins_tls_and_looks_at_the_name(town: Mesh, authority: trustme.CA, tmp_path: Path) -> None:
    file = Path("/usr/local/share/tulle-test-authority.pem")
    file.write_bytes(authority.cert_pem.bytes())
    rule = f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: secure, namespace: town}}
spec: {{host: secure.example, trafficPolicy: {{tls: {{mode: SIMPLE, caCertificates: {file}}}}}}}
"""
    port = "resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]"
    try:
        with town.applied(entry("secure", port) + rule):
            assert curl(town, "http://secure.example/") == (0, f"{FIRST} secure.example tls 200")
        with town.applied(entry("secure", f"{port}, subjectAltNames: [else.example]") + rule):
            assert curl(town, "http://secure.example/")[1].endswith(" 503")
    finally:
        file.unlink()
