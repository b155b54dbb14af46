"""The bookshop, seen by a customer and by whoever looks after it."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from tests.netns.mesh import Mesh, wait_for

WORKLOADS = {
    "details",
    "orders",
    "ratings-1",
    "ratings-2",
    "reviews-v1",
    "reviews-v2",
    "reviews-v3",
    "storefront-1",
    "storefront-2",
    "traffic",
}


def get(url: str) -> tuple[int, str]:
    """As a browser on this machine does it."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.read().decode()


def gateway(mesh: Mesh) -> dict[str, object]:
    return next(each for each in mesh.status()["gateways"] if each["name"] == "shop")


def test_the_shop_is_open_on_this_machine(shop: Mesh) -> None:
    status, page = get(f"http://{shop.local('shop', 'shop')}/")
    assert status == 200
    assert "The Comedy of Errors" in page
    assert "An extremely entertaining book!" in page


@pytest.mark.root_only("from this machine only loopback ports lead into an ordinary user's mesh")
def test_the_gateway_answers_at_its_own_address_too(shop: Mesh) -> None:
    address = gateway(shop)["addresses"][0]
    assert get(f"http://{address}/")[0] == 200


def test_every_version_of_the_reviews_answers(shop: Mesh) -> None:
    """Of 100 calls spread evenly over three, one version is missed with a probability of 1e-17."""
    local = shop.local("shop", "shop")
    books = [json.loads(get(f"http://{local}/api/books/1")[1]) for _ in range(100)]
    stars = {book["reviews"]["version"]: book["reviews"]["reviews"][0].get("stars") for book in books}
    assert stars == {"v1": None, "v2": 5, "v3": 5}, "v2 and v3 asked ratings by gRPC"
    assert {book["from"] for book in books} == {"storefront-1", "storefront-2"}
    assert {(book["details"]["from"], book["details"]["title"]) for book in books} == {
        ("details", "The Comedy of Errors")
    }


def test_an_order_is_taken_over_tcp(shop: Mesh) -> None:
    local = shop.local("shop", "shop")
    count = int(json.loads(get(f"http://{local}/api/books/1")[1])["orders"])
    order = urllib.request.Request(f"http://{local}/api/orders/1", method="POST")
    with urllib.request.urlopen(order, timeout=10) as answer:
        assert re.fullmatch(r"OK \d+", json.load(answer)["orders"])
    assert int(json.loads(get(f"http://{local}/api/books/1")[1])["orders"]) == count + 1


def test_the_server_of_a_tcp_protocol_speaks_first(shop: Mesh) -> None:
    listen = "import socket; print(socket.create_connection(('orders.shop', 7000)).recv(64).decode(), end='')"
    assert shop.execute("client.lab", "python3", "-c", listen).stdout == "ORDERS ready\n"


def test_a_page_that_is_not_there_is_the_shops_own_answer(shop: Mesh) -> None:
    try:
        get(f"http://{shop.local('shop', 'shop')}/cellar")
    except urllib.error.HTTPError as error:
        assert (error.code, json.load(error)) == (404, {"error": "no such page"})
    else:
        raise AssertionError("it answered")


def test_status_has_the_shape_that_scripts_rely_on(shop: Mesh) -> None:
    status = shop.status()
    workloads = {each["name"]: each for each in status["workloads"] if each["namespace"] == "shop"}
    assert set(workloads) == WORKLOADS | {"shop-istio"}
    now = datetime.now(UTC)
    for workload in workloads.values():
        assert workload["ready"] is True
        assert re.fullmatch(r"10\.\d+\.\d+\.\d+", workload["address"])
        assert workload["identity"].startswith("spiffe://cluster.local/ns/shop/sa/")
        proxy = workload["proxy"]
        assert proxy["state"] == "synced"
        assert datetime.fromisoformat(proxy["since"]) <= now
        assert now < datetime.fromisoformat(proxy["certificateExpires"]) <= now + timedelta(hours=24)
    assert len({workload["address"] for workload in workloads.values()}) == len(workloads)
    front = gateway(shop)
    assert front["namespace"] == "shop"
    assert front["addresses"] == [workloads["shop-istio"]["address"]]
    [listener] = front["listeners"]
    assert (listener["name"], listener["port"], listener["protocol"]) == ("http", 80, "HTTP")
    assert re.fullmatch(r"127\.0\.0\.1:\d+", listener["local"])
    assert status["controlPlane"]["trustDomain"] == "cluster.local"


def test_every_proxy_is_in_sync_and_a_workload_outside_of_the_mesh_has_none(shop: Mesh) -> None:
    states = {each["name"]: each["proxy"]["state"] for each in shop.status()["workloads"]}
    assert states.pop("outsider") == "none"
    assert set(states.values()) == {"synced"}


def test_objects_are_got_as_they_were_written(shop: Mesh) -> None:
    route = shop.json("get", "httproute", "storefront", "-n", "shop")
    assert route["spec"]["parentRefs"] == [{"name": "shop"}]
    assert route["metadata"]["generation"] == 1
    [parent] = route["status"]["parents"]
    assert parent["controllerName"] == "tulle.dev/gateway-controller"
    assert {each["type"]: each["status"] for each in parent["conditions"]} == {
        "Accepted": "True",
        "ResolvedRefs": "True",
    }
    listed = shop.json("get", "gateway", "-n", "shop")
    assert listed["kind"] == "List"
    [front] = listed["items"]
    assert front["status"]["addresses"] == [{"type": "IPAddress", "value": gateway(shop)["addresses"][0]}]
    assert {"type": "Programmed", "status": "True"}.items() <= {
        key: value
        for condition in front["status"]["conditions"]
        if condition["type"] == "Programmed"
        for key, value in condition.items()
    }.items()


def test_envoys_own_names_are_those_that_tools_know(shop: Mesh) -> None:
    clusters = {each["name"] for each in shop.json("proxy", "clusters", "storefront-1.shop")}
    assert {
        "outbound|9080||details.shop.svc.cluster.local",
        "outbound|7000||orders.shop.svc.cluster.local",
        "inbound|9080||",
    } <= clusters
    hosts = {
        host["name"]
        for table in shop.json("proxy", "routes", "storefront-1.shop")
        for host in table["virtual_hosts"]
    }
    assert "details.shop.svc.cluster.local:9080" in hosts
    ports = {
        each["address"]["socket_address"]["port_value"]
        for each in shop.json("proxy", "listeners", "storefront-1.shop")
        if "socket_address" in each["address"]
    }
    assert {15001, 15006} <= ports


def test_what_a_program_writes_is_its_log(shop: Mesh) -> None:
    assert "orders serves on port 7000" in shop.tulle("logs", "orders", "-n", "shop").stdout
    counted = wait_for(
        "the customers' report", lambda: shop.tulle("logs", "traffic", "-n", "shop").stdout.splitlines()
    )
    assert re.search(r"200 reviews v\d: \d+", counted[-1])


def test_metrics_are_prometheus_text(shop: Mesh) -> None:
    metrics = shop.tulle("proxy", "stats", "storefront-1.shop").stdout
    assert re.search(r"^# TYPE envoy_\w+ (counter|gauge)$", metrics, re.MULTILINE)


def test_a_running_mesh_without_faults_has_no_errors(shop: Mesh) -> None:
    findings = shop.json("analyze")["findings"]
    assert [each for each in findings if each["severity"] == "error"] == []
