"""What the matches of a patch mean here: Istio's rules (`pilot/pkg/networking/core/envoyfilter`), and the
names that people know from Istio where Tulle has others. `docs/reference/envoyfilter.md` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tulle.mesh.view.patch import ClusterMatch, ListenerMatch, RouteMatch, TableMatch
from tulle.xds import tls

VIRTUAL = ("virtualInbound", "virtualOutbound")
_RELAYED = "_local"  # a gateway's listener has a twin on a Unix socket, see `gateway.py`

_GATEWAY_PORTS = {8080: 80, 8443: 443}
# Where a server's port 80 or 443 is meant, people write those of Istio's gateway, whose Service maps them.

_CHAINS = {
    "virtualInbound": "undeclared",
    "virtualInbound-catchall-http": "undeclared",
    "virtualInbound-blackhole": "own-port",
}
_OTHERWISE = "PassthroughFilterChain"
_MESH_ALPN = frozenset({"istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"})


@dataclass(frozen=True, slots=True)
class Where:
    """The part of a proxy that is changed."""

    context: str
    """SIDECAR_INBOUND, SIDECAR_OUTBOUND or GATEWAY."""
    ports: frozenset[int] = frozenset()
    """Where a gateway listens."""

    def is_port(self, written: int, actual: int) -> bool:
        """Whether a port that somebody wrote is that of a listener or route table."""
        if written == actual:
            return True
        return written not in self.ports and _GATEWAY_PORTS.get(written) == actual and bool(self.ports)

    def is_name(self, written: str, actual: str, separator: str) -> bool:
        """The same for names that end with a port: `0.0.0.0_8080`, `http.8080`."""
        if written == actual:
            return True
        (head, _, port), (actual_head, _, actual_port) = (
            written.rpartition(separator),
            actual.rpartition(separator),
        )
        numbers = port.isdecimal() and actual_port.isdecimal()
        return head == actual_head and numbers and self.is_port(int(port), int(actual_port))


# -- listeners ----------------------------------------------------------------------------------------


def listener_port(listener: Any) -> int:
    """0 for one without a port."""
    name, relayed, _ = listener.name.partition(_RELAYED)
    port = name.rpartition("_")[2]
    if relayed and port.isdecimal():
        return int(port)
    return listener.address.socket_address.port_value


def matches_listener(match: Any, target: str, listener: Any, where: Where) -> bool:
    """Istio's `listenerMatch`."""
    if not isinstance(match, ListenerMatch):
        return True
    if match.name and not where.is_name(match.name, listener.name.removesuffix(_RELAYED), "_"):
        return False
    if target != "LISTENER" and listener.name in VIRTUAL:
        return True  # their ports are those of their chains
    return match.port == 0 or where.is_port(match.port, listener_port(listener))


def matches_chain(match: Any, listener: Any, chain: Any, is_default: bool = False) -> bool:
    """Istio's `filterChainMatch`, of a listener that matches."""
    if not isinstance(match, ListenerMatch):
        return True
    own = chain.filter_chain_match
    port = own.destination_port.value
    if listener.name in VIRTUAL and match.port not in (0, port):
        return False
    if match.chain and not _is_chain(match.chain, listener, chain, is_default):
        return False
    if match.sni and match.sni not in own.server_names:
        return False
    if match.transport_protocol and match.transport_protocol != _transport_protocol(listener, chain):
        return False
    if not all(_speaks(own.application_protocols, each) for each in match.application_protocols):
        return False
    return match.destination_port in (0, port)


def _is_chain(written: str, listener: Any, chain: Any, is_default: bool) -> bool:
    if written == chain.name or (written == _OTHERWISE and is_default):
        return True
    if listener.name != "virtualInbound":
        return False
    port = chain.filter_chain_match.destination_port.value
    # Istio has one chain called by address and port for each way in; here the way in is part of the name.
    return _CHAINS.get(written) == chain.name or (port != 0 and written.rpartition("_")[2] == str(port))


def _transport_protocol(listener: Any, chain: Any) -> str:
    """Istio's inbound chains say it always; here those that take nothing else than mTLS need not."""
    said = chain.filter_chain_match.transport_protocol
    if said or listener.name != "virtualInbound":
        return said
    return "tls" if chain.HasField("transport_socket") else "raw_buffer"


def _speaks(protocols: Any, written: str) -> bool:
    if written in protocols:
        return True
    return written in _MESH_ALPN and any(
        each in protocols for each in (tls.HTTP_MESH_ALPN, tls.TCP_MESH_ALPN)
    )


# -- route tables -------------------------------------------------------------------------------------


def matches_table(match: Any, table: Any, where: Where) -> bool:
    """Istio's `routeConfigurationMatch`."""
    if not isinstance(match, TableMatch):
        return True
    if match.name and not where.is_name(match.name, table.name, "."):
        return False
    port, port_name, gateway = _table(table.name, where)
    if where.context == "GATEWAY":
        if match.port_name and match.port_name != port_name:
            return False
        if match.gateway and match.gateway != gateway:
            return False
    return match.port == 0 or where.is_port(match.port, port)


def _table(name: str, where: Where) -> tuple[int, str, str]:
    """Port, name of the port, and Gateway, as far as a table's name says them: `9080`, `inbound|9080||`,
    `http.80`, `https.443.https.NAME.NAMESPACE`."""
    parts = name.split("|" if name.startswith("inbound|") else ".")
    numbers = parts[:1] if len(parts) == 1 else parts[1:2]
    port = int(numbers[0]) if numbers and numbers[0].isdecimal() else 0
    if where.context == "GATEWAY" and len(parts) == 5:
        return port, parts[2], f"{parts[4]}/{parts[3]}"
    return port, "", ""


def matches_host(match: Any, host: Any) -> bool:
    """Istio's `virtualHostMatch`."""
    if not isinstance(match, TableMatch):
        return True
    return match.host in ("", host.name) and (not match.domain or match.domain in host.domains)


def matches_route(match: RouteMatch | None, route: Any) -> bool:
    """Istio's `routeMatch`, of a virtual host that matches."""
    if match is None:
        return True
    actions = {"route": "ROUTE", "redirect": "REDIRECT", "direct_response": "DIRECT_RESPONSE"}
    action = actions.get(route.WhichOneof("action"))
    return match.name in ("", route.name) and (match.action in ("ANY", action) or action is None)


def route_match(match: Any) -> RouteMatch | None:
    """What a patch asks of routes."""
    return match.route if isinstance(match, TableMatch) else None


# -- clusters -----------------------------------------------------------------------------------------


def matches_cluster(match: Any, name: str, service: tuple[str, str] | None) -> bool:
    """Istio's `clusterMatch`. `service`: name and namespace of the Service that an inbound cluster is for."""
    if not isinstance(match, ClusterMatch):
        return True
    if match.name:
        return match.name == name
    direction, port, subset, host = (*name.split("|", 3), "", "", "")[:4]
    if direction == "inbound" and service is not None:
        host = match.service if match.service.startswith(f"{service[0]}.{service[1]}.svc.") else ""
    return (
        match.subset in ("", subset)
        and match.service in ("", host)
        and (match.port == 0 or str(match.port) == port)
    )
