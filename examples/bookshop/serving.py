"""What the bookshop's HTTP programs share: a small JSON server that keeps connections open."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ.get("HOSTNAME", "unknown")

Answer = tuple[int, str, bytes]
"""status, content type, body"""


def as_json(value: object, status: int = 200) -> Answer:
    return status, "application/json", json.dumps(value).encode()


def serve(port: int, answer: Callable[[str, str, dict[str, str], bytes], Answer]) -> None:
    """Serve until SIGTERM. `answer` gets method, path, headers (lower case) and body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.path == "/healthz":
                status, kind, content = 200, "text/plain", b"ok\n"
            else:
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, kind, content = answer(self.command, self.path, headers, body)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = handle_any  # noqa: N815  the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: the traffic generator tells what happens."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("0.0.0.0", port), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"{NAME} serves on port {port}", flush=True)
    server.serve_forever(poll_interval=0.1)
    sys.exit(0)
