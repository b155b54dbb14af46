"""What a service's port speaks, from what people wrote about it.

The rules are those of Istio's page "Protocol Selection" and of its `kube.ConvertProtocol`: appProtocol
first (with KEP-3726's standard names), then the port's name `PROTOCOL[-SUFFIX]`, then well-known ports
whose servers speak first; everything else is detected.
"""

from __future__ import annotations

from tulle.mesh.view import Protocol

_STANDARD = {
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.TLS,
}
_NAMES = {
    "http": Protocol.HTTP,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.GRPC,
    "https": Protocol.TLS,  # the application's own TLS: seen by its SNI alone
    "tls": Protocol.TLS,
    "tcp": Protocol.TCP,
    "mongo": Protocol.TCP,
    "mysql": Protocol.TCP,
    "redis": Protocol.TCP,
    "udp": Protocol.UDP,
}
_SAID = _NAMES | {"http_proxy": Protocol.HTTP, "grpc-web": Protocol.GRPC}
_SERVER_FIRST = frozenset({25, 53, 3306, 27017})
"""SMTP, DNS, MySQL, MongoDB: the ports that Istio takes for TCP where nobody says what they speak."""


def select(number: int, name: str = "", app_protocol: str | None = None, transport: str = "TCP") -> Protocol:
    """The protocol of a service's port."""
    if transport == "UDP":
        return Protocol.UDP
    said = (app_protocol or name).lower()
    if app_protocol and said in _STANDARD:
        return _STANDARD[said]
    found = _NAMES.get(said.partition("-")[0])
    if found is not None:
        return found
    return Protocol.TCP if number in _SERVER_FIRST else Protocol.DETECT


def named(number: int, protocol: str) -> Protocol:
    """The protocol of a port whose `protocol` is one of Istio's words (`protocol.Parse`); "" is detected."""
    return _SAID[protocol.lower()] if protocol else select(number)
