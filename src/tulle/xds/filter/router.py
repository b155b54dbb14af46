"""envoy.filters.http.router: the last HTTP filter, which sends the request on."""

from __future__ import annotations

from tulle.xds import message
from tulle.xds.message import Tree


def router() -> Tree:
    """No `x-envoy-*` headers of its own in either direction, no span, no dynamic statistics: nobody asked."""
    return message.extension(
        "envoy.filters.http.router",
        message.Router(suppress_envoy_headers=True, dynamic_stats=message.NO),
    )
