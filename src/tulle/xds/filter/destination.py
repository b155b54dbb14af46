"""envoy.filters.network.set_filter_state: the address that the caller dialled, where routes can match it.

A route matches headers and filter state, but no addresses. Costs one string for each connection, and nothing
for a request whose host is known.
"""

from __future__ import annotations

from tulle.xds import message
from tulle.xds.message import Tree

_KEY = "tulle.destination"


def destination() -> Tree:
    """The network filter, in front of the connection manager."""
    return message.extension(
        "envoy.filters.network.set_filter_state",
        message.SetFilterState(
            on_new_connection=[
                {
                    "object_key": _KEY,
                    "factory_key": "envoy.string",
                    "format_string": {
                        "text_format_source": {"inline_string": "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"}
                    },
                }
            ]
        ),
    )


def destination_input() -> Tree:
    """The same address as the input of a matcher."""
    return message.extension("destination", message.FilterStateInput(key=_KEY))
