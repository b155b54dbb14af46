"""What an Envoy answers on its admin interface, as far as the command line reads it."""

from __future__ import annotations

import base64
import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

IDENTITY = "spiffe://cluster.local/ns/shop/sa/reviews"
_ADMIN = "type.googleapis.com/envoy.admin.v3."
_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


_ROUTE = "type.googleapis.com/envoy.config.route.v3."


def _to(cluster: str) -> dict[str, Any]:
    return {"match": {"prefix": "/"}, "route": {"cluster": cluster}}


_WITHIN: dict[str, Any] = {
    "predicate": {
        "single_predicate": {
            "input": {"name": "destination"},
            "custom_match": {
                "typed_config": {"cidr_ranges": [{"address_prefix": "10.213.0.0", "prefix_len": 16}]}
            },
        }
    },
    "on_match": {
        "action": {
            "typed_config": {
                "@type": _ROUTE + "RouteList",
                "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 503}}],
            }
        }
    },
}


def _certificate() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(IDENTITY)]), critical=True)
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(built.public_bytes(serialization.Encoding.PEM)).decode()


CONFIG_DUMP: dict[str, Any] = {
    "configs": [
        {"@type": _ADMIN + "BootstrapConfigDump", "bootstrap": {"node": {"id": "x"}}},
        {
            "@type": _ADMIN + "ClustersConfigDump",
            "static_clusters": [{"cluster": {"name": "xds", "type": "STATIC"}}],
            "dynamic_active_clusters": [
                {
                    "cluster": {
                        "name": "outbound|9080|v1|reviews",
                        "type": "EDS",
                        "lb_policy": "LEAST_REQUEST",
                        "transport_socket_matches": [{"name": "tls"}],
                    }
                }
            ],
        },
        {
            "@type": _ADMIN + "ListenersConfigDump",
            "dynamic_listeners": [
                {
                    "name": "virtualOutbound",
                    "active_state": {
                        "listener": {
                            "name": "virtualOutbound",
                            "address": {"socket_address": {"address": "0.0.0.0", "port_value": 15001}},
                            "filter_chains": [
                                {
                                    "filter_chain_match": {
                                        "prefix_ranges": [{"address_prefix": "10.213.0.0", "prefix_len": 16}]
                                    },
                                    "filters": [
                                        {
                                            "name": "http",
                                            "typed_config": {
                                                "@type": _MANAGER,
                                                "rds": {"route_config_name": "9080"},
                                            },
                                        }
                                    ],
                                }
                            ],
                            "default_filter_chain": {
                                "filters": [
                                    {
                                        "name": "tcp",
                                        "typed_config": {"@type": _PROXY, "cluster": "PassthroughCluster"},
                                    }
                                ]
                            },
                        }
                    },
                }
            ],
        },
        {
            "@type": _ADMIN + "RoutesConfigDump",
            "dynamic_route_configs": [
                {
                    "route_config": {
                        "name": "9080",
                        "virtual_hosts": [
                            {
                                "name": "reviews:9080",
                                "routes": [
                                    {
                                        "match": {
                                            "path_separated_prefix": "/api",
                                            "headers": [
                                                {"name": "end-user", "string_match": {"exact": "jason"}}
                                            ],
                                        },
                                        "route": {
                                            "weighted_clusters": {
                                                "clusters": [
                                                    {"name": "outbound|9080|v1|reviews", "weight": 90},
                                                    {"name": "outbound|9080|v3|reviews", "weight": 10},
                                                ]
                                            }
                                        },
                                    },
                                    {"match": {"prefix": "/"}, "direct_response": {"status": 500}},
                                ],
                            },
                            {
                                "name": "allow_any",
                                "matcher": {
                                    "matcher_tree": {
                                        "input": {"name": "destination"},
                                        "exact_match_map": {
                                            "map": {
                                                "10.213.0.7": {
                                                    "action": {
                                                        "typed_config": {
                                                            "@type": _ROUTE + "RouteList",
                                                            "routes": [_to("outbound|9080||reviews")],
                                                        }
                                                    }
                                                }
                                            }
                                        },
                                    },
                                    "on_no_match": {
                                        "matcher": {
                                            "matcher_list": {"matchers": [_WITHIN]},
                                            "on_no_match": {
                                                "action": {
                                                    "typed_config": {
                                                        "@type": _ROUTE + "Route",
                                                        **_to("PassthroughCluster"),
                                                    }
                                                }
                                            },
                                        }
                                    },
                                },
                            },
                        ],
                    }
                }
            ],
        },
        {
            "@type": _ADMIN + "SecretsConfigDump",
            "dynamic_active_secrets": [
                {
                    "name": "default",
                    "last_updated": "2026-01-01T00:00:00Z",
                    "secret": {
                        "name": "default",
                        "tls_certificate": {
                            "certificate_chain": {"inline_bytes": _certificate()},
                            "private_key": {"inline_bytes": "UFJJVkFURQ=="},
                        },
                    },
                }
            ],
            "dynamic_warming_secrets": [{"name": "ROOTCA"}],
        },
    ]
}

CLUSTERS: dict[str, Any] = {
    "cluster_statuses": [
        {
            "name": "outbound|9080|v1|reviews",
            "host_statuses": [
                {
                    "address": {"socket_address": {"address": "10.212.0.7", "port_value": 9080}},
                    "weight": 1,
                    "health_status": {"eds_health_status": "HEALTHY"},
                    "stats": [{"name": "rq_total", "value": "12"}],
                },
                {
                    "address": {"socket_address": {"address": "10.212.0.8", "port_value": 9080}},
                    "health_status": {"failed_active_health_check": True, "eds_health_status": "HEALTHY"},
                },
            ],
        }
    ]
}
