"""OriginatedTls -> TLS towards servers that are not the mesh's own, and what stands before any TLS."""

from __future__ import annotations

from tulle.mesh.view import SYSTEM_AUTHORITIES, OriginatedTls
from tulle.xds import message
from tulle.xds.message import Tree
from tulle.xds.tls import (
    TLS_SOCKET,
    alternative_name,
    authorities_at,
    authorities_secret,
    certificate_at,
    certificate_secret,
    fetched,
)

_VERSIONS: Tree = {
    # Envoy's own client begins at 1.2; Istio says so too.
    "tls_minimum_protocol_version": "TLSv1_2",
    "tls_maximum_protocol_version": "TLSv1_3",
}


def originated_tls(tls: OriginatedTls, http2: bool) -> Tree:
    """The transport socket. `http2`: it is what will be spoken inside."""
    common: Tree = {"tls_params": _VERSIONS}
    if http2:
        common["alpn_protocols"] = ["h2"]
    own, trusted = certificate_name(tls), authorities_name(tls)
    if own:
        common["tls_certificate_sds_secret_configs"] = [fetched(own)]
    if trusted:
        common["combined_validation_context"] = {
            "default_validation_context": _names(tls),
            "validation_context_sds_secret_config": fetched(trusted),
        }
    else:
        common["validation_context"] = _validation(tls)
    return message.extension(TLS_SOCKET, message.UpstreamTls(common_tls_context=common, sni=tls.sni))


def certificate_name(tls: OriginatedTls) -> str:
    """The secret with the proxy's certificate; "" if it shows none."""
    if tls.certificate_secret:
        return certificate_secret(tls.certificate_secret)
    return certificate_at(tls.certificate_file, tls.key_file) if tls.certificate_file else ""


def authorities_name(tls: OriginatedTls) -> str:
    """The secret with the authorities of servers; "" where they stand in the cluster: none, those of the
    machine, or such as are written into it."""
    if tls.authorities_secret:
        return authorities_secret(tls.authorities_secret)
    if tls.authorities_file in ("", SYSTEM_AUTHORITIES) and not tls.revocation_file:
        return ""
    return authorities_at(tls.authorities_file, tls.revocation_file)


def proves_host(tls: OriginatedTls) -> bool:
    """Whether a server has to prove that it is the host that a request is for."""
    return not tls.sni and tls.verify and not tls.names


def host_names(tls: OriginatedTls) -> Tree:
    """core.v3.UpstreamHttpProtocolOptions: SNI and the server's name by the Host header, where nothing is
    written (Istio's `setAutoSniAndAutoSanValidation`)."""
    if tls.sni:
        return {}
    return {"auto_sni": True, "auto_san_validation": proves_host(tls)}


def behind_proxy_protocol(version: int, socket: Tree | None) -> Tree:
    """A transport socket that writes the header of the PROXY protocol before all else."""
    inner = socket or message.extension("envoy.transport_sockets.raw_buffer", message.RawBuffer())
    built = message.UpstreamProxyProtocol(config={"version": f"V{version}"}, transport_socket=inner)
    return message.extension("envoy.transport_sockets.upstream_proxy_protocol", built)


def _validation(tls: OriginatedTls) -> Tree:
    if not tls.verify:
        return {}
    trusted = {"inline_string": tls.authorities} if tls.authorities else {"filename": tls.authorities_file}
    return {"trusted_ca": trusted} | _names(tls)


def _names(tls: OriginatedTls) -> Tree:
    if not tls.names:
        return {}
    return {"match_typed_subject_alt_names": [alternative_name(name) for name in tls.names]}
