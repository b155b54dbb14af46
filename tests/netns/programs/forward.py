"""An HTTP server that asks another for its answer: forward.py PORT URL. GET /healthz answers ok."""

import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

TARGET = urlsplit(sys.argv[2])


class Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        status, content = (200, b"ok\n") if self.path == "/healthz" else self.ask(body)
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815  the name that http.server looks for

    def ask(self, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(TARGET.hostname or "", TARGET.port or 80, timeout=10)
        try:
            connection.request(self.command, TARGET.path, body=body or None)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    Server(("0.0.0.0", int(sys.argv[1])), Forward).serve_forever()
