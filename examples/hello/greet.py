"""greeter: plain TCP on port 7000, for the guide. Says which program it is, and closes."""

import os
import signal
import socketserver
import sys
import threading

NAME = os.environ.get("HOSTNAME", "unknown")


class Greeting(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(f"greetings from {NAME}\n".encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    server = Server(("0.0.0.0", 7000), Greeting)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)
    sys.exit(0)
