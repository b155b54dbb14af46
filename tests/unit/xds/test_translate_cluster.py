from typing import Any

import pytest

from tests.unit.xds.views import HERE, REVIEWS, eds_cluster, identity, named
from tulle.agent.envoy import DRAIN_SECONDS
from tulle.kit.mark import PROXY_MARK
from tulle.mesh.view import Balancing, Cluster, Discovery, LoadBalancing, MutualTls, Protocol
from tulle.xds.bundle import ENDPOINT
from tulle.xds.cluster import translate_cluster
from tulle.xds.render import to_tree

HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def cluster(discovery: Discovery = Discovery.EDS, **more: Any) -> dict[str, Any]:
    return to_tree(translate_cluster(Cluster(REVIEWS, discovery, HERE, **more)))


def how(protocol: Protocol, source: str | None = None) -> set[str]:
    found = cluster(Discovery.STATIC, protocol=protocol, source_address=source)
    options = found.get("typed_extension_protocol_options", {}).get(HTTP, {})
    return set(options.get("explicit_http_config", {})) or set(options) - {"@type"}


def test_a_discovered_cluster_needs_its_endpoints_under_their_name() -> None:
    assert translate_cluster(Cluster("a", Discovery.EDS, HERE)).needs == ((ENDPOINT, "a"),)
    private = translate_cluster(Cluster("a", Discovery.EDS, HERE, endpoint_set="a@shop"))
    assert private.needs == ((ENDPOINT, "a@shop"),)
    assert to_tree(private)["eds_cluster_config"]["service_name"] == "a@shop"
    assert translate_cluster(Cluster("a", Discovery.STATIC, HERE)).needs == ()


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (Protocol.HTTP, {"http_protocol_options"}),
        (Protocol.HTTP2, {"http2_protocol_options"}),
        (Protocol.GRPC, {"http2_protocol_options"}),
        (Protocol.DETECT, {"use_downstream_protocol_config"}),
        (Protocol.TCP, set()),
        (Protocol.TLS, set()),
    ],
)
def test_upstream_is_spoken_as_declared(protocol: Protocol, expected: set[str]) -> None:
    assert how(protocol) == expected


def test_the_application_is_spoken_to_as_the_caller_spoke_and_from_its_own_address() -> None:
    assert "use_downstream_protocol_config" in how(Protocol.HTTP, "127.0.0.6")
    bound = cluster(Discovery.STATIC, source_address="127.0.0.6")["upstream_bind_config"]
    assert bound["source_address"]["address"] == "127.0.0.6"
    (mark,) = bound["socket_options"]
    assert (mark["level"], mark["name"], mark["int_value"]) == ("1", "36", str(PROXY_MARK))
    assert mark.get("state", "STATE_PREBIND") == "STATE_PREBIND"


def test_each_endpoint_decides_about_mtls_where_it_is_discovered() -> None:
    found = to_tree(translate_cluster(eds_cluster(REVIEWS, Protocol.HTTP, "tulle")))
    meshed, plain = found["transport_socket_matches"]
    assert meshed["match"] == {"tlsMode": "istio"}
    context = meshed["transport_socket"]["typed_config"]
    common = context["common_tls_context"]
    assert common["alpn_protocols"] == ["tulle"]
    assert common["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_3"
    validation = common["combined_validation_context"]["default_validation_context"]
    assert validation["match_typed_subject_alt_names"] == [
        {"san_type": "URI", "matcher": {"exact": identity(name)}} for name in ("a", "b")
    ]
    assert plain["match"] == {}


def test_a_cluster_without_discovery_has_one_transport() -> None:
    found = cluster(Discovery.ORIGINAL_DESTINATION, mtls=MutualTls((identity("a"),), "tulle", "sni"))
    assert found["transport_socket"]["name"] == "envoy.transport_sockets.tls"
    assert found["lb_policy"] == "CLUSTER_PROVIDED"
    assert "transport_socket_matches" not in found


@pytest.mark.parametrize("balancing", list(Balancing))
def test_balancing(balancing: Balancing) -> None:
    # ROUND_ROBIN is the zero of the enumeration, which is not written
    assert cluster(balancing=LoadBalancing(balancing)).get("lb_policy", "ROUND_ROBIN") == balancing.name


def test_names_are_asked_for_again_when_their_time_is_over() -> None:
    found = cluster(Discovery.DNS, named_endpoints=named("example.com", 80))
    dns = found["cluster_type"]
    assert (dns["name"], dns["typed_config"]["respect_dns_ttl"]) == ("envoy.clusters.dns", True)


def test_a_cluster_of_several_scopes_is_made_once() -> None:
    shared = eds_cluster(REVIEWS, Protocol.HTTP, "tulle-http")
    assert translate_cluster(shared) is translate_cluster(shared)


def test_only_a_cluster_that_offers_so_tells_who_calls_and_leaves_before_the_application_does() -> None:
    made = {
        alpn: to_tree(translate_cluster(eds_cluster(REVIEWS, Protocol.HTTP, alpn)))
        for alpn in ("tulle", "tulle-http")
    }
    options = {alpn: each["typed_extension_protocol_options"][HTTP] for alpn, each in made.items()}
    assert "http_filters" not in options["tulle"]
    assert "common_http_protocol_options" not in options["tulle"]
    telling, codec = options["tulle-http"]["http_filters"]
    assert codec["name"] == "envoy.filters.http.upstream_codec"
    removal, header = telling["typed_config"]["mutations"]["request_mutations"]
    assert removal["remove_on_match"]["key_matcher"] == {"prefix": "x-envoy-"}
    assert header["append"]["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"
    assert header["append"]["header"]["value"] == f"By={identity('a')};URI=%ENVIRONMENT(TULLE_IDENTITY)%"
    common = options["tulle-http"]["common_http_protocol_options"]
    assert float(common["idle_timeout"].rstrip("s")) < 2, "gunicorn closes after that"
    assert float(common["max_connection_duration"].rstrip("s")) < DRAIN_SECONDS
