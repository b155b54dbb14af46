"""envoy.filters.http.stateful_session: requests of one session go to one endpoint (GEP-1619).

The endpoint's address is in the cookie or header; while it is not there another one is chosen and written.
"""

from __future__ import annotations

from typing import Any

from tulle.mesh.view import Session
from tulle.xds import message
from tulle.xds.message import Tree

NAME = "envoy.filters.http.stateful_session"


def session() -> Tree:
    """Off; a route that has sessions switches it on for itself."""
    return message.extension(NAME, message.StatefulSession()) | {"disabled": True}


def session_of(wanted: Session) -> Any:
    """The configuration of a route."""
    if wanted.cookie:
        cookie: Tree = {"name": wanted.name, "path": wanted.cookie_path}
        if wanted.cookie_seconds is not None:
            cookie["ttl"] = message.seconds(wanted.cookie_seconds)
        state = message.extension(
            "envoy.http.stateful_session.cookie", message.CookieSessionState(cookie=cookie)
        )
    else:
        state = message.extension(
            "envoy.http.stateful_session.header", message.HeaderSessionState(name=wanted.name)
        )
    return message.packed(message.StatefulSessionPerRoute(stateful_session={"session_state": state}))
