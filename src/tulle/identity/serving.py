"""The control plane's own certificate on its ports, and who is at the other end of a connection."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterable, Mapping

import grpc
from cryptography import x509

from tulle.identity import spiffe
from tulle.identity.authority import Authority
from tulle.identity.spiffe import SpiffeId
from tulle.identity.svid import InvalidSvid, Svid, identity_of
from tulle.kit.clock import Clock


class ServingCertificate:
    """The control plane's SVID, renewed by the first handshake after half of its life, or before it.

    No timer: a machine that sleeps through the renewal, or whose clock is set, makes it up with the first
    connection.
    """

    def __init__(self, authority: Authority, clock: Clock) -> None:
        self._authority = authority
        self._clock = clock
        self._lock = threading.Lock()  # gRPC asks from its own threads
        self._svid = self._issue()

    def current(self) -> Svid:
        """The SVID that a handshake now shall show."""
        with self._lock:
            now = self._clock.wall()
            if now >= self._svid.renewal(lambda: 0.5) or not self._svid.covers(now):
                self._svid = self._issue()
            return self._svid

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """mTLS for one port of SIGN, REPORT and xDS: a certificate from our root is required.

        Each port needs its own: gRPC remembers in them what it was given last.
        """
        shown = self.current()

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            now = self.current()
            if now is shown:
                return None
            shown = now
            return _configuration(now)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(shown),
            fetch,  # pyright: ignore[reportArgumentType]  None is documented: go on with the last one
            require_client_authentication=True,
        )

    def join_context(self) -> ssl.SSLContext:
        """TLS for the join endpoint: no certificate is asked for."""
        shown = self.current()
        entry = newest = _server_context(shown)

        def choose(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            nonlocal shown, newest
            now = self.current()
            if now is not shown:
                shown, newest = now, _server_context(now)
            connection.context = newest

        entry.sni_callback = choose
        return entry

    def _issue(self) -> Svid:
        trust_domain = self._authority.trust_domain
        return self._authority.own(
            spiffe.controlplane(trust_domain), [spiffe.controlplane_name(trust_domain)]
        )


def peer(auth_context: Mapping[str, Iterable[bytes]]) -> SpiffeId | None:
    """Who is at the other end of a gRPC call (`ServicerContext.auth_context()`); None: nobody we know.

    The chain was verified by gRPC against the root; what is read here is whom it names.
    """
    pem = b"".join(auth_context.get("x509_pem_cert", ()))
    try:
        return identity_of(x509.load_pem_x509_certificate(pem))
    except (InvalidSvid, ValueError):
        return None


def peer_host(auth_context: Mapping[str, Iterable[bytes]], trust_domain: str) -> str | None:
    """The name of the host whose agent calls; None for everybody else, workloads included."""
    identity = peer(auth_context)
    return identity.host if identity is not None and identity.trust_domain == trust_domain else None


def _configuration(svid: Svid) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(svid.key_pem, svid.chain_pem)], root_certificates=svid.root_pem
    )


def _server_context(svid: Svid) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The module reads files only; this one is never on a disk.
    descriptor = os.memfd_create("svid", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(svid.key_pem + svid.chain_pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    return context
