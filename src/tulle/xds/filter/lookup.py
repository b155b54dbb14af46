"""envoy.filters.{http,network}.*dynamic_forward_proxy: the address of the name that a call says.

For clusters of the same extension only; calls to others pass. An address is found before the call goes on.
"""

from __future__ import annotations

from tulle.xds import message
from tulle.xds.message import Tree


def dns_cache() -> Tree:
    """common.dynamic_forward_proxy.v3.DnsCacheConfig: one of each proxy, which the clusters share."""
    return {"name": "dynamic_dns", "dns_lookup_family": "V4_ONLY"}  # no IPv6 inside (decision 7)


def http_lookup() -> Tree:
    """By the Host header."""
    built = message.DynamicForwardProxy(dns_cache_config=dns_cache())
    return message.extension("envoy.filters.http.dynamic_forward_proxy", built)


def name_lookup(port: int) -> Tree:
    """By the TLS server name; the port is dialled there."""
    built = message.SniDynamicForwardProxy(dns_cache_config=dns_cache(), port_value=port)
    return message.extension("envoy.filters.network.sni_dynamic_forward_proxy", built)
