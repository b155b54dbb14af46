"""The load generator: requests at a fixed rate on kept connections, whether or not answers come (open loop).

Run by `load.py` inside a network namespace, with the standard library alone, so that it starts fast and costs
little: one thread, one epoll, a timer of the kernel for the rate. A request's latency counts from the moment
at which it was due, so that a stall is seen by every request that was due in it (no coordinated omission).

Orders are lines of JSON on standard input, results on standard output.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import socket
import struct
import sys
import time
from collections import deque

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME
_LAST_ANSWERS_SECONDS = 5.0
_HEADER_END = b"\r\n\r\n"

_libc = ctypes.CDLL(None, use_errno=True)


def _timer(first: float, interval: float) -> int:
    """A descriptor that is readable whenever a request is due (timerfd_create(2))."""
    descriptor = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    times = (int(interval), int(interval % 1 * 1e9), int(first), int(first % 1 * 1e9))
    if descriptor < 0 or _libc.timerfd_settime(descriptor, _ABSOLUTE, struct.pack("4q", *times), None):
        raise OSError(ctypes.get_errno(), "no timer")
    return descriptor


class Load:
    """One order: `rate` requests a second for `seconds` over `connections` connections."""

    def __init__(self, order: dict[str, object]) -> None:
        self.address = (str(order["address"]), int(str(order["port"])))
        self.rate = float(str(order["rate"]))
        self.count = int(self.rate * float(str(order["seconds"])))
        self.body = int(str(order["body"]))
        self.request = f"GET / HTTP/1.1\r\nhost: {order['host']}\r\n\r\n".encode()
        self.epoll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self.free: deque[int] = deque()
        self.due: dict[int, float] = {}  # by connection: when what is under way on it was due
        self.waiting: deque[float] = deque()
        self.parts: dict[int, bytes] = {}
        self.latencies: list[float] = []
        self.failed = 0
        for _ in range(int(str(order["connections"]))):
            self._connect()

    def run(self) -> dict[str, float]:
        interval = 1 / self.rate
        first = time.monotonic() + 0.01
        timer = _timer(first, interval)
        self.epoll.register(timer, select.EPOLLIN)
        began = time.process_time()
        due = 0
        deadline = first + self.count * interval + _LAST_ANSWERS_SECONDS
        while len(self.latencies) + self.failed < self.count and time.monotonic() < deadline:
            for descriptor, _ in self.epoll.poll(1):
                if descriptor == timer:
                    for _ in range(struct.unpack("q", os.read(timer, 8))[0]):
                        if due < self.count:
                            self.waiting.append(first + due * interval)
                            due += 1
                else:
                    self._read(descriptor)
            while self.waiting and self.free:
                self._send(self.free.popleft())
        spent = time.process_time() - began
        os.close(timer)
        self.failed = self.count - len(self.latencies)
        for each in self.sockets.values():
            each.close()
        self.epoll.close()
        return self._result(spent)

    def _connect(self) -> None:
        opened = socket.create_connection(self.address, timeout=5)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setblocking(False)
        self.sockets[opened.fileno()] = opened
        self.free.append(opened.fileno())
        self.epoll.register(opened.fileno(), select.EPOLLIN)

    def _send(self, descriptor: int) -> None:
        self.due[descriptor] = self.waiting.popleft()
        try:
            self.sockets[descriptor].send(self.request)
        except OSError:
            self._fail(descriptor)

    def _read(self, descriptor: int) -> None:
        try:
            content = self.sockets[descriptor].recv(65536)
        except OSError:
            content = b""
        if not content:
            self._fail(descriptor)
            return
        if descriptor in self.parts:
            content = self.parts.pop(descriptor) + content
        end = content.find(_HEADER_END)
        if end < 0 or len(content) < end + len(_HEADER_END) + self.body:
            self.parts[descriptor] = content
            return
        if not content.startswith(b"HTTP/1.1 200"):
            self._fail(descriptor)
            return
        self.latencies.append(time.monotonic() - self.due.pop(descriptor))
        self.free.append(descriptor)

    def _fail(self, descriptor: int) -> None:
        self.failed += descriptor in self.due
        self.due.pop(descriptor, None)
        self.parts.pop(descriptor, None)
        self.epoll.unregister(descriptor)
        self.sockets.pop(descriptor).close()
        if descriptor in self.free:
            self.free.remove(descriptor)
        self._connect()

    def _result(self, spent: float) -> dict[str, float]:
        ordered = sorted(self.latencies)

        def quantile(part: float) -> float:
            return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else 0.0

        return {
            "requests": self.count,
            "failed": self.failed,
            "p50": quantile(0.5),
            "p90": quantile(0.9),
            "p99": quantile(0.99),
            "mean": sum(ordered) / max(len(ordered), 1),
            "own_cpu_seconds": spent,
        }


def main() -> None:
    gc.disable()
    for line in sys.stdin:
        print(json.dumps(Load(json.loads(line)).run()), flush=True)


if __name__ == "__main__":
    main()
