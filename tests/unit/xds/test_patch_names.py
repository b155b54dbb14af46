"""The names that people know from Istio, where Tulle has others (docs/reference/envoyfilter.md)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.xds.patched import (
    HTTP,
    ROUTER,
    apply,
    chain,
    changed,
    cluster,
    listener,
    manager,
    network_filters,
    patch,
    route,
    table,
    tcp,
)
from tulle.mesh.view import Origin
from tulle.mesh.view.patch import ClusterMatch, ListenerMatch, TableMatch
from tulle.xds import message
from tulle.xds.bundle import translated
from tulle.xds.patch.apply import apply_patches

MTLS = message.extension("tls", message.DownstreamTls())


def inbound() -> object:
    """As `xds/inbound.py` names its chains."""
    port = {"destination_port": {"value": 8080}}
    return listener(
        chain(tcp(), name="own-port", filter_chain_match={"destination_port": {"value": 15006}}),
        chain(
            tcp(),
            name="8080-mtls",
            filter_chain_match=port | {"application_protocols": ["tulle", "tulle-http"]},
            transport_socket=MTLS,
        ),
        chain(tcp(), name="8080-plaintext", filter_chain_match=port),
        chain(tcp(), name="undeclared"),
        name="virtualInbound",
        port=15006,
    )


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (ListenerMatch(port=8080), {"8080-mtls", "8080-plaintext"}),
        (ListenerMatch(name="virtualInbound", port=8080), {"8080-mtls", "8080-plaintext"}),
        (ListenerMatch(destination_port=8080), {"8080-mtls", "8080-plaintext"}),
        (ListenerMatch(chain="0.0.0.0_8080"), {"8080-mtls", "8080-plaintext"}),
        (ListenerMatch(chain="8080-mtls"), {"8080-mtls"}),
        (ListenerMatch(chain="virtualInbound"), {"undeclared"}),
        (ListenerMatch(chain="virtualInbound-catchall-http"), {"undeclared"}),
        (ListenerMatch(chain="virtualInbound-blackhole"), {"own-port"}),
        (ListenerMatch(port=8080, transport_protocol="tls"), {"8080-mtls"}),
        (ListenerMatch(port=8080, transport_protocol="raw_buffer"), {"8080-plaintext"}),
        (ListenerMatch(application_protocols=("istio-http/1.1", "istio-h2")), {"8080-mtls"}),
        (ListenerMatch(application_protocols=("h2",)), set()),
        (ListenerMatch(port=9090), set()),
        (ListenerMatch(chain="0.0.0.0_9090"), set()),
    ],
)
def test_chains_of_what_reaches_a_workload(match: ListenerMatch, expected: set[str]) -> None:
    value = "{name: new}"
    tree = changed(inbound(), patch("NETWORK_FILTER", "INSERT_FIRST", value, match))  # type: ignore[arg-type]
    found = {
        each["name"] for at, each in enumerate(tree["filter_chains"]) if "new" in network_filters(tree, at)
    }
    assert found == expected


def test_the_port_of_the_virtual_listener_means_all_of_its_listener_filters() -> None:
    match = ListenerMatch(port=15006)
    tree = changed(inbound(), patch("LISTENER_FILTER", "ADD", "{name: new}", match))  # type: ignore[arg-type]
    assert tree["listener_filters"] == [{"name": "new"}]


def gateway(port: int) -> list[object]:
    """A gateway's listener, its twin for the relay, and its routes."""
    name = f"0.0.0.0_{port}"
    pipe = message.Listener(
        name=f"{name}_local", address={"pipe": {"path": "/x"}}, filter_chains=[chain(manager(ROUTER))]
    )
    return [
        listener(chain(manager(ROUTER)), name=name, port=port),
        translated(pipe, f"{name}_local"),
        table(f"http.{port}", app_example=[route("main")]),
    ]


def touched(resources: list[object], *patches: object) -> set[str]:
    done = apply_patches("GATEWAY", resources, patches)  # type: ignore[arg-type]
    assert not done.complaints
    return {each.name for each in done.resources if each.changed_by}


@pytest.mark.parametrize("match", [ListenerMatch(), ListenerMatch(port=80), ListenerMatch(port=8080)])
@pytest.mark.parametrize("name", ["", "0.0.0.0_80", "0.0.0.0_8080"])
def test_a_gateways_listener_and_its_twin_by_either_port(match: ListenerMatch, name: str) -> None:
    wanted = ListenerMatch(port=match.port, name=name, filter=HTTP)
    added = patch("HTTP_FILTER", "INSERT_FIRST", "{name: new}", wanted)
    assert touched(gateway(80), added) == {"0.0.0.0_80", "0.0.0.0_80_local"}


def test_a_gateway_that_listens_on_8080_itself_means_that() -> None:
    match = ListenerMatch(port=8080, filter=HTTP)
    added = patch("HTTP_FILTER", "INSERT_FIRST", "{name: new}", match)
    both = [*gateway(80), *gateway(8080)]
    assert touched(both, added) == {"0.0.0.0_8080", "0.0.0.0_8080_local"}
    by_table = patch("VIRTUAL_HOST", "MERGE", "{require_tls: ALL}", TableMatch(name="http.8080"))
    assert touched(both, by_table) == {"http.8080"}
    assert touched(gateway(80), by_table) == {"http.80"}


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (TableMatch(port=443), True),
        (TableMatch(port=8443), True),
        (TableMatch(port_name="https-main"), True),
        (TableMatch(port_name="https-other"), False),
        (TableMatch(gateway="shop/web"), True),
        (TableMatch(gateway="front/web"), False),
        (TableMatch(port=80), False),
    ],
)
def test_a_gateways_tables_by_server(match: TableMatch, expected: bool) -> None:
    name = "https.443.https-main.web.shop"
    there = [listener(chain(tcp()), name="0.0.0.0_443", port=443), table(name, app_example=[route("main")])]
    merged = patch("ROUTE_CONFIGURATION", "MERGE", "{request_headers_to_remove: [x]}", match)
    assert touched(there, merged) == ({name} if expected else set())


def test_a_sidecars_tables_by_port() -> None:
    merged = patch("VIRTUAL_HOST", "MERGE", "{require_tls: ALL}", TableMatch(port=9080))
    assert apply(table("9080", a=[route("r")]), merged).applied
    assert not apply(table("8080", a=[route("r")]), merged).applied


@pytest.mark.parametrize(
    ("match", "name", "expected"),
    [
        (ClusterMatch(), "outbound|9080|v1|reviews.shop.svc.cluster.local", True),
        (
            ClusterMatch(service="reviews.shop.svc.cluster.local"),
            "outbound|9080|v1|reviews.shop.svc.cluster.local",
            True,
        ),
        (ClusterMatch(service="reviews"), "outbound|9080|v1|reviews.shop.svc.cluster.local", False),
        (ClusterMatch(port=9080, subset="v1"), "outbound|9080|v1|reviews.shop.svc.cluster.local", True),
        (ClusterMatch(port=9080, subset="v2"), "outbound|9080|v1|reviews.shop.svc.cluster.local", False),
        (ClusterMatch(port=80), "outbound|9080|v1|reviews.shop.svc.cluster.local", False),
        (ClusterMatch(port=8080), "inbound|8080||", True),
        (ClusterMatch(service="reviews.shop.svc.cluster.local"), "inbound|8080||", True),
        (ClusterMatch(service="other.shop.svc.cluster.local"), "inbound|8080||", False),
        (ClusterMatch(name="PassthroughCluster"), "PassthroughCluster", True),
        (ClusterMatch(name="BlackHoleCluster"), "PassthroughCluster", False),
        (ClusterMatch(port=80), "PassthroughCluster", False),
    ],
)
def test_clusters(match: ClusterMatch, name: str, expected: bool) -> None:
    made = replace(cluster(name), origin=Origin("Service", "shop", "reviews"))
    assert bool(apply(made, patch("CLUSTER", "MERGE", "{connect_timeout: 7s}", match)).applied) is expected
