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


def destination_within(cidr: str) -> Tree:
    """The predicate of a matcher: whether the address is one of a range."""
    within = message.IpRange(cidr_ranges=[message.cidr(cidr)], stat_prefix="destination")
    custom = message.extension("envoy.matching.matchers.ip", within)
    return {"single_predicate": {"input": destination_input(), "custom_match": custom}}
