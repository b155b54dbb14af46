"""A client that goes on until its standard input ends: steady.py URL RATE. Nothing is tried again.

Prints `started` after the first answer, and at the end {"total": n, "failures": ["...", ...]}.
"""

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit


def main() -> None:
    parts = urlsplit(sys.argv[1])
    pause = 1 / float(sys.argv[2])
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    connection: http.client.HTTPConnection | None = None
    total, failures = 0, []
    while not ended.wait(pause):
        if connection is None:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
        total += 1
        began = time.monotonic()
        try:
            connection.request("GET", parts.path or "/")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                failures.append(f"{answer.status} {body[:100]!r}")
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{type(error).__name__}: {error} after {time.monotonic() - began:.3f} s")
            connection.close()
            connection = None
        if total == 1:
            print("started", flush=True)
    print(json.dumps({"total": total, "failures": failures}), flush=True)


if __name__ == "__main__":
    main()
