"""The redirect rules in real namespaces, with a stand-in for the proxy that tells what it was meant for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.netns.network import Net, real_network, run_in
from tulle.agent.network import NetworkError
from tulle.agent.redirect.apply import load
from tulle.agent.redirect.plan import Redirect, plan_redirect, plan_services
from tulle.kit.mark import PROXY_MARK

pytestmark = pytest.mark.root_only("namespaces are made here without a mesh, as root")

SERVER = """
import socket, struct, sys, threading
def serve(host, port):
    server = socket.create_server((host, port), reuse_port=True)
    while True:
        connection, peer = server.accept()
        _, original_port, original = struct.unpack("!HH4s8x", connection.getsockopt(0, 80, 16)) \\
            if "original" in sys.argv else (0, 0, b"    ")
        meant = f"{socket.inet_ntoa(original)}:{original_port}"
        connection.sendall(f"{port} from {peer[0]} for {meant}\\n".encode())
        connection.close()
def answer(host, port):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((host, port))
    while True:
        _, peer = server.recvfrom(2000)
        server.sendto(f"udp {host}:{port} from {peer[0]}".encode(), peer)
for argument in sys.argv[1:]:
    if argument != "original":
        host, port = argument.removeprefix("udp:").split(":")
        run = answer if argument.startswith("udp:") else serve
        threading.Thread(target=run, args=(host, int(port))).start()
print("listening", flush=True)
"""
CLIENT = """
import socket, sys
address, port, mark, source, kind = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
client.settimeout(5)
try:
    if mark:
        client.setsockopt(socket.SOL_SOCKET, 36, mark)
    client.bind((source, 0))
    client.connect((address, port))
    if kind == "udp":
        client.send(b"hello")
    print(client.recv(2000).decode().strip())
except OSError as error:
    print(type(error).__name__)
"""


@contextmanager
def serving(path: Path, *sockets: str) -> Iterator[None]:
    """A server in a namespace: `address:port`, `udp:address:port`; `original` tells what was meant."""
    process = subprocess.Popen(
        ["nsenter", f"--net={path}", "--", sys.executable, "-c", SERVER, *sockets],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        yield
    finally:
        process.kill()
        process.communicate()


def call(
    path: Path, address: str, port: int, *, mark: int = 0, source: str = "0.0.0.0", kind: str = "tcp"
) -> str:
    command: Sequence[str] = (sys.executable, "-c", CLIENT, address, str(port), str(mark), source, kind)
    return run_in(path, *command).stdout.strip()


OWN, PEER, VIRTUAL = "10.201.0.10", "10.201.0.11", "10.202.0.7"
REDIRECT = Redirect(mark=PROXY_MARK, resolver="10.201.0.1")


class Scene:
    def __init__(self, net: Net, own: Path, peer: Path) -> None:
        self.net, self.own, self.peer = net, own, peer


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """`own` has the rules, a stand-in for its proxy and an application on 9080; `peer` has neither."""
    async with real_network(tmp_path) as net:
        own = await net.workload("own", OWN)
        peer = await net.workload("peer", PEER)
        await load(plan_redirect(REDIRECT), own)
        with serving(own, "0.0.0.0:15001", "0.0.0.0:15006", "original"), serving(own, "0.0.0.0:9080"):
            yield Scene(net, own, peer)


async def test_all_tcp_out_goes_to_the_proxy_with_its_original_destination(scene: Scene) -> None:
    assert call(scene.own, PEER, 9080) == f"15001 from {OWN} for {PEER}:9080"
    assert call(scene.own, VIRTUAL, 80) == f"15001 from {OWN} for {VIRTUAL}:80"
    assert call(scene.own, "192.0.2.1", 443) == f"15001 from {OWN} for 192.0.2.1:443"
    assert call(scene.own, "169.254.169.254", 80) == f"15001 from {OWN} for 169.254.169.254:80"


async def test_all_tcp_in_goes_to_the_proxy_with_its_original_destination(scene: Scene) -> None:
    assert call(scene.peer, OWN, 9080) == f"15006 from {PEER} for {OWN}:9080"
    assert call(scene.peer, OWN, 15001) == f"15006 from {PEER} for {OWN}:15001"
    assert call(scene.peer, OWN, 15006) == f"15006 from {PEER} for {OWN}:15006"


async def test_the_mark_alone_excepts_the_proxys_own_traffic(scene: Scene) -> None:
    with serving(scene.peer, "0.0.0.0:9080"):
        assert call(scene.own, PEER, 9080, mark=PROXY_MARK).startswith(f"9080 from {OWN}")
        assert call(scene.own, PEER, 9080, mark=PROXY_MARK + 1).startswith("15001")


async def test_setting_the_mark_needs_a_privilege_that_workloads_do_not_have(scene: Scene) -> None:
    command = (sys.executable, "-c", CLIENT, PEER, "9080", str(PROXY_MARK), "0.0.0.0", "tcp")
    refused = run_in(
        scene.own,
        "setpriv",
        "--reuid=0",
        "--bounding-set=-all",
        "--inh-caps=-all",
        "--no-new-privs",
        *command,
    )
    assert refused.stdout.strip() == "PermissionError"


async def test_loopback_and_the_own_address_stay_with_the_application(scene: Scene) -> None:
    assert call(scene.own, "127.0.0.1", 9080).startswith("9080 from 127.0.0.1")
    assert call(scene.own, OWN, 9080).startswith(f"9080 from {OWN}")


async def test_the_proxy_and_a_probe_reach_the_application_from_their_own_source(scene: Scene) -> None:
    found = call(scene.own, OWN, 9080, mark=PROXY_MARK, source="127.0.0.6")
    assert found.startswith("9080 from 127.0.0.6")


async def test_a_call_to_oneself_through_the_proxy_passes_the_inbound_side(scene: Scene) -> None:
    assert call(scene.own, OWN, 9080, mark=PROXY_MARK) == f"15006 from {OWN} for {OWN}:9080"


async def test_an_application_on_loopback_alone_is_not_reachable_from_outside(scene: Scene) -> None:
    with serving(scene.own, "127.0.0.1:7000"):
        assert call(scene.own, "127.0.0.1", 7000).startswith("7000 from")
        assert call(scene.peer, OWN, 7000).startswith("15006 from")
        # what the proxy would then do
        assert call(scene.own, OWN, 7000, mark=PROXY_MARK, source="127.0.0.6") == "ConnectionRefusedError"


async def test_dns_goes_to_the_agent_directly(scene: Scene) -> None:
    with serving(scene.net.hub, "10.201.0.1:53", "10.201.0.1:54", "udp:10.201.0.1:53"):
        assert call(scene.own, "10.201.0.1", 53).startswith(f"53 from {OWN}")
        assert call(scene.own, "10.201.0.1", 53, kind="udp") == f"udp 10.201.0.1:53 from {OWN}"
        assert call(scene.own, "10.201.0.1", 54).startswith("15001 from")


async def test_what_is_excluded_passes_by_the_proxy(scene: Scene) -> None:
    await load(
        plan_redirect(
            Redirect(
                mark=PROXY_MARK,
                resolver="10.201.0.1",
                excluded_outbound=(7001,),
                excluded_inbound=(9080,),
                excluded_networks=("10.201.0.12/32",),
            )
        ),
        scene.own,
    )
    other = await scene.net.workload("other", "10.201.0.12")
    with serving(scene.peer, "0.0.0.0:7001"), serving(other, "0.0.0.0:7002"):
        assert call(scene.own, PEER, 7001).startswith("7001 from")
        assert call(scene.own, "10.201.0.12", 7002).startswith("7002 from")
        assert call(scene.peer, OWN, 9080).startswith(f"9080 from {PEER}")
        assert call(scene.own, PEER, 7003).startswith("15001 from")


async def test_udp_passes_by_the_proxy(scene: Scene) -> None:
    with serving(scene.peer, f"udp:{PEER}:5000"):
        assert call(scene.own, PEER, 5000, kind="udp") == f"udp {PEER}:5000 from {OWN}"


async def test_a_virtual_address_of_udp_reaches_its_endpoints_and_follows_them(scene: Scene) -> None:
    key = f"{VIRTUAL}:53"
    with serving(scene.peer, f"udp:{PEER}:5000", f"udp:{PEER}:5001"):
        await load(plan_services({key: (f"{PEER}:5000", f"{PEER}:5001")}), scene.own)
        found = {call(scene.own, VIRTUAL, 53, kind="udp") for _ in range(20)}
        assert found == {f"udp {PEER}:5000 from {OWN}", f"udp {PEER}:5001 from {OWN}"}

        await load(plan_services({key: (f"{PEER}:5001",)}), scene.own)
        found = {call(scene.own, VIRTUAL, 53, kind="udp") for _ in range(5)}
        assert found == {f"udp {PEER}:5001 from {OWN}"}

        await load(plan_services({key: ()}), scene.own)
        assert call(scene.own, VIRTUAL, 53, kind="udp") == "OSError"
    assert call(scene.own, VIRTUAL, 80).startswith("15001"), "the redirect is as it was"


async def test_a_workload_without_a_proxy_reaches_virtual_addresses_of_tcp(scene: Scene) -> None:
    await load(plan_services({}, {f"{VIRTUAL}:80": (f"{OWN}:9080",)}), scene.peer)
    assert call(scene.peer, VIRTUAL, 80) == f"15006 from {PEER} for {OWN}:9080"


async def test_a_script_that_nft_refuses_changes_nothing(scene: Scene) -> None:
    with pytest.raises(NetworkError, match="own"):
        await load("flush ruleset\nnonsense\n", scene.own)
    assert call(scene.own, PEER, 9080).startswith("15001")
