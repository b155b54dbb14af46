"""What the proxy's configuration and the network around it must agree on, in one place.

Written into Envoy's configuration by `xds/` and `agent/bootstrap.py`, into packet rules by
`agent/redirect/`, into mounts by `agent/envoy.py`.
"""

from __future__ import annotations

PROXY_MARK = 0x74756C
"""SO_MARK of every socket that a proxy opens upstream. The only thing that excepts traffic from redirection
(an application cannot set it: it lacks CAP_NET_ADMIN)."""

OUTBOUND_PORT = 15001
INBOUND_PORT = 15006
"""Where redirected connections arrive; mesh tools know these two numbers from Istio."""

APPLICATION_SOURCE = "127.0.0.6"
"""The proxy dials its own application from here, so that the answer finds its way back over loopback and the
packet rules can tell this connection from a call of the application to itself."""

PROXY_RUN_DIRECTORY = "/run/tulle-proxy"
"""In the proxy's own mount namespace: its private directory, bound there by the agent."""


def gateway_pipe(port: int) -> str:
    """The Unix socket on which a gateway listens too, for the relay on the host (PROXY protocol)."""
    return f"{PROXY_RUN_DIRECTORY}/gateway-{port}.sock"
