"""How often who answers: shares.py URL TIMES. Prints {name: count}; what is not a 200 counts as its status.

One connection to the proxy; the choice of the backend is made for each request.
"""

import collections
import http.client
import json
import sys
from urllib.parse import urlsplit

if __name__ == "__main__":
    parts = urlsplit(sys.argv[1])
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
    counts: collections.Counter[str] = collections.Counter()
    for _ in range(int(sys.argv[2])):
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        body = answer.read()
        counts[json.loads(body)["name"] if answer.status == 200 else str(answer.status)] += 1
    print(json.dumps(counts))
