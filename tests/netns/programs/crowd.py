"""Keeps many HTTP connections open at once: crowd.py URL CONNECTIONS [CONNECTIONS...]. For each number on the
command line: connect until there are so many, send a request on each, read the answers, and print
{"answered", "refused", "open"} as a line of JSON; then wait for a line of standard input. At the end of the
numbers all connections are closed.

"refused": connections that were not made, or ended without an answer. Nothing is tried again.
"""

import json
import resource
import selectors
import socket
import sys
import time
from urllib.parse import urlsplit

PATIENCE_SECONDS = 60
UNDER_WAY = 200
"""Requests at once: what is measured is connections, not the server."""


class Crowd:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.address = (socket.gethostbyname(parts.hostname or ""), parts.port or 80)
        self.request = f"GET {parts.path or '/'} HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode()
        self.open: list[socket.socket] = []

    def grow(self, number: int) -> dict[str, int]:
        kept: list[socket.socket] = []
        waiting = self.open + [self.new() for _ in range(number - len(self.open))]
        refused = 0
        while waiting:
            turn, waiting = waiting[:UNDER_WAY], waiting[UNDER_WAY:]
            answered = self.ask(turn)
            refused += len(turn) - len(answered)
            kept += answered
        self.open = kept
        return {"answered": len(kept), "refused": refused, "open": len(self.open)}

    def new(self) -> socket.socket:
        made = socket.socket()
        made.settimeout(PATIENCE_SECONDS)
        return made

    def ask(self, connections: list[socket.socket]) -> list[socket.socket]:
        """Those that answered."""
        asked = [each for each in connections if self.send(each)]
        selector = selectors.DefaultSelector()
        for each in asked:
            each.setblocking(False)
            selector.register(each, selectors.EVENT_READ, bytearray())
        answered: list[socket.socket] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(1):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                try:
                    chunk = connection.recv(65536)
                except OSError:
                    chunk = b""
                key.data.extend(chunk)
                if not chunk or complete(key.data):
                    selector.unregister(connection)
                    if chunk and key.data.startswith(b"HTTP/1.1 200"):
                        answered.append(connection)
                    else:
                        connection.close()
        selector.close()
        for each in answered:
            each.settimeout(PATIENCE_SECONDS)
        return answered

    def send(self, connection: socket.socket) -> bool:
        try:
            try:
                connection.getpeername()
            except OSError:
                connection.connect(self.address)
            connection.sendall(self.request)
        except OSError:
            connection.close()
            return False
        return True


def complete(answer: bytearray) -> bool:
    head, end, body = bytes(answer).partition(b"\r\n\r\n")
    if not end:
        return False
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(lengths) and len(body) >= int(lengths[0].partition(b":")[2])


def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(sys.argv[1])
    for number in sys.argv[2:]:
        print(json.dumps(crowd.grow(int(number))), flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main()
