from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.envoy import managers, refusal
from tests.unit.xds import views
from tulle.mesh.view import Inbound, InboundMtls, Protocol
from tulle.xds.bundle import LISTENER, ROUTE, Translated
from tulle.xds.render import to_tree
from tulle.xds.translate import (
    translate_endpoints,
    translate_gateway,
    translate_inbound,
    translate_outbound,
)

Tree = dict[str, Any]
PERMISSIVE, STRICT, DISABLE = InboundMtls.PERMISSIVE, InboundMtls.STRICT, InboundMtls.DISABLE
EVERY_PORT = (
    (9080, Protocol.HTTP, PERMISSIVE),
    (9081, Protocol.HTTP, STRICT),
    (9082, Protocol.HTTP, DISABLE),
    (50051, Protocol.GRPC, STRICT),
    (7000, Protocol.TCP, PERMISSIVE),
    (7001, Protocol.TCP, STRICT),
    (7002, Protocol.TCP, DISABLE),
    (8443, Protocol.TLS, PERMISSIVE),
    (4000, Protocol.DETECT, PERMISSIVE),
    (4001, Protocol.DETECT, STRICT),
    (53, Protocol.UDP, PERMISSIVE),
)


def listeners(resources: Iterable[Translated]) -> dict[str, Tree]:
    return {one.name: to_tree(one) for one in resources if one.type_url == LISTENER}


def virtual_inbound(inbound: Inbound) -> Tree:
    return listeners(translate_inbound(inbound))["virtualInbound"]


def chains(listener: Tree) -> dict[str, Tree]:
    return {one["name"]: one for one in listener["filter_chains"]}


def filter_names(listener: Tree) -> list[str]:
    return [one["name"].rpartition(".")[2] for one in listener.get("listener_filters", [])]


def inspected_ports(listener: Tree) -> list[int]:
    (inspector,) = [one for one in listener["listener_filters"] if one["name"].endswith("tls_inspector")]
    wanted = inspector["filter_disabled"]["not_match"]
    rules = wanted["or_match"]["rules"] if "or_match" in wanted else [wanted]
    return [rule["destination_port_range"]["start"] for rule in rules]


@pytest.mark.parametrize("allow_any", [True, False])
@pytest.mark.parametrize("default", [PERMISSIVE, STRICT])
def test_envoy_takes_a_sidecar(allow_any: bool, default: InboundMtls) -> None:
    resources = translate_outbound(replace(views.outbound(allow_any), service_cidr="10.96.0.0/12"))
    resources += translate_inbound(views.inbound(*EVERY_PORT, default=default))
    assert refusal(resources + translate_endpoints(views.endpoints())) == ""


def test_envoy_takes_a_gateway() -> None:
    assert refusal(translate_gateway(views.gateway()) + translate_endpoints(views.endpoints())) == ""


# -- outbound ---------------------------------------------------------------------------------------


def test_what_has_no_listener_leaves_the_mesh_or_does_not() -> None:
    for allow_any, cluster in ((True, "PassthroughCluster"), (False, "BlackHoleCluster")):
        found = listeners(translate_outbound(views.outbound(allow_any)))["virtualOutbound"]
        assert found["use_original_dst"] is True
        (last,) = found["default_filter_chain"]["filters"]
        assert last["typed_config"]["cluster"] == cluster


@pytest.mark.parametrize("allow_any", [True, False])
def test_a_port_that_no_service_has_is_closed(allow_any: bool) -> None:
    """Passed through, its caller would wait for an answer from an address that nobody has."""
    view = replace(views.outbound(allow_any), service_cidr="10.96.0.0/12")
    closed = chains(listeners(translate_outbound(view))["virtualOutbound"])["no-such-port"]
    (within,) = closed["filter_chain_match"]["prefix_ranges"]
    assert (within["address_prefix"], within["prefix_len"]) == ("10.96.0.0", 12)
    (last,) = closed["filters"]
    assert last["typed_config"]["cluster"] == "BlackHoleCluster"


def test_the_proxys_own_port_and_link_local_addresses_are_refused() -> None:
    found = listeners(translate_outbound(views.outbound()))
    for name in ("virtualOutbound", "0.0.0.0_9080"):
        refused = chains(found[name])["link-local"]
        assert refused["filter_chain_match"]["prefix_ranges"][0]["address_prefix"] == "169.254.0.0"
        assert refused["filters"][0]["typed_config"]["cluster"] == "BlackHoleCluster"
    assert chains(found["virtualOutbound"])["own-port"]["filter_chain_match"]["destination_port"] == 15001
    own = chains(virtual_inbound(views.inbound()))["own-port"]
    assert own["filter_chain_match"]["destination_port"] == 15006


def test_tcp_is_not_looked_at_and_detection_ends() -> None:
    found = listeners(translate_outbound(views.outbound()))
    assert filter_names(found["10.96.0.7_7000"]) == []
    assert filter_names(found["10.96.0.8_4000"]) == ["tls_inspector", "http_inspector"]
    assert found["10.96.0.8_4000"]["listener_filters_timeout"] == "0.100s"
    assert found["10.96.0.8_4000"]["continue_on_listener_filters_timeout"] is True


def test_a_connection_to_several_endpoints_is_tried_more_than_once() -> None:
    found = listeners(translate_outbound(views.outbound()))
    (service,) = found["10.96.0.7_7000"]["default_filter_chain"]["filters"]
    (outside,) = found["0.0.0.0_9080"]["default_filter_chain"]["filters"]
    assert service["typed_config"]["max_connect_attempts"] == 3
    assert "max_connect_attempts" not in outside["typed_config"]


def test_a_listener_needs_its_routes() -> None:
    needs = {one.name: one.needs for one in translate_outbound(views.outbound()) if one.type_url == LISTENER}
    assert needs["0.0.0.0_9080"] == ((ROUTE, "9080"),)
    assert needs["10.96.0.7_7000"] == needs["virtualOutbound"] == ()


# -- inbound ----------------------------------------------------------------------------------------


def test_only_ports_whose_caller_decides_are_inspected() -> None:
    found = virtual_inbound(views.inbound(*EVERY_PORT))
    assert filter_names(found) == ["original_dst", "tls_inspector"]
    assert inspected_ports(found) == [4000, 4001, 7000, 8443, 9080]
    assert filter_names(virtual_inbound(views.inbound(*EVERY_PORT[1:3]))) == ["original_dst"]


def test_how_long_a_silent_caller_is_waited_for() -> None:
    client_first = virtual_inbound(views.inbound(EVERY_PORT[0], EVERY_PORT[7]))
    assert client_first["listener_filters_timeout"] == "3600s"
    assert "continue_on_listener_filters_timeout" not in client_first
    for port in (EVERY_PORT[4], EVERY_PORT[8]):
        server_first = virtual_inbound(views.inbound(EVERY_PORT[0], port))
        assert server_first["listener_filters_timeout"] == "0.100s"
        assert server_first["continue_on_listener_filters_timeout"] is True


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (EVERY_PORT[0], {"9080-mtls", "9080-application-tls", "9080-plaintext"}),
        (EVERY_PORT[1], {"9081-mtls"}),
        (EVERY_PORT[2], {"9082-plaintext"}),
        (EVERY_PORT[4], {"7000-mtls", "7000-plaintext"}),
        (EVERY_PORT[5], {"7001-mtls"}),
        (EVERY_PORT[8], {"4000-mtls-http", "4000-mtls", "4000-plaintext"}),
        (EVERY_PORT[9], {"4001-mtls-http", "4001-mtls"}),
        (EVERY_PORT[10], set()),
    ],
)
def test_the_chains_of_a_port(port: tuple[int, Protocol, InboundMtls], expected: set[str]) -> None:
    found = chains(virtual_inbound(views.inbound(port)))
    assert found.keys() - {"own-port", "undeclared"} == expected
    for name in expected:
        secure = "mtls" in name
        assert ("transport_socket" in found[name]) == secure
        assert found[name]["filter_chain_match"]["prefix_ranges"] == [
            {"address_prefix": "10.68.0.5", "prefix_len": 32}
        ]


def test_mtls_demands_a_certificate_of_the_trust_domain_and_chooses_no_alpn() -> None:
    found = chains(virtual_inbound(views.inbound(EVERY_PORT[1])))["9081-mtls"]
    context = found["transport_socket"]["typed_config"]
    assert context["require_client_certificate"] is True
    assert "alpn_protocols" not in context["common_tls_context"]
    validation = context["common_tls_context"]["combined_validation_context"]["default_validation_context"]
    assert validation["match_typed_subject_alt_names"] == [
        {"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/"}}
    ]


def test_undeclared_ports_pass_unless_strict() -> None:
    for default, secure in ((PERMISSIVE, False), (DISABLE, False), (STRICT, True)):
        found = chains(virtual_inbound(views.inbound(default=default)))["undeclared"]
        assert ("transport_socket" in found) == secure


# -- gateways ---------------------------------------------------------------------------------------


def test_a_gateway_listens_at_its_address_and_on_a_private_socket() -> None:
    found = listeners(translate_gateway(views.gateway()))
    bound, local = found["0.0.0.0_8080"], found["0.0.0.0_8080_local"]
    assert bound["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": 8080}
    assert local["address"]["pipe"] == {"path": "/run/tulle-proxy/gateway-8080.sock", "mode": 0o600}
    assert bound["filter_chains"] == local["filter_chains"]
    assert filter_names(bound) == []
    assert filter_names(local) == ["proxy_protocol"]
    assert filter_names(found["0.0.0.0_443_local"]) == ["proxy_protocol", "tls_inspector"]


def test_a_gateway_shows_the_named_certificate_and_passes_other_tls_through() -> None:
    https, passthrough = listeners(translate_gateway(views.gateway()))["0.0.0.0_443"]["filter_chains"]
    common = https["transport_socket"]["typed_config"]["common_tls_context"]
    (secret,) = common["tls_certificate_sds_secret_configs"]
    assert secret["name"] == "kubernetes://istio-system/shop-certificate"
    assert common["alpn_protocols"] == ["h2", "http/1.1"]
    assert https["filter_chain_match"]["server_names"] == ["shop.example"]
    assert "transport_socket" not in passthrough


def test_only_a_gateway_trusts_the_address_that_it_sees() -> None:
    for found, trusted in (
        (listeners(translate_gateway(views.gateway()))["0.0.0.0_8080"], True),
        (listeners(translate_outbound(views.outbound()))["0.0.0.0_9080"], False),
        (virtual_inbound(views.inbound(EVERY_PORT[0])), False),
    ):
        for manager in managers(found):
            assert manager["use_remote_address"] is trusted
            assert manager["generate_request_id"] is False
