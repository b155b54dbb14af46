"""mTLS between proxies, and TLS that a gateway terminates.

Fed by cluster, inbound and gateway translation. Keys and certificates are never here: they arrive as
secrets (SDS) on the same stream, under the two names that mesh tools know from Istio.
"""

from __future__ import annotations

import ipaddress

from tulle.mesh.view import ClientValidation, MutualTls, ServerTls
from tulle.xds import message
from tulle.xds.message import Tree, over_ads

SVID = "default"
ROOT = "ROOTCA"
TLS_SOCKET = "envoy.transport_sockets.tls"

TCP_MESH_ALPN = "tulle"
HTTP_MESH_ALPN = "tulle-http"
MESH_ALPN = (TCP_MESH_ALPN, HTTP_MESH_ALPN)
"""What a proxy of the mesh offers, whichever of the two (decision 24)."""

MESHED = {"tlsMode": "istio"}
"""What the metadata of an endpoint says whose proxy terminates mTLS."""

# Both ends are ours, so there is nothing to be compatible with: TLS 1.3 alone, one curve (the SVIDs are
# P-256 too). Cipher suites of 1.3 are not configurable; BoringSSL prefers AES128-GCM where the CPU has AES.
_BETWEEN_PROXIES: Tree = {
    "tls_minimum_protocol_version": "TLSv1_3",
    "tls_maximum_protocol_version": "TLSv1_3",
    "ecdh_curves": ["P-256"],
}

_CERTIFICATE_FETCH_SECONDS = 2.0
# A Secret's certificate comes from the control plane. When it is missing, a listener or cluster must not wait
# for ever: a gateway's other servers stand on the same port. Connections that need it fail until then.


def _common(uri_matchers: list[Tree], alpn: tuple[str, ...]) -> Tree:
    return {
        "tls_params": _BETWEEN_PROXIES,
        "alpn_protocols": list(alpn),
        "tls_certificate_sds_secret_configs": [{"name": SVID, "sds_config": over_ads()}],
        "combined_validation_context": {
            "default_validation_context": {
                "match_typed_subject_alt_names": [
                    {"san_type": "URI", "matcher": matcher} for matcher in uri_matchers
                ]
            },
            "validation_context_sds_secret_config": {"name": ROOT, "sds_config": over_ads()},
        },
    }


def client_mtls(mtls: MutualTls) -> Tree:
    """The transport socket towards a proxy that must have one of the identities."""
    context = message.UpstreamTls(
        common_tls_context=_common([{"exact": identity} for identity in mtls.identities], (mtls.alpn,)),
        sni=mtls.sni,
    )
    return message.extension(TLS_SOCKET, context)


def server_mtls(trust_domain: str) -> Tree:
    """The transport socket that demands a certificate of the trust domain.

    It selects no ALPN: a chosen protocol that is not `h2` would make Envoy's connection manager take every
    connection for HTTP/1 (`ConnectionManagerUtility::determineNextProtocol`), where it else looks at the
    preface. What the client *offered* is matched before, from its hello.
    """
    context = message.DownstreamTls(
        common_tls_context=_common([{"prefix": f"spiffe://{trust_domain}/"}], ()),
        require_client_certificate=message.YES,
    )
    return message.extension(TLS_SOCKET, context)


def by_endpoint(mtls: MutualTls) -> list[Tree]:
    """mTLS to the endpoints that a proxy serves, plaintext to the others of the same cluster."""
    return [
        {
            "name": "tlsMode-istio",
            "match": message.texts(MESHED),
            "transport_socket": client_mtls(mtls),
        },
        {
            "name": "tlsMode-disabled",
            "match": message.texts({}),
            "transport_socket": message.extension("envoy.transport_sockets.raw_buffer", message.RawBuffer()),
        },
    ]


def certificate_secret(secret: str) -> str:
    """The secret name of a kubernetes.io/tls Secret, `namespace/name` (Istio's spelling)."""
    return f"kubernetes://{secret}"


def authorities_secret(secret: str) -> str:
    """The secret name of the authorities that a Secret says, `namespace/name` (Istio's spelling). What has a
    scheme already, as `configmap://namespace/name`, is the name."""
    if "://" in secret:
        return secret
    return f"kubernetes://{secret.removesuffix('-cacert')}-cacert"


def certificate_at(chain: str, key: str) -> str:
    """The secret name of a certificate and its key in files of the proxy's host (Istio's spelling)."""
    return f"file-cert:{chain}~{key}"


def authorities_at(path: str, revocation: str) -> str:
    """The secret name of authorities in a file, and of what they have revoked in another, if there is one."""
    return f"file-root:{path}~{revocation}" if revocation else f"file-root:{path}"


def public_server(tls: ServerTls, trust_domain: str, http: bool) -> Tree:
    """TLS towards the world, HTTP/2 offered for HTTP; mTLS of the mesh where no certificate is named."""
    if not tls.secrets:
        return server_mtls(trust_domain)
    versions: Tree = {"tls_minimum_protocol_version": tls.oldest}
    if tls.newest:
        versions["tls_maximum_protocol_version"] = tls.newest
    if tls.cipher_suites:
        versions["cipher_suites"] = list(tls.cipher_suites)
    common: Tree = {
        "tls_params": versions,
        "alpn_protocols": ["h2", "http/1.1"] if http else [],
        "tls_certificate_sds_secret_configs": [fetched(certificate_secret(secret)) for secret in tls.secrets],
    }
    if tls.client is not None:
        common["combined_validation_context"] = {
            "default_validation_context": _clients(tls.client),
            "validation_context_sds_secret_config": fetched(authorities_secret(tls.client.authorities)),
        }
    required = tls.client is not None and tls.client.required
    context = message.DownstreamTls(
        common_tls_context=common,
        require_client_certificate=message.YES if required else message.NO,
    )
    return message.extension(TLS_SOCKET, context)


def fetched(name: str) -> Tree:
    """A secret that the control plane gives, or that is missing after a while."""
    return {"name": name, "sds_config": over_ads(_CERTIFICATE_FETCH_SECONDS)}


def _clients(client: ClientValidation) -> Tree:
    built: Tree = {}
    if client.names:
        built["match_typed_subject_alt_names"] = [alternative_name(name) for name in client.names]
    if client.key_hashes:
        built["verify_certificate_spki"] = list(client.key_hashes)
    if client.certificate_hashes:
        built["verify_certificate_hash"] = list(client.certificate_hashes)
    if not client.verify:
        built["trust_chain_verification"] = "ACCEPT_UNTRUSTED"
    return built


def alternative_name(name: str) -> Tree:
    """The matcher of one subject alternative name, whose kind its spelling tells."""
    return {"san_type": _kind(name), "matcher": {"exact": name}}


def _kind(name: str) -> str:
    if "://" in name:
        return "URI"
    if "@" in name:
        return "EMAIL"
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "DNS"
    return "IP_ADDRESS"
