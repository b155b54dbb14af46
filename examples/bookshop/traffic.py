"""traffic: a steady trickle of customers. Calls the storefront RATE times a second and counts the answers."""

import collections
import http.client
import json
import os
import signal
import sys
import time

RATE = float(os.environ.get("RATE", "5"))
TARGET = os.environ.get("TARGET", "storefront")
REPORT_SECONDS = 10


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    counts: collections.Counter[str] = collections.Counter()
    connection: http.client.HTTPConnection | None = None
    due = time.monotonic()
    reported = due
    while True:
        try:
            if connection is None:
                connection = http.client.HTTPConnection(TARGET, 9080, timeout=5)
            connection.request("GET", "/api/books/1")
            response = connection.getresponse()
            body = response.read()
            version = (
                json.loads(body).get("reviews", {}).get("version", "-") if response.status == 200 else "-"
            )
            counts[f"{response.status} reviews {version}"] += 1
        except (OSError, http.client.HTTPException, ValueError) as error:
            counts[type(error).__name__] += 1
            connection = None
        now = time.monotonic()
        if now - reported >= REPORT_SECONDS:
            print(", ".join(f"{what}: {n}" for what, n in sorted(counts.items())), flush=True)
            counts.clear()
            reported = now
        due = max(due + 1 / RATE, now)
        time.sleep(due - now)


if __name__ == "__main__":
    main()
