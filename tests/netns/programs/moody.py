"""An HTTP server that answers with its name, and with 503 from when it is told to: moody.py PORT NAME.

GET /healthz answers ok, whatever the mood; POST /fail changes it.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = sys.argv[2]


class Moody(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    failing = False

    def do_GET(self) -> None:
        good = self.path == "/healthz" or not Moody.failing
        content = f"{NAME}\n".encode()
        self.send_response(200 if good else 503)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        Moody.failing = True
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Moody).serve_forever()
