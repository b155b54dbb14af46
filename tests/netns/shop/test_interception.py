"""Nothing passes by the proxies, and what passes between them is encrypted and has an identity."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.netns.mesh import Mesh
from tests.netns.shop.capture import captured

CLIENT = "spiffe://cluster.local/ns/lab/sa/client"
ECHO = "spiffe://cluster.local/ns/lab/sa/echo"
FORGED = {"x-forwarded-client-cert": "By=spiffe://x;URI=spiffe://cluster.local/ns/lab/sa/root"}


def requests_of(mesh: Mesh, workload: str, cluster: str) -> int:
    return sum(each["requests"] for each in mesh.endpoints(workload, cluster))


def test_calls_leave_through_the_callers_proxy(shop: Mesh) -> None:
    cluster = "outbound|8080||echo-v1.lab.svc.cluster.local"
    before = requests_of(shop, "client.lab", cluster)
    answers = shop.requests("client.lab", *["http://echo-v1:8080/"] * 7)
    assert {answer["status"] for answer in answers} == {200}
    assert requests_of(shop, "client.lab", cluster) == before + 7


def test_calls_arrive_through_the_servers_proxy(shop: Mesh) -> None:
    before = requests_of(shop, "echo-v1.lab", "inbound|8080||")
    answer = json.loads(shop.request("client.lab", "http://echo-v1:8080/")["body"])
    assert answer["peer"] == "127.0.0.6", "the address that a proxy calls its own application from"
    assert requests_of(shop, "echo-v1.lab", "inbound|8080||") > before
    address = shop.workload("lab", "echo-v1")["address"]
    plain = json.loads(shop.request("outsider.lab", f"http://{address}:8080/")["body"])
    assert plain["peer"] == "127.0.0.6", "also what is not encrypted"


def test_a_call_to_a_workloads_own_address_is_intercepted_too(shop: Mesh) -> None:
    address = shop.workload("lab", "echo-v1")["address"]
    answer = json.loads(shop.request("client.lab", f"http://{address}:8080/")["body"])
    assert answer["peer"] == "127.0.0.6"


def test_a_workload_calls_itself_by_its_services_name(shop: Mesh) -> None:
    answer = shop.request("echo-v1.lab", "http://echo-v1:8080/self")
    assert (answer["status"], json.loads(answer["body"])["name"]) == (200, "echo-v1")


def test_loopback_is_left_alone(shop: Mesh) -> None:
    answer = json.loads(shop.request("echo-v1.lab", "http://127.0.0.1:8080/")["body"])
    assert answer["peer"] == "127.0.0.1"
    assert "x-forwarded-client-cert" not in answer["headers"]


def test_the_server_is_told_who_calls(shop: Mesh) -> None:
    answer = shop.request("client.lab", "http://httpbin:8000/headers", headers=FORGED)
    headers = {name.lower(): value for name, value in json.loads(answer["body"])["headers"].items()}
    assert headers["x-forwarded-client-cert"] == (f"By=spiffe://cluster.local/ns/lab/sa/httpbin;URI={CLIENT}")


def test_nobody_forges_an_identity(shop: Mesh) -> None:
    address = shop.workload("lab", "echo-v1")["address"]
    for caller, host, expected in (
        ("client.lab", "echo-v1", f"By={ECHO};URI={CLIENT}"),
        ("client.lab", address, None),  # without a service there is no name to prove: plain text
        ("outsider.lab", address, None),
    ):
        answer = json.loads(shop.request(caller, f"http://{host}:8080/", headers=FORGED)["body"])
        assert answer["headers"].get("x-forwarded-client-cert") == expected


def test_each_proxy_holds_the_identity_of_its_own_workload(shop: Mesh) -> None:
    for workload, identity in (("client.lab", CLIENT), ("echo-v2.lab", ECHO)):
        printed = shop.tulle("proxy", "secrets", workload).stdout
        [own] = [line for line in printed.splitlines() if line.startswith("default ")]
        assert identity in own
        assert "PRIVATE KEY" not in shop.tulle("proxy", "secrets", workload, "-o", "json").stdout


def test_the_bridge_carries_tls_and_not_the_request(shop: Mesh, tmp_path: Path) -> None:
    """With a caller that has just started: the handshakes are in the capture. What an outsider says in the
    same capture is readable, so that the capture would have shown a request in plain text."""
    caller = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: newcomer, namespace: lab}
spec: {services: {newcomer: {command: sleep infinity}}}
"""
    with shop.applied(caller):
        shop.ready("lab", "newcomer")
        address = shop.workload("lab", "echo-v1")["address"]
        secret = {"method": "POST", "headers": {"x-marker": "header-8c1f"}, "body": "body-8c1f"}
        with captured(shop.layout, address, tmp_path / "meshed") as meshed:
            answer = shop.request("newcomer.lab", "http://echo-v1:8080/path-8c1f", **secret)
        with captured(shop.layout, address, tmp_path / "plain") as plain:
            shop.request("outsider.lab", f"http://{address}:8080/path-8c1f", **secret)
    assert json.loads(answer["body"])["body"] == "body-8c1f"
    assert meshed.handshakes >= 2, "one from each side"
    assert meshed.plain == []
    assert not meshed.has("8c1f")
    assert plain.handshakes == 0
    assert plain.has("path-8c1f") and plain.has("header-8c1f") and plain.has("body-8c1f")


def test_a_caller_from_outside_reaches_http_and_tcp_in_plain_text(shop: Mesh) -> None:
    echo = shop.workload("lab", "echo-v1")["address"]
    assert shop.request("outsider.lab", f"http://{echo}:8080/")["status"] == 200
    orders = shop.workload("shop", "orders")["address"]
    listen = f"import socket; print(socket.create_connection(('{orders}', 7000)).recv(64).decode(), end='')"
    assert shop.execute("outsider.lab", "python3", "-c", listen).stdout == "ORDERS ready\n"


@pytest.mark.root_only("from this machine only loopback ports lead into an ordinary user's mesh")
def test_this_machine_reaches_a_workload_in_plain_text(shop: Mesh) -> None:
    address = shop.workload("lab", "echo-v1")["address"]
    with urllib.request.urlopen(f"http://{address}:8080/", timeout=10) as answer:
        assert json.load(answer)["name"] == "echo-v1"


def test_an_outsider_finds_services_by_name(shop: Mesh) -> None:
    assert shop.request("outsider.lab", "http://echo-v1:8080/")["status"] == 200


def test_workloads_have_no_privileges(shop: Mesh) -> None:
    """Neither the program, which its keeper (process 1) has started first, nor what `exec` starts."""
    for process in ("2", "self"):
        status = shop.execute("client.lab", "cat", f"/proc/{process}/status").stdout
        fields = dict(line.split(":\t", 1) for line in status.splitlines())
        assert fields["Name"] == {"2": "sleep", "self": "cat"}[process]
        assert {fields[name] for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {"0" * 16}
        assert fields["NoNewPrivs"] == "1"


def test_workloads_do_not_see_the_meshs_own_state(shop: Mesh) -> None:
    for hidden in (shop.home, shop.layout.run):
        assert list(hidden.iterdir())
        assert shop.execute("client.lab", "ls", "-A", str(hidden), status=None).stdout == ""


def test_the_admin_interface_is_not_a_workloads_to_open(shop: Mesh) -> None:
    for port in (15000, 15090):
        answer = shop.request("client.lab", f"http://127.0.0.1:{port}/")
        assert answer["status"] == 0
