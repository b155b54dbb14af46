"""tls of a DestinationRule: how a caller's proxy secures what it sends. Read by `outbound/cluster.py`,
`service/headless.py`.

Where nobody says anything, mTLS is spoken to endpoints with a proxy and plaintext to others. Certificates at
paths are files of the caller's host: its proxy reads them with its own rights.
"""

from __future__ import annotations

from tulle.mesh.outbound.tls import OPAQUE, mutual_tls
from tulle.mesh.route.common import Destination
from tulle.mesh.view import SYSTEM_AUTHORITIES, MutualTls, OriginatedTls
from tulle.mesh.world import World
from tulle.model.istio import ClientTLSSettings


def mesh_tls(
    world: World, written: ClientTLSSettings | None, destination: Destination, alpn: str
) -> MutualTls | None:
    """mTLS with the mesh's own certificates, if it shall be spoken."""
    if written is None:
        return mutual_tls(world, destination, alpn)
    if written.mode != "ISTIO_MUTUAL":
        return None
    identities = written.subject_alt_names or world.proxy_identities(destination.host)
    # A server at another place under another name is no service's port: it may not take what an HTTP
    # connection manager has sanitised for granted.
    spoken = OPAQUE if written.sni else alpn
    return MutualTls(tuple(sorted(identities)), spoken, written.sni or destination.sni, always=True)


def originated_tls(written: ClientTLSSettings | None, namespace: str) -> OriginatedTls | None:
    """TLS with certificates that are not the mesh's, if it shall be spoken. `namespace`: of the callers, if
    they are selected workloads; else Secrets stay without one."""
    if written is None or written.mode not in ("SIMPLE", "MUTUAL"):
        return None
    verify = not written.insecure_skip_verify
    authorities = written.ca_certificates if written.ca_certificates not in ("", "system") else ""
    mutual = written.mode == "MUTUAL"
    if written.credential_name:
        # The authorities stand in NAME-cacert, or in the Secret itself (Istio, `SdsCaSuffix`).
        secret = f"{namespace}/{written.credential_name}" if namespace else written.credential_name
        return OriginatedTls(
            sni=written.sni,
            names=written.subject_alt_names,
            verify=verify,
            certificate_secret=secret if mutual else "",
            authorities_secret=f"{secret}-cacert" if verify else "",
        )
    return OriginatedTls(
        sni=written.sni,
        names=written.subject_alt_names,
        verify=verify,
        authorities_file=(authorities or SYSTEM_AUTHORITIES) if verify else "",
        revocation_file=written.ca_crl if verify else "",
        certificate_file=written.client_certificate if mutual else "",
        key_file=written.private_key if mutual else "",
    )
