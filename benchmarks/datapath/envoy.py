"""The reference: two Envoys as one would write them by hand, with the mesh's TLS and nothing else.

One listener and one cluster each. TLS 1.3 both ways with P-256 certificates, HTTP/1.1 on all three legs (or
bytes, for TCP), no statistics, no request ids, no headers of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tulle.identity.svid import Svid

Tree = dict[str, Any]

_TYPE = "type.googleapis.com/envoy.extensions."
_HTTP = "filters.network.http_connection_manager.v3.HttpConnectionManager"


@dataclass(frozen=True, slots=True)
class Leg:
    """An Envoy between two addresses."""

    listen: tuple[str, int]
    upstream: tuple[str, int]
    http: bool


def client(leg: Leg, own: Svid, peer: str) -> Tree:
    """Plain in, mTLS out; `peer` is the identity that the other end must have."""
    context = _typed(
        "transport_sockets.tls.v3.UpstreamTlsContext", common_tls_context=_tls(own, {"exact": peer})
    )
    return _bootstrap(leg, upstream_tls=_socket(context))


def server(leg: Leg, own: Svid, trust_domain: str) -> Tree:
    """mTLS in, plain out."""
    context = _typed(
        "transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context=_tls(own, {"prefix": f"spiffe://{trust_domain}/"}),
        require_client_certificate=True,
    )
    return _bootstrap(leg, downstream_tls=_socket(context))


def _bootstrap(leg: Leg, downstream_tls: Tree | None = None, upstream_tls: Tree | None = None) -> Tree:
    chain: Tree = {"filters": [_http() if leg.http else _tcp()]}
    if downstream_tls is not None:
        chain["transport_socket"] = downstream_tls
    cluster: Tree = {
        "name": "next",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": "next",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(*leg.upstream)}}]}],
        },
    }
    if upstream_tls is not None:
        cluster["transport_socket"] = upstream_tls
    return {
        "node": {"id": "bare", "cluster": "bare"},
        "static_resources": {
            "listeners": [{"name": "in", "address": _address(*leg.listen), "filter_chains": [chain]}],
            "clusters": [cluster],
        },
        "stats_flush_on_admin": True,
        "stats_config": {"stats_matcher": {"reject_all": True}},
    }


def _http() -> Tree:
    manager = _typed(
        _HTTP,
        stat_prefix="in",
        generate_request_id=False,
        server_header_transformation="PASS_THROUGH",
        route_config={
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "next"}}],
                }
            ]
        },
        http_filters=[
            {
                "name": "router",
                "typed_config": _typed(
                    "filters.http.router.v3.Router", suppress_envoy_headers=True, dynamic_stats=False
                ),
            }
        ],
    )
    return {"name": "http", "typed_config": manager}


def _tcp() -> Tree:
    proxy = _typed("filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="in", cluster="next")
    return {"name": "tcp", "typed_config": proxy}


def _tls(own: Svid, identity: Tree) -> Tree:
    return {
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3",
            "ecdh_curves": ["P-256"],
        },
        "tls_certificates": [
            {
                "certificate_chain": {"inline_string": own.chain_pem.decode()},
                "private_key": {"inline_string": own.key_pem.decode()},
            }
        ],
        "validation_context": {
            "trusted_ca": {"inline_string": own.root_pem.decode()},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": identity}],
        },
    }


def _socket(context: Tree) -> Tree:
    return {"name": "tls", "typed_config": context}


def _typed(kind: str, **fields: Any) -> Tree:
    return {"@type": _TYPE + kind, **fields}


def _address(address: str, port: int) -> Tree:
    return {"socket_address": {"address": address, "port_value": port}}
