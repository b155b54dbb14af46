"""A WebSocket client (RFC 6455): chat.py HOST PORT TEXT... prints status, accept value and answers."""

import os
import socket
import sys


def frame(text: bytes) -> bytes:
    mask = os.urandom(4)
    return bytes([0x81, 0x80 | len(text)]) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))


if __name__ == "__main__":
    host, port, *texts = sys.argv[1:]
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(
            f"GET /chat HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        stream = client.makefile("rb")
        print(stream.readline().decode().strip())
        headers = {}
        while line := stream.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        print(headers["sec-websocket-accept"])
        for text in texts:
            client.sendall(frame(text.encode()))
            head = stream.read(2)
            print(stream.read(head[1]).decode())
