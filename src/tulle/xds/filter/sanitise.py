"""What an application may not say about itself (decision 24).

`x-envoy-*` steers proxies (time-outs, retries, peer metadata) and is believed by applications; only a proxy
may write it. Removed before the connection manager looks at the request for the first time: a removal in a
route would come after the router has read its time-out and retry headers. `x-forwarded-client-cert` needs
nothing here: the connection manager removes it by default (SANITIZE).
"""

from __future__ import annotations

from tulle.xds import message
from tulle.xds.message import Tree

_FORGED = "x[-_]envoy[-_].*|x_forwarded[-_]client[-_]cert|x-forwarded_client[-_]cert|x-forwarded-client_cert"
# A pattern of names; without the true spelling of the second, which a caller's proxy may have written.


def sanitise() -> Tree:
    """An early header mutation, which is no filter but runs before all of them."""
    return message.extension(
        "envoy.http.early_header_mutation.header_mutation",
        message.EarlyHeaderMutation(
            mutations=[{"remove_on_match": {"key_matcher": {"safe_regex": {"regex": _FORGED}}}}]
        ),
    )
