"""envoy.filters.network.http_connection_manager: HTTP processing of a chain."""

from __future__ import annotations

from tulle.mesh.view import HttpChain
from tulle.xds import message
from tulle.xds.filter.order import inbound_http_filters, outbound_http_filters
from tulle.xds.filter.sanitise import sanitise
from tulle.xds.message import Tree
from tulle.xds.retry import IDEMPOTENT, UNREACHED

# A server's proxy marks the answer that it gives itself when the application could not be dialled (response
# flag UF): such a request may be tried elsewhere, even a POST. And when the application closed or reset over
# it (UC, UR), where the method allows that it is carried out twice. Costs nothing until it happens.
_MARK_UNREACHED: Tree = {
    "mappers": [
        {
            "filter": {
                "or_filter": {
                    "filters": [
                        {"response_flag_filter": {"flags": ["UF"]}},
                        {
                            "and_filter": {
                                "filters": [
                                    {"response_flag_filter": {"flags": ["UC", "UR"]}},
                                    {
                                        "header_filter": {
                                            "header": {
                                                "name": ":method",
                                                "string_match": {"safe_regex": {"regex": IDEMPOTENT}},
                                            }
                                        }
                                    },
                                ]
                            }
                        },
                    ]
                }
            },
            "headers_to_add": [{"header": {"key": UNREACHED, "value": "true"}}],
        }
    ]
}


def _connection_manager(stat_prefix: str, fields: Tree) -> Tree:
    built = message.HttpConnectionManager(
        stat_prefix=stat_prefix,
        codec_type="AUTO",
        # Unmodified programs include `ab` and old health checkers; without a mesh they are understood.
        http_protocol_options={"accept_http_10": True},
        early_header_mutation_extensions=[sanitise()],
        generate_request_id=message.NO,
        # RFC 3986 normalisation, so that a route and a server mean the same path (Istio's default, BASE).
        normalize_path=message.YES,
        # No Server header that was not the application's.
        server_header_transformation="PASS_THROUGH",
        # Server-sent events and quiet gRPC streams live as long as their ends want (Istio: 0s too).
        stream_idle_timeout=message.seconds(0),
        upgrade_configs=[{"upgrade_type": "websocket"}],
        **fields,
    )
    return message.extension("envoy.filters.network.http_connection_manager", built)


def _by_name(then: HttpChain) -> Tree:
    """Routes that people may write, and the filters that routes may switch on."""
    return {
        "http_filters": outbound_http_filters(lookup=then.looks_up),
        "rds": {"route_config_name": then.route_table, "config_source": message.over_ads()},
    }


def outbound_manager(then: HttpChain) -> Tree:
    """A sidecar, towards the mesh. It stands for its application, so `x-forwarded-for` stays as that wrote it
    (Istio's sidecars: `use_remote_address` false, nothing appended)."""
    return _connection_manager(then.stat_prefix, {"use_remote_address": message.NO, **_by_name(then)})


def inbound_manager(stat_prefix: str, routes: Tree) -> Tree:
    """A sidecar, towards its application, which sees `x-forwarded-for` as the last gateway wrote it."""
    return _connection_manager(
        stat_prefix,
        {
            "use_remote_address": message.NO,
            "local_reply_config": _MARK_UNREACHED,
            "http_filters": inbound_http_filters(),
            "route_config": routes,
        },
    )


def application_manager(stat_prefix: str, routes: Tree) -> Tree:
    """A sidecar, in the place of an application that a connection could not be made to. Its caller's proxy
    has said who calls. One request for each connection: the next one is tried without it."""
    return _connection_manager(
        stat_prefix,
        {
            "use_remote_address": message.NO,
            "forward_client_cert_details": "ALWAYS_FORWARD_ONLY",
            "common_http_protocol_options": {"max_requests_per_connection": message.number(1)},
            "local_reply_config": _MARK_UNREACHED,
            "http_filters": inbound_http_filters(),
            "route_config": routes,
        },
    )


def gateway_manager(then: HttpChain) -> Tree:
    """The edge: the peer is the client, and its address is appended to `x-forwarded-for`."""
    return _connection_manager(
        then.stat_prefix,
        {
            "use_remote_address": message.YES,
            "preserve_external_request_id": True,
            **_by_name(then),
        },
    )


def datagram_manager(cluster: str) -> Tree:
    """The end of what the relay sends for a UDP port: datagrams in CONNECT-UDP requests (RFC 9298), for
    a cluster of UDP."""
    ending = {"upgrade_type": "CONNECT-UDP", "connect_config": {}}
    route = {
        "match": {"connect_matcher": {}},
        "route": {"cluster": cluster, "timeout": message.seconds(0), "upgrade_configs": [ending]},
    }
    built = message.HttpConnectionManager(
        stat_prefix=cluster,
        codec_type="HTTP2",
        http2_protocol_options={"allow_connect": True},
        upgrade_configs=[{"upgrade_type": "CONNECT-UDP"}],
        stream_idle_timeout=message.seconds(0),
        http_filters=inbound_http_filters(),
        route_config={"virtual_hosts": [{"name": cluster, "domains": ["*"], "routes": [route]}]},
    )
    return message.extension("envoy.filters.network.http_connection_manager", built)
