"""bank: HTTP on port 80 and HTTPS on port 443. In the guide it stands for a server that is not of the mesh.

Its certificate is for bank.example, signed by itself, and in /tmp/certificate.pem.
"""

import signal
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CERTIFICATE, KEY = "/tmp/certificate.pem", "/tmp/key.pem"
MAKE = [
    "openssl",
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "30",
    "-subj",
    "/CN=bank.example",
]
NAME = ["-addext", "subjectAltName=DNS:bank.example"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        text = f"the bank, by {'HTTPS' if isinstance(self.connection, ssl.SSLSocket) else 'HTTP'}\n"
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    plain, secure = Server(("0.0.0.0", 80), Handler), Server(("0.0.0.0", 443), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    subprocess.run([*MAKE, *NAME, "-out", CERTIFICATE, "-keyout", KEY], check=True, stderr=subprocess.DEVNULL)
    context.load_cert_chain(CERTIFICATE, KEY)
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=secure.shutdown).start())
    secure.serve_forever(poll_interval=0.1)
    sys.exit(0)
