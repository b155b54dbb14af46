"""A UDP server: datagram.py PORT. It answers each datagram with its own name and what it was sent."""

import socket
import sys

if __name__ == "__main__":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", int(sys.argv[1])))
        while True:
            data, client = server.recvfrom(2048)
            server.sendto(socket.gethostname().encode() + b" " + data, client)
