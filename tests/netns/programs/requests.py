"""HTTP requests, one after the other, each on a connection of its own: requests.py JSON.

JSON is a list of {url, method, headers, body, times}; prints a list of {status, headers, body}. Nothing is
tried again; what fails without an answer has the status 0.
"""

import http.client
import json
import sys
from urllib.parse import urlsplit


def send(
    url: str, method: str = "GET", headers: dict[str, str] | None = None, body: str = ""
) -> dict[str, object]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, path, body=body.encode() or None, headers=headers or {})
        answer = connection.getresponse()
        content = answer.read().decode(errors="replace")
        answered = {name.lower(): value for name, value in answer.getheaders()}
        return {"status": answer.status, "headers": answered, "body": content}
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "headers": {}, "body": f"{type(error).__name__}: {error}"}
    finally:
        connection.close()


if __name__ == "__main__":
    print(json.dumps([send(**request) for request in json.loads(sys.argv[1])]))
