"""The order of filters, and the reason for it. Nowhere else is a list of filters written down.

Before the HTTP filters, on the raw request: `sanitise` (see there).

Network filters of an outbound HTTP chain: `destination` before the connection manager, whose routes read what
it sets.

HTTP filters, from the caller's side to the other:

1. `cors` sees a request first and an answer last: a browser's question is answered before anything is done
   about it, and answers of the filters behind it are the server's, too;
2. `fault` fails in place of the server, so a session has nothing to say about it;
3. `session` chooses the endpoint right before
4. `lookup`, only where hosts have to be found call by call, and
5. `router`, which ends the chain.

Where routes come over RDS the first three are always there, switched off (`disabled`): a route that wants one
switches it on in its own configuration, and no listener changes, whose connections would be closed (decision
17, docs/adr/015-filters-that-routes-switch-on.md). For a request of any other route they are not made. What
no route asks for has no place here.

Upstream HTTP filters, towards a server that passes HTTP on: `caller` and, as Envoy wants, the codec.

Network filters where HTTP is passed on: `authorise` before `tcp_proxy`, which dials when it is given the
first bytes.

Listener filters, in the order in which they need each other:

1. `proxy_protocol` stands in front of every byte of the connection and has to be taken off first;
2. `original_destination` restores the address, on which the following ones may be switched off by port;
3. `tls_inspector` before `http_inspector`: a ClientHello is certain after a few bytes, and the HTTP inspector
   would wait for a line end in it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tulle.mesh.view import MutualTls, TcpChain
from tulle.xds.filter import inspector
from tulle.xds.filter.authorise import only_proxies
from tulle.xds.filter.caller import caller, upstream_codec
from tulle.xds.filter.cors import cors
from tulle.xds.filter.destination import destination
from tulle.xds.filter.fault import fault
from tulle.xds.filter.lookup import http_lookup, name_lookup
from tulle.xds.filter.router import router
from tulle.xds.filter.session import session
from tulle.xds.filter.tcp_proxy import chain_proxy
from tulle.xds.message import Tree


def outbound_filters(manager: Tree) -> list[Tree]:
    """The network filters of an outbound HTTP chain."""
    return [destination(), manager]


def connection_filters(then: TcpChain, connect_attempts: int) -> list[Tree]:
    """The network filters of a chain that passes bytes on, to an address that may have to be found first."""
    found = [] if then.lookup_port is None else [name_lookup(then.lookup_port)]
    return [*found, chain_proxy(then, connect_attempts)]


def outbound_http_filters(*, lookup: bool) -> list[Tree]:
    """Of HTTP that leaves for the mesh, at a sidecar or a gateway. `lookup`: some hosts have to be found."""
    return [cors(), fault(), session(), *((http_lookup(),) if lookup else ()), router()]


def inbound_http_filters() -> list[Tree]:
    """Of HTTP on its way to the own application, which has one fixed route."""
    return [router()]


def upstream_filters(mtls: MutualTls) -> list[Tree]:
    """The HTTP filters of a cluster whose servers may pass HTTP on without processing it."""
    return [caller(mtls), upstream_codec()]


def shallow_filters(trust_domain: str, passing_on: Tree) -> list[Tree]:
    """The network filters of a chain that passes the HTTP of proxies on."""
    return [only_proxies(trust_domain), passing_on]


def listener_filters(
    *,
    proxy_protocol: bool = False,
    original_destination: bool = False,
    tls: bool = False,
    tls_ports: Iterable[int] | None = None,
    http: bool = False,
) -> list[Tree]:
    """The wanted ones. `tls_ports`: inspect connections to these ports only."""
    filters: list[Tree] = []
    if proxy_protocol:
        filters.append(inspector.proxy_protocol())
    if original_destination:
        filters.append(inspector.original_destination())
    if tls:
        filters.append(inspector.tls_inspector(tls_ports))
    if http:
        filters.append(inspector.http_inspector())
    return filters
