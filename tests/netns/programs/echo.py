"""An HTTP server that says what it was sent and by whom: echo.py PORT [SECONDS]. GET /healthz answers ok.

SECONDS: how long it thinks about everything else.
"""

import json
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

THINKING_SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path != "/healthz":
            time.sleep(THINKING_SECONDS)
        said = {
            "name": socket.gethostname(),
            "peer": self.client_address[0],
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body.decode(errors="replace"),
        }
        content = b"ok\n" if self.path == "/healthz" else json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815  the names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    server = Server(("0.0.0.0", int(sys.argv[1])), Echo)
    print(f"{socket.gethostname()} echoes on port {sys.argv[1]}", flush=True)
    server.serve_forever()
