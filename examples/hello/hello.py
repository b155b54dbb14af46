"""hello: HTTP on port 8080, for the guide. Says which program it is.

GET /          hello from NAME          GET /slow      the same after a second
GET /healthz   ready

While the file /tmp/broken exists it answers 500 to everything but /healthz. (/tmp is each workload's own.)
"""

import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAME = os.environ.get("HOSTNAME", "unknown")
BROKEN = Path("/tmp/broken")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path != "/healthz":
            print(f"GET {self.path}", flush=True)
            if BROKEN.exists():
                self.answer(500, f"{NAME} is broken\n")
                return
            if self.path.startswith("/slow"):
                time.sleep(1)
        self.answer(200, f"hello from {NAME}\n")

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """One line for each request is enough."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    server = Server(("0.0.0.0", 8080), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)
    sys.exit(0)
