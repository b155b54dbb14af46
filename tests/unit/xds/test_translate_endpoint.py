from typing import Any

from tests.unit.xds.views import HERE, REVIEWS, endpoints
from tulle.mesh.view import Endpoint, EndpointSet
from tulle.xds.render import to_tree
from tulle.xds.translate import translate_endpoints


def localities(*members: Endpoint) -> list[dict[str, Any]]:
    (one,) = translate_endpoints(EndpointSet(REVIEWS, members, HERE))
    return to_tree(one).get("endpoints", [])


def test_mtls_health_and_weight_stand_at_the_endpoint() -> None:
    (one,) = translate_endpoints(endpoints())
    meshed, plain = to_tree(one)["endpoints"][0]["lb_endpoints"]
    assert meshed["metadata"]["filter_metadata"] == {"envoy.transport_socket_match": {"tlsMode": "istio"}}
    assert "health_status" not in meshed
    assert "metadata" not in plain
    assert plain["health_status"] == "UNHEALTHY"
    assert plain["load_balancing_weight"] == 3
    assert one.origin == HERE


def test_priorities_are_dense_from_zero() -> None:
    found = localities(
        Endpoint("10.0.0.1", 1, mtls=False, priority=9),
        Endpoint("10.0.0.2", 1, mtls=False, priority=4),
    )
    assert [one.get("priority", 0) for one in found] == [0, 1]
    assert found[0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["address"] == "10.0.0.2"


def test_a_locality_weighs_what_its_endpoints_weigh() -> None:
    found = localities(
        Endpoint("10.0.0.1", 1, mtls=False, weight=2, locality=("r", "a", "")),
        Endpoint("10.0.0.2", 1, mtls=False, weight=3, locality=("r", "a", "")),
        Endpoint("10.0.0.3", 1, mtls=False, locality=("r", "b", "")),
    )
    assert [(one["locality"]["zone"], one["load_balancing_weight"]) for one in found] == [("a", 5), ("b", 1)]


def test_the_order_of_endpoints_does_not_matter() -> None:
    forward = endpoints()
    backward = EndpointSet(forward.name, forward.endpoints[::-1], forward.origin)
    assert translate_endpoints(forward) == translate_endpoints(backward)


def test_no_endpoint_is_an_empty_set() -> None:
    assert localities() == []
