"""storefront: the shop's page. HTTP on port 9080; asks details and reviews (HTTP) and orders (TCP).

GET /                    the page              GET /api/books/1      the same as JSON
POST /api/orders/1       order a copy          GET /healthz          ready
"""

import html
import http.client
import json
import os
import socket
import threading
from pathlib import Path
from string import Template

from serving import NAME, Answer, as_json, serve

FORWARDED = ("x-request-id", "traceparent", "tracestate", "end-user")
"""Headers that belong to the whole journey of a request."""

PAGE = Template(Path(__file__).with_name("page.html").read_text())

connections = threading.local()


def call(host: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, object]]:
    """GET JSON from a service over a connection that this thread keeps."""
    name = host.replace("-", "_")
    for attempt in (1, 2):
        connection = getattr(connections, name, None)
        if connection is None:
            address, _, port = os.environ.get(host.upper(), f"{host}:9080").partition(":")
            connection = http.client.HTTPConnection(address, int(port), timeout=5)
            setattr(connections, name, connection)
        try:
            connection.request("GET", path, headers={k: headers[k] for k in FORWARDED if k in headers})
            response = connection.getresponse()
            body = response.read()
            break
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            setattr(connections, name, None)
            if attempt == 2:
                return 503, {"error": f"{host}: {error}"}
    try:
        return response.status, json.loads(body)
    except ValueError:
        return response.status, {"error": body.decode(errors="replace")[:200]}


def order(*words: str) -> str:
    """Talk to orders: it greets first, then answers a line with a line."""
    address, _, port = os.environ.get("ORDERS", "orders:7000").partition(":")
    with socket.create_connection((address, int(port)), timeout=5) as talk, talk.makefile("rw") as lines:
        lines.readline()
        lines.write(" ".join(words) + "\n")
        lines.flush()
        return lines.readline().strip()


def book(number: str, headers: dict[str, str]) -> dict[str, object]:
    details_status, details = call("details", f"/details/{number}", headers)
    reviews_status, reviews = call("reviews", f"/reviews/{number}", headers)
    try:
        orders = order("COUNT")
    except OSError as error:
        orders = f"unavailable: {error}"
    return {
        "details": details,
        "reviews": reviews,
        "orders": orders,
        "from": NAME,
        "status": {"details": details_status, "reviews": reviews_status},
    }


def review_html(review: dict[str, object]) -> str:
    stars = ""
    if isinstance(count := review.get("stars"), int):
        color = html.escape(str(review["color"]))
        stars = f" <span style='color:{color}'>{'★' * count}{'☆' * (5 - count)}</span>"
    text, reviewer = html.escape(str(review["text"])), html.escape(str(review["reviewer"]))
    return f"<blockquote>{text}<footer>{reviewer}{stars}</footer></blockquote>"


def page(number: str, headers: dict[str, str]) -> bytes:
    found = book(number, headers)
    details, reviews = found["details"], found["reviews"]
    assert isinstance(details, dict) and isinstance(reviews, dict)
    facts = {key: value for key, value in details.items() if key not in ("title", "from")}
    missing = f"<p class=error>{html.escape(str(reviews.get('error', 'no reviews')))}</p>"
    return PAGE.substitute(
        number=number,
        facts="".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(str(v))}</dd>" for k, v in facts.items()),
        reviews="".join(map(review_html, reviews.get("reviews", []))) or missing,
        title=html.escape(str(details.get("title", "A book"))),
        orders=html.escape(str(found["orders"])),
        storefront=html.escape(NAME),
        details=html.escape(str(details.get("from", "nobody"))),
        reviewer=html.escape(str(reviews.get("from", "nobody"))),
        version=html.escape(str(reviews.get("version", "no version"))),
    ).encode()


def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    parts = path.split("?")[0].strip("/").split("/")
    number = parts[-1] if parts[-1].isalnum() else "1"
    if method == "POST":
        try:
            said = order("ORDER", number, "1")
        except OSError as error:
            return as_json({"error": f"orders: {error}"}, 503)
        if parts[0] == "api":
            return as_json({"orders": said, "from": NAME})
        return 200, "text/html; charset=utf-8", page(number, headers)
    if parts[0] == "api":
        return as_json(book(number, headers))
    if parts[0] in ("", "books"):
        return 200, "text/html; charset=utf-8", page(number, headers)
    return as_json({"error": "no such page"}, 404)


if __name__ == "__main__":
    serve(9080, answer)
