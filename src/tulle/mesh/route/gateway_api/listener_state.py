"""The listeners of a Gateway and its ListenerSets: what keeps each from serving, which routes it takes.

Made by `binding.py` alone, which remembers them; read by `listener.py`, `status/` and `review/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tulle.mesh.gateway.listener_set import ListenerSet, attached_sets
from tulle.mesh.policy.gateway_tls import (
    NOTHING_ASKED,
    Frontend,
    certificate_ref_fault,
    frontend,
    frontend_of_option,
)
from tulle.mesh.route.attachment import (
    GATEWAY,
    GRPC_ROUTE,
    HTTP_ROUTE,
    TCP_ROUTE,
    TLS_ROUTE,
    UDP_ROUTE,
    GatewayResource,
)
from tulle.mesh.route.common import covers
from tulle.mesh.world import World
from tulle.model.gateway_api import Listener
from tulle.model.resource import Key

_KINDS = {
    ("HTTP", False): (HTTP_ROUTE, GRPC_ROUTE),
    ("HTTPS", False): (HTTP_ROUTE, GRPC_ROUTE),
    ("TLS", False): (TLS_ROUTE, TCP_ROUTE),
    ("TLS", True): (TLS_ROUTE,),
    ("TCP", False): (TCP_ROUTE,),
    ("UDP", False): (UDP_ROUTE,),
}
"""By protocol, and whether TLS passes through: the kinds of routes (Gateway API, "TLS Configuration")."""
_NO_KIND: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ListenerState:
    """One listener, with what keeps it from serving. Reasons are those of the specification."""

    owner: Key
    """The Gateway or the ListenerSet that it is written in."""
    index: int
    """Its place there."""
    listener: Listener
    conflict: str = ""
    """`HostnameConflict` or `ProtocolConflict`"""
    kinds: tuple[tuple[str, str], ...] = ()
    """(group, kind) of the routes that it takes."""
    unknown_kinds: bool = False
    """It also asks for kinds that it cannot take."""
    secrets: tuple[str, ...] = ()
    """`NAMESPACE/NAME` of the certificates that can be used."""
    secret_reason: str = ""
    """`InvalidCertificateRef` or `RefNotPermitted`: of the first certificate that cannot be used."""
    secret_message: str = ""
    frontend: Frontend = NOTHING_ASKED
    """What is asked of clients' certificates."""

    @property
    def protocol(self) -> str:
        return self.listener.protocol.upper()

    @property
    def group(self) -> str:
        """Protocols that may share a port: HTTPS and TLS are told apart by SNI."""
        return "TLS" if self.protocol == "HTTPS" else self.protocol

    @property
    def full_name(self) -> str:
        """A name that no other listener of the same proxy has."""
        kind = "" if self.owner.kind == "Gateway" else f"{self.owner.kind}/"
        return f"{self.listener.name}.{kind}{self.owner.name}.{self.owner.namespace}"

    @property
    def passes_through(self) -> bool:
        """Whether TLS is left to the backends."""
        tls = self.listener.tls
        return tls is not None and tls.mode == "Passthrough"

    @property
    def terminates(self) -> bool:
        """Whether TLS ends here, for which a certificate is needed."""
        return self.protocol in ("HTTPS", "TLS") and not self.passes_through

    @property
    def is_mesh_tls(self) -> bool:
        """Whether mTLS of the mesh ends here, for which the proxy has its own certificate."""
        return self.listener.tls is not None and self.listener.tls.is_mesh_tls

    @property
    def takes_https(self) -> bool:
        """Whether it is what a Gateway's `tls.frontend` is for."""
        return self.protocol == "HTTPS" and not self.is_mesh_tls

    @property
    def possible_kinds(self) -> tuple[tuple[str, str], ...]:
        """(group, kind) of the routes that a listener of its protocol may take; none: nobody serves it."""
        return _KINDS.get((self.protocol, self.passes_through), _NO_KIND)

    @property
    def supported(self) -> bool:
        """Whether its protocol is served."""
        return bool(self.possible_kinds)

    @property
    def kinds_message(self) -> str:
        """What is wrong with the kinds that it asks for."""
        names = " and ".join(kind for _, kind in self.possible_kinds)
        return f"a listener of protocol {self.listener.protocol} takes {names}" if names else ""

    @property
    def hostname(self) -> str:
        """`*` for any."""
        return self.listener.hostname or "*"

    @property
    def conflict_message(self) -> str:
        """What keeps it from sharing its port."""
        match self.conflict:
            case "ProtocolConflict":
                return f"another listener on port {self.listener.port} has another protocol"
            case "HostnameConflict":
                return f"another listener on port {self.listener.port} has the same hostname"
            case _:
                return ""

    @property
    def serves(self) -> bool:
        """Whether the gateway listens for it: one that ends TLS needs a certificate, and authorities where
        clients' certificates are to be verified."""
        usable = bool(self.secrets) or self.is_mesh_tls or not self.terminates
        return self.supported and not self.conflict and usable and not self.trusts_nobody

    @property
    def trusts_nobody(self) -> bool:
        """Whether clients' certificates are to be verified, and no authority can be used for it."""
        return self.frontend.fault is not None and self.frontend.validation is None

    @property
    def socket(self) -> tuple[int, bool]:
        """Its port, and whether it is one of UDP's, which are others than TCP's."""
        return self.listener.port, self.protocol == "UDP"

    def overlaps(self, other: ListenerState) -> bool:
        """Whether both have TLS on one port, for host names of which some are the same
        (`OverlappingTLSConfig`)."""
        return (
            other is not self
            and self.listener.tls is not None
            and other.listener.tls is not None
            and other.listener.port == self.listener.port
            and (covers(self.hostname, other.hostname) or covers(other.hostname, self.hostname))
        )


def listener_states(world: World, gateway: GatewayResource) -> tuple[ListenerState, ...]:
    """The listeners of a Gateway as they are written, then those of its ListenerSets, oldest first."""
    made = [_state(world, gateway, gateway, index) for index in range(len(gateway.spec.listeners))]
    made = [replace(each, conflict=_conflict(each, made)) for each in made]
    standing: dict[tuple[int, bool], list[ListenerState]] = {}
    for state in made:
        standing.setdefault(state.socket, []).append(state)
    for listeners in attached_sets(world.declaration, gateway):
        for index in range(len(listeners.spec.listeners)):
            # Who comes first keeps what is his (`ListenerSetSpec.listeners`, precedence); a listener that was
            # refused is in nobody's way.
            state = _state(world, gateway, listeners, index)
            others = standing.setdefault(state.socket, [])
            state = replace(state, conflict=_conflict(state, others))
            made.append(state)
            if not state.conflict:
                others.append(state)
    return tuple(made)


def gateway_of(world: World, listeners: ListenerSet) -> GatewayResource | None:
    """The Gateway that a ListenerSet means, if there is one."""
    ref = listeners.spec.parent_ref
    if (ref.group, ref.kind) != GATEWAY:
        return None
    return world.resource(Key(*GATEWAY, ref.namespace or listeners.namespace, ref.name))


def of_parent(states: Iterable[ListenerState], owner: Key) -> tuple[ListenerState, ...]:
    """Those of one Gateway or ListenerSet."""
    return tuple(each for each in states if each.owner == owner)


def _state(
    world: World, gateway: GatewayResource, owner: GatewayResource | ListenerSet, index: int
) -> ListenerState:
    listener = owner.spec.listeners[index]
    bare = ListenerState(owner.key, index, listener)
    possible = bare.possible_kinds
    asked = [(kind.group, kind.kind) for kind in listener.allowed_routes.kinds]
    kinds = tuple(kind for kind in dict.fromkeys(asked or possible) if kind in possible)
    secrets: list[str] = []
    reason = message = ""
    if listener.protocol == "HTTPS" and listener.tls is None:
        reason, message = "InvalidCertificateRef", "protocol HTTPS needs tls with certificateRefs"
    if listener.tls is not None and listener.tls.mode == "Terminate" and not listener.tls.is_mesh_tls:
        for ref in listener.tls.certificate_refs:
            fault = certificate_ref_fault(world, owner.key, ref)
            if fault is None:
                secrets.append(f"{ref.namespace or owner.namespace}/{ref.name}")
            elif not reason:
                reason, message = fault
    clients = frontend(world, gateway, listener.port) if bare.takes_https else NOTHING_ASKED
    if listener.tls is not None and listener.tls.terminate_mode in ("MUTUAL", "OPTIONAL_MUTUAL"):
        field = f"spec.listeners[{index}].tls.certificateRefs"
        clients = frontend_of_option(world, listener.tls.terminate_mode, secrets, field)
    return ListenerState(
        owner=owner.key,
        index=index,
        listener=listener,
        kinds=kinds,
        unknown_kinds=any(kind not in possible for kind in asked),
        secrets=tuple(secrets),
        secret_reason=reason,
        secret_message=message,
        frontend=clients,
    )


def _conflict(mine: ListenerState, all_of: Iterable[ListenerState]) -> str:
    """Listeners on one port must have one protocol and distinct host names (`GatewaySpec.listeners`)."""
    others = [each for each in all_of if each is not mine and each.socket == mine.socket]
    if any(each.group != mine.group for each in others):
        return "ProtocolConflict"
    return "HostnameConflict" if any(each.hostname == mine.hostname for each in others) else ""
