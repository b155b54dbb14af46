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

APPLICATION_PORT = 15007
"""Where the proxy listens on loopback, for connections to its application that could not be made."""

IDENTITY_VARIABLE = "TULLE_IDENTITY"
"""In the proxy's environment: the SPIFFE ID of its workload, which shared configuration cannot hold."""

PROXY_RUN_DIRECTORY = "/run/tulle-proxy"
"""In the proxy's own mount namespace: its private directory, bound there by the agent."""


def application_address(port: int) -> str:
    """The loopback address that stands for a port of the application, at APPLICATION_PORT."""
    return f"127.6.{port >> 8}.{port & 255}"


LARGEST_DATAGRAM = 65535
"""In bytes: what UDP can carry. Envoy by itself drops what is larger than 1500."""


def gateway_socket(port: int, udp: bool = False) -> str:
    """The name of the Unix socket on which a gateway listens too, for the relay on the host: connections with
    the PROXY protocol, datagrams in CONNECT-UDP requests."""
    return f"gateway-{port}{'-udp' if udp else ''}.sock"


def gateway_pipe(port: int, udp: bool = False) -> str:
    """The same as a path, as the proxy sees it."""
    return f"{PROXY_RUN_DIRECTORY}/{gateway_socket(port, udp)}"
