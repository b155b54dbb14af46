"""What is outside of a test's mesh: servers at addresses of the machine's own, and the machine's nameserver.

Nothing of it leaves the machine, or what stands for it in a test.
"""

from __future__ import annotations

import http.server
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset

NAMESERVER = "127.0.0.53"
_WITH_NAMESERVER = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


class Said(http.server.BaseHTTPRequestHandler):
    """Answers with the address that was dialled, the Host header, and whether it came by TLS, and as whom."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        how = "plain"
        if isinstance(self.connection, ssl.SSLSocket):
            peer: Any = self.connection.getpeercert() or {}
            names = [name for kind, name in peer.get("subjectAltName", ()) if kind == "DNS"]
            how = " ".join(("tls", *names))
        text = f"{self.connection.getsockname()[0]} {self.headers['Host']} {how}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        packet, sock = self.request
        query = dns.message.from_wire(packet)
        response = dns.message.make_response(query)
        question = query.question[0]
        assert isinstance(self.server, _Nameserver)
        address = self.server.names.get(question.name.to_text().lower())
        if address is not None and question.rdtype == 1:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", address))
        sock.sendto(response.to_wire(), self.client_address)


class _Nameserver(socketserver.ThreadingUDPServer):
    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__((NAMESERVER, 53), _Answer)
        self.names = names


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[None]:
    """The server answers while the block runs."""
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def said_at(address: str, port: int, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    """A server of HTTP(S) at an address."""
    server = http.server.ThreadingHTTPServer((address, port), Said)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    with served(server):
        yield


@contextmanager
def addressed(*addresses: str) -> Iterator[None]:
    """The machine has these addresses."""
    with ExitStack() as stack:
        for address in addresses:
            subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
            stack.callback(subprocess.run, ["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True)
        yield


@contextmanager
def nameserver(names: Mapping[str, str], folder: Path) -> Iterator[tuple[str, ...]]:
    """The machine's nameserver knows these names (with a dot at their end). Yields what commands that shall
    ask it are to be run by."""
    file = folder / "resolv.conf"
    file.write_text(f"nameserver {NAMESERVER}\n")
    with served(_Nameserver(names)):
        yield ("unshare", "--mount", "sh", "-c", _WITH_NAMESERVER, str(file))
