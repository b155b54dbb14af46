"""Names, addresses and endpoints: how a workload is found, and how it goes."""

from __future__ import annotations

import json
import socket

import pytest

from tests.netns.mesh import Mesh, program, wait_for
from tests.netns.traces import mounted


def addresses(mesh: Mesh, name: str) -> set[str]:
    """What a workload's own resolver answers."""
    look = f"import socket; print(*{{each[4][0] for each in socket.getaddrinfo('{name}', 80)}})"
    return set(mesh.execute("client.lab", "python3", "-c", look).stdout.split())


def greeting(mesh: Mesh, host: str, port: int) -> list[str]:
    listen = f"import socket; print(socket.create_connection(('{host}', {port})).makefile().readline())"
    return mesh.execute("client.lab", "python3", "-c", listen).stdout.split()


def test_a_service_has_one_virtual_address_under_every_form_of_its_name(shop: Mesh) -> None:
    forms = ("echo", "echo.lab", "echo.lab.svc", "echo.lab.svc.cluster.local", "echo.lab.svc.cluster.local.")
    found = [addresses(shop, form) for form in forms]
    assert len(found[0]) == 1 and all(each == found[0] for each in found)
    others = {workload["address"] for workload in shop.status()["workloads"]}
    assert not found[0] & others


def test_names_outside_of_the_mesh_are_the_machines(shop: Mesh) -> None:
    answer = shop.execute(
        "client.lab", "python3", "-c", "import socket; socket.gethostbyname('no.invalid')", status=1
    )
    assert "gaierror" in answer.stderr
    assert addresses(shop, "localhost") == {"127.0.0.1"}


def test_an_instance_of_a_stateful_set_has_its_own_name(shop: Mesh) -> None:
    for name in ("peer-0", "peer-1"):
        own = shop.workload("lab", name)["address"]
        assert addresses(shop, f"{name}.peer") == {own}
        answer = json.loads(shop.request("client.lab", f"http://{name}.peer:8080/")["body"])
        assert answer["name"] == name
        assert "URI=spiffe://cluster.local/ns/lab/sa/client" in answer["headers"]["x-forwarded-client-cert"]
        assert greeting(shop, f"{name}.peer.lab.svc.cluster.local", 7000) == ["HELLO", name, "127.0.0.6"]


def test_a_headless_service_has_the_addresses_of_its_instances(shop: Mesh) -> None:
    own = {shop.workload("lab", name)["address"] for name in ("peer-0", "peer-1")}
    assert addresses(shop, "peer") == own
    answers = shop.requests("client.lab", *["http://peer:8080/"] * 40)
    assert {json.loads(answer["body"])["name"] for answer in answers} == {"peer-0", "peer-1"}
    assert greeting(shop, "peer", 7000)[1] in ("peer-0", "peer-1")


def test_a_port_that_nobody_described_is_found_out(shop: Mesh) -> None:
    """The server speaks first and the port has no protocol: the caller waits for nothing."""
    assert greeting(shop, "detected", 7100) == ["HELLO", "detected", "127.0.0.6"]


def test_udp_to_a_virtual_address_reaches_every_endpoint(shop: Mesh) -> None:
    """The address answers, whoever is behind it; 40 of 40 on one of two has a chance of 2e-12."""
    send = """
import socket
answers = set()
for number in range(40):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(("datagram", 5300))
        client.send(b"%d" % number)
        name, said = client.recv(100).decode().split()
        assert said == str(number)
        answers.add(name)
print(*sorted(answers))
"""
    for caller in ("client.lab", "outsider.lab"):
        assert shop.execute(caller, "python3", "-c", send).stdout.split() == ["datagram-1", "datagram-2"]


def test_websocket_through_both_proxies(shop: Mesh) -> None:
    chat = shop.execute("client.lab", "python3", "-c", program("chat"), "websocket", "8080", "hello", "again")
    printed = chat.stdout.splitlines()
    # The accept value is the example of RFC 6455, section 1.3.
    assert printed == ["HTTP/1.1 101 Switching Protocols", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "hello", "again"]


@pytest.mark.root_only("an ordinary user's workloads reach this machine by pasta alone: test_outside.py")
def test_what_lies_outside_of_the_mesh_is_reached_unless_the_mesh_says_no(shop: Mesh) -> None:
    """A server of this machine, at the address where the mesh meets it."""
    only = """
apiVersion: tulle.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
"""
    with socket.create_server((outer_address(shop), 0)) as server:
        host, port = server.getsockname()
        dial = f"import socket; socket.create_connection(('{host}', {port}), timeout=10).sendall(b'hello')"
        shop.execute("client.lab", "python3", "-c", dial)
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(10)
            assert accepted.recv(16) == b"hello"
        with shop.applied(only):
            listen = f"import socket; print(socket.create_connection(('{host}', {port}), timeout=10).recv(1))"
            ended = shop.execute("client.lab", "python3", "-c", listen, status=None)
            assert ended.stdout.strip() == "b''" or "ConnectionResetError" in ended.stderr
            assert shop.request("client.lab", "http://echo-v1:8080/")["status"] == 200
        server.settimeout(0)
        shop.execute("client.lab", "python3", "-c", dial)
        server.settimeout(10)
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(10)
            assert accepted.recv(16) == b"hello", "the refused connection never arrived"


def test_a_port_that_a_service_has_not_ends_at_once(shop: Mesh) -> None:
    """Nobody has its virtual address: dialled by a proxy, it would say nothing for seconds."""
    dial = "import socket; print(socket.create_connection(('echo', 7777), timeout=4).recv(1))"
    ended = shop.execute("client.lab", "python3", "-c", dial, status=None)
    assert ended.stdout.strip() == "b''" or "ConnectionResetError" in ended.stderr
    assert shop.request("client.lab", "http://echo:8000/")["status"] == 503  # where httpbin is HTTP


def outer_address(mesh: Mesh) -> str:
    """This machine's end of the mesh's uplink."""
    hub = mounted(mesh.layout) / "hub"
    routes = json.loads(mesh.run("nsenter", f"--net={hub}", "--", "ip", "-json", "route"))
    return next(route["gateway"] for route in routes if route["dst"] == "default")


def test_an_endpoint_goes_with_its_process_and_no_call_fails(shop: Mesh) -> None:
    cluster = "outbound|8080||mortal.lab.svc.cluster.local"
    gone = shop.workload("lab", "mortal-a")["address"]

    def endpoints() -> set[str]:
        return {each["address"] for each in shop.endpoints("client.lab", cluster) if each["healthy"]}

    wait_for("both are endpoints", lambda: len(endpoints()) == 2)
    with shop.steady("client.lab", "http://mortal:8080/", rate=100) as outcome:
        # It may end with its process: then it is killed itself.
        shop.execute("mortal-a.lab", "python3", "-c", program("end"), "echo.py", status=None)
        wait_for("the dead one is no endpoint", lambda: f"{gone}:8080" not in endpoints())
    assert outcome["failures"] == []
    assert outcome["total"] > 20
    assert not shop.workload("lab", "mortal-a")["ready"]
