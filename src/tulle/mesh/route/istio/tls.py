"""tls of an Istio Gateway's servers: what ends at the gateway and with which certificates, and what passes.

Read by `server.py`, `gateway/gateway.py` and `review/review.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tulle.mesh.policy.certificate import authorities_fault, certificate_fault
from tulle.mesh.route.common import Destination
from tulle.mesh.route.server import Server
from tulle.mesh.view import (
    ClientValidation,
    GatewayChain,
    Origin,
    ServerTls,
    TcpChain,
    WeightedCluster,
)
from tulle.mesh.world import World
from tulle.model.istio import GatewaySpec, ServerTLSSettings
from tulle.model.istio import Server as WrittenServer
from tulle.model.istio.host import host_covers
from tulle.model.resource import Resource

_VERSIONS = {"TLSV1_0": "TLSv1_0", "TLSV1_1": "TLSv1_1", "TLSV1_2": "TLSv1_2", "TLSV1_3": "TLSv1_3"}
_OLDEST = "TLSv1_2"
"""gateway.proto, `minProtocolVersion`: the default."""


def is_terminated(server: WrittenServer) -> bool:
    """Whether the gateway itself speaks TLS."""
    return server.tls is not None and server.tls.terminates


def server_tls(namespace: str, server: WrittenServer) -> ServerTls | None:
    """What a gateway's proxy in this namespace speaks to clients; None where TLS does not end here."""
    written = server.tls
    if written is None or not written.terminates:
        return None
    if written.mode == "ISTIO_MUTUAL":
        return ServerTls(())
    return ServerTls(
        tuple(f"{namespace}/{_name(secret)}" for secret in written.secrets),
        _client_validation(namespace, written) if written.asks_clients else None,
        _VERSIONS.get(written.min_protocol_version, _OLDEST),
        _VERSIONS.get(written.max_protocol_version, ""),
        written.usable_cipher_suites,
    )


def tls_faults(world: World, namespace: str, server: WrittenServer) -> Iterator[tuple[str, str]]:
    """The fields of `tls` that name what cannot be used, and why."""
    written = server.tls
    if written is None or not written.terminates:
        return
    for index, secret in enumerate(written.secrets):
        field = f"credentialNames[{index}]" if written.credential_names else "credentialName"
        wrong = certificate_fault(world, namespace, _name(secret))
        if wrong:
            yield field, wrong
            return
    if written.asks_clients and written.secrets:
        wrong = authorities_fault(world, namespace, _authorities(written))
        if wrong:
            yield "caCertCredentialName" if written.ca_cert_credential_name else "credentialName", wrong


def _client_validation(namespace: str, written: ServerTLSSettings) -> ClientValidation:
    return ClientValidation(
        authorities=f"{namespace}/{_authorities(written)}",
        required=written.mode == "MUTUAL",
        verify=not written.insecure_skip_verify,
        names=written.subject_alt_names,
        key_hashes=written.verify_certificate_spki,
        certificate_hashes=written.verify_certificate_hash,
    )


def _authorities(written: ServerTLSSettings) -> str:
    """gateway.proto: `caCertCredentialName`, else `<secret>-cacert`, which may be the secret itself. Of
    several secrets the first (Istio, ApplyCredentialSDSToServerCommonTLSContext)."""
    return _name(written.ca_cert_credential_name) or f"{_name(written.secrets[0])}-cacert"


def _name(secret: str) -> str:
    """The Secret in the namespace of the gateway's proxy."""
    return secret.removeprefix("kubernetes://")


# -- AUTO_PASSTHROUGH ---------------------------------------------------------------------------------


def passes_by_destination(server: WrittenServer) -> bool:
    """Whether clients say in their SNI which service they mean."""
    return (
        server.tls is not None
        and server.tls.mode == "AUTO_PASSTHROUGH"
        and server.protocol in ("TLS", "HTTPS")
    )


def auto_passthrough(
    gateway: Resource[GatewaySpec], index: int, destinations: Iterable[Destination]
) -> Server | None:
    """A server that passes mTLS of the mesh on, to the service and subset that its SNI names, if its hosts
    cover it (Istio, builtAutoPassthroughFilterChains). None while there is no such service."""
    server = gateway.spec.servers[index]
    origin = Origin("Gateway", gateway.namespace, gateway.name, f"spec.servers[{index}]")
    offered = [host.rpartition("/")[2].lower() for host in server.hosts]
    chains = tuple(
        GatewayChain(
            name=each.sni,
            then=TcpChain((WeightedCluster(each.sni),), each.sni),
            origin=origin,
            server_names=(each.sni,),
            meshed=True,
        )
        for each in destinations
        if any(host_covers(host, each.host) for host in offered)
    )
    return Server(server.port.number, server.protocol, origin, chains=chains) if chains else None
