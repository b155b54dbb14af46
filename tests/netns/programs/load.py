"""Open-loop load until standard input ends: load.py URL RATE METHOD... Requests go through the methods in
turn, are sent when they are due however long others take, and are never tried again.

Prints `started` when every connection has been used, and at the end {METHOD: {"total": n, "most": n,
"slowest": seconds, "failures": [[seconds, text], ...]}}; `most`: how many of them were under way at
once; of a failure: when it was sent.
"""

import http.client
import itertools
import json
import sys
import threading
import time
from urllib.parse import urlsplit

CONNECTIONS = 24


class Load:
    def __init__(self, url: str, rate: float, methods: list[str]) -> None:
        parts = urlsplit(url)
        self.host, self.port, self.path = parts.hostname or "", parts.port or 80, parts.path or "/"
        self.rate = rate
        self.methods = methods
        self.numbers = itertools.count()
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.began = time.monotonic()
        self.under_way = dict.fromkeys(methods, 0)
        self.outcome = {each: {"total": 0, "most": 0, "slowest": 0.0, "failures": []} for each in methods}

    def work(self, ready: threading.Barrier) -> None:
        connection = self.connect()
        self.send(connection, self.methods[0])
        ready.wait()
        while True:
            number = next(self.numbers)
            if self.ended.wait(max(0.0, self.began + number / self.rate - time.monotonic())):
                return
            method = self.methods[number % len(self.methods)]
            if not self.send(connection, method):
                connection.close()

    def start(self) -> None:
        self.began = time.monotonic()
        print("started", flush=True)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=30)

    def send(self, connection: http.client.HTTPConnection, method: str) -> bool:
        own = self.outcome[method]
        with self.lock:
            self.under_way[method] += 1
            own["total"] += 1
            own["most"] = max(own["most"], self.under_way[method])
        began = time.monotonic()
        failure = ""
        try:
            connection.request(method, self.path, body=b"x" if method == "POST" else None)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                failure = f"{answer.status} {body[:100]!r}"
        except (OSError, http.client.HTTPException) as error:
            failure = f"{type(error).__name__}: {error}"
        with self.lock:
            self.under_way[method] -= 1
            took = time.monotonic() - began
            own["slowest"] = max(own["slowest"], took)
            if failure:
                own["failures"].append([began - self.began, f"{failure} after {took:.3f} s"])
        return not failure


def main() -> None:
    load = Load(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
    threading.Thread(target=lambda: (sys.stdin.read(), load.ended.set()), daemon=True).start()
    ready = threading.Barrier(CONNECTIONS, action=load.start)
    workers = [threading.Thread(target=load.work, args=(ready,)) for _ in range(CONNECTIONS)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    print(json.dumps(load.outcome), flush=True)


if __name__ == "__main__":
    main()
