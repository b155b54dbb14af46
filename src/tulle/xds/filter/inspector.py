"""Listener filters: what is found out about a connection before a chain takes it."""

from __future__ import annotations

from collections.abc import Iterable

from tulle.xds import message
from tulle.xds.message import Tree

DETECTION_SECONDS = 0.1
"""How long a silent caller is waited for where the server may be the first to speak (decision 14)."""


def original_destination() -> Tree:
    """Where the caller wanted to go before the packet rules redirected it (SO_ORIGINAL_DST)."""
    return message.extension("envoy.filters.listener.original_dst", message.OriginalDst())


def proxy_protocol() -> Tree:
    """The client's address, as the relay on the host wrote it."""
    return message.extension("envoy.filters.listener.proxy_protocol", message.ProxyProtocol())


def tls_inspector(only_ports: Iterable[int] | None = None) -> Tree:
    """SNI and ALPN of a ClientHello. `only_ports`: the destination ports where it looks at all."""
    built = message.extension("envoy.filters.listener.tls_inspector", message.TlsInspector())
    if only_ports is not None:
        rules: list[Tree] = [
            {"destination_port_range": {"start": port, "end": port + 1}} for port in sorted(only_ports)
        ]
        wanted = rules[0] if len(rules) == 1 else {"or_match": {"rules": rules}}
        built["filter_disabled"] = {"not_match": wanted}
    return built


def http_inspector() -> Tree:
    """Whether the first bytes are an HTTP request line or HTTP/2's preface."""
    return message.extension("envoy.filters.listener.http_inspector", message.HttpInspector())
