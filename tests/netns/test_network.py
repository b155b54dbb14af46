"""The hub, workloads and the uplink in real namespaces."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from tests.netns.network import NETWORK, real_network, run_in
from tulle.agent import namespace, uplink
from tulle.agent.layout import Layout
from tulle.agent.network import Network, NetworkError

pytestmark = pytest.mark.root_only("namespaces are made here without a mesh, as root")

CLIENT = """
import socket, sys
try:
    connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    print(connection.makefile().readline().strip())
except OSError as error:
    print(type(error).__name__)
"""
SERVER = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("listening", flush=True)
while True:
    connection, peer = server.accept()
    connection.sendall(f"{peer[0]}\\n".encode())
    connection.close()
"""


class Server:
    """Answers each connection with the caller's address, inside a namespace or (None) on the host."""

    def __init__(self, path: Path | None, address: str, port: int) -> None:
        enter = [] if path is None else ["nsenter", f"--net={path}", "--"]
        self.process = subprocess.Popen(
            [*enter, sys.executable, "-c", SERVER, address, str(port)], stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Server:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "listening\n"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def call(path: Path | None, address: str, port: int) -> str:
    command = [sys.executable, "-c", CLIENT, address, str(port)]
    if path is None:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    return run_in(path, *command).stdout.strip()


def show(path: Path, *arguments: str) -> list[dict[str, object]]:
    return json.loads(run_in(path, "ip", "-json", *arguments).stdout or "[]")


async def test_workloads_reach_each_other_and_the_hub_and_keep_their_address(tmp_path: Path) -> None:
    async with real_network(tmp_path) as net:
        first = await net.workload("first", "10.201.0.10")
        second = await net.workload("second", "10.201.0.11")
        with Server(second, "0.0.0.0", 80), Server(net.hub, "10.201.0.1", 53):
            assert call(first, "10.201.0.11", 80) == "10.201.0.10"
            assert call(second, "10.201.0.11", 80) == "10.201.0.11"
            assert call(first, "10.201.0.1", 53) == "10.201.0.10"


async def test_nothing_asks_by_arp_and_a_workload_knows_one_neighbour(tmp_path: Path) -> None:
    async with real_network(tmp_path) as net:
        first = await net.workload("first", "10.201.0.10")
        second = await net.workload("second", "10.201.0.11")
        with Server(second, "0.0.0.0", 80):
            assert call(first, "10.201.0.11", 80) == "10.201.0.10"
        neighbours = show(first, "-4", "neighbour", "show")
        assert [(entry["dst"], entry["state"]) for entry in neighbours] == [("10.201.0.1", ["PERMANENT"])]
        assert {str(entry["state"]) for entry in show(net.hub, "-4", "neighbour", "show")} == {
            "['PERMANENT']"
        }


async def test_a_virtual_address_without_a_proxy_is_refused_at_once(tmp_path: Path) -> None:
    async with real_network(tmp_path) as net:
        first = await net.workload("first", "10.201.0.10")
        assert call(first, "10.202.0.7", 80) == "OSError"
        assert call(first, "192.0.2.1", 80) == "OSError"


async def test_a_namespace_has_no_ipv6_and_low_ports_are_free(tmp_path: Path) -> None:
    async with real_network(tmp_path) as net:
        first = await net.workload("first", "10.201.0.10")
        assert show(first, "-6", "address", "show") == []
        port_start = run_in(first, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start").stdout
        assert port_start.strip() == "0"


async def test_removing_a_workload_takes_it_off_the_hub_at_once_and_is_repeatable(tmp_path: Path) -> None:
    async with real_network(tmp_path) as net:
        path = await net.workload("first", "10.201.0.10")
        assert namespace.exists(path)
        await net.remove("first", "10.201.0.10")
        assert not path.exists()
        assert [link["ifname"] for link in show(net.hub, "link", "show")] == ["lo", "tulle"]
        assert show(net.hub, "-4", "neighbour", "show") == []
        await net.remove("first", "10.201.0.10")
        await net.workload("first", "10.201.0.10")


async def test_a_workload_that_cannot_be_connected_leaves_nothing(tmp_path: Path) -> None:
    async with real_network(tmp_path) as net:
        await net.workload("first", "10.201.0.10")
        with pytest.raises(NetworkError, match="second"):
            await namespace.create_workload(
                tmp_path / "second", tmp_path / "absent", net.network, "wsecond", [net.network.workloads[11]]
            )
        assert not (tmp_path / "second").exists()


async def test_a_crash_between_two_steps_leaves_a_file_that_is_no_namespace(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert not namespace.exists(tmp_path / "empty")
    assert not namespace.exists(tmp_path / "absent")
    await namespace.remove(tmp_path / "empty")
    assert list(tmp_path.iterdir()) == []


# -- the uplink ---------------------------------------------------------------------------------------------

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
CLONE_NEWNET = 0x40000000


@pytest.fixture
def host() -> Iterator[None]:
    """A network namespace that plays the host's, so that this machine's own settings stay alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    assert libc.unshare(CLONE_NEWNET) == 0
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        FORWARDING.write_text("0")
        yield
    finally:
        assert libc.setns(before, CLONE_NEWNET) == 0
        os.close(before)


def layout_at(directory: Path, mesh: str) -> Layout:
    layout = Layout(home=directory / "home" / mesh, run=directory / "run" / mesh, mesh=mesh)
    layout.namespaces.mkdir(parents=True)
    return layout


def nft(*arguments: str, text: str | None = None) -> str:
    return subprocess.run(["nft", *arguments], input=text, capture_output=True, text=True, check=True).stdout


@pytest.mark.usefixtures("host")
async def test_the_uplink_reaches_workloads_from_the_host_and_the_host_from_workloads(tmp_path: Path) -> None:
    layout = layout_at(tmp_path, "0a0b0c01")
    async with real_network(layout.namespaces) as net:
        workload = await net.workload("first", "10.201.0.10")
        await uplink.connect(layout, net.network)
        outer = str(net.network.uplink_outer)
        with Server(workload, "0.0.0.0", 8080), Server(None, outer, 8081):
            assert call(None, "10.201.0.10", 8080) == outer
            assert call(workload, outer, 8081) == "10.201.0.10"
        assert await uplink.leftovers(layout) == ("interface tul0a0b0c01", "nft table ip tulle_0a0b0c01")
        assert NETWORK.workloads in await uplink.host_routes()
        assert FORWARDING.read_text() == "1\n"

        await uplink.disconnect(layout)
        assert await uplink.leftovers(layout) == ()
        assert NETWORK.workloads not in await uplink.host_routes()
        assert FORWARDING.read_text() == "0\n"
        assert nft("list", "ruleset") == ""
        await uplink.disconnect(layout)


@pytest.mark.usefixtures("host")
async def test_workloads_reach_the_world_under_the_hosts_address_and_strangers_do_not_reach_them(
    tmp_path: Path,
) -> None:
    layout = layout_at(tmp_path, "0a0b0c05")
    async with real_network(layout.namespaces) as net:
        workload = await net.workload("first", "10.201.0.10")
        await uplink.connect(layout, net.network)
        world = layout.namespaces / "world"
        await namespace.create(world, ())
        subprocess.run(
            ["ip", "-batch", "-"],
            input=f"link add out type veth peer name eth0 netns {world}\n"
            "address add 198.51.100.1/24 dev out\nlink set out up\n",
            text=True,
            check=True,
        )
        run_in(
            world,
            *("ip", "-batch", "-"),
            text="address add 198.51.100.2/24 dev eth0\n"
            "link set eth0 up\nroute add default via 198.51.100.1\n",
        )
        with Server(world, "198.51.100.2", 80), Server(workload, "0.0.0.0", 80):
            assert call(workload, "198.51.100.2", 80) == "198.51.100.1"
            assert call(world, "10.201.0.10", 80) == "TimeoutError"
        await uplink.disconnect(layout)


@pytest.mark.usefixtures("host")
async def test_forwarding_stays_while_one_of_two_meshes_is_up(tmp_path: Path) -> None:
    first, second = layout_at(tmp_path, "0a0b0c02"), layout_at(tmp_path, "0a0b0c03")
    other = Network(IPv4Network("10.203.0.0/24"), IPv4Network("10.204.0.0/24"))
    async with real_network(first.namespaces) as one, real_network(second.namespaces, other) as two:
        await uplink.connect(first, one.network)
        await uplink.connect(second, two.network)
        await uplink.disconnect(first)
        assert FORWARDING.read_text() == "1\n"
        await uplink.disconnect(second)
        assert FORWARDING.read_text() == "0\n"


@pytest.mark.usefixtures("host")
async def test_a_host_that_already_forwards_keeps_doing_so(tmp_path: Path) -> None:
    FORWARDING.write_text("1")
    layout = layout_at(tmp_path, "0a0b0c06")
    async with real_network(layout.namespaces) as net:
        await uplink.connect(layout, net.network)
        assert "tulle_guard" not in nft("list", "tables")
        await uplink.disconnect(layout)
    assert FORWARDING.read_text() == "1\n"


@pytest.mark.usefixtures("host")
async def test_a_host_that_did_not_forward_does_not_become_a_router_between_its_other_interfaces(
    tmp_path: Path,
) -> None:
    layout = layout_at(tmp_path, "0a0b0c07")
    subprocess.run(["ip", "link", "add", "lan0", "type", "bridge"], check=True)
    async with real_network(layout.namespaces) as net:
        await uplink.connect(layout, net.network)
        assert 'iifname "lan0" oifname "lan0" drop' in nft("list", "table", "ip", "tulle_guard")
        await uplink.disconnect(layout)
        assert "tulle_guard" not in nft("list", "tables")


@pytest.mark.usefixtures("host")
async def test_a_forward_chain_that_drops_by_default_lets_the_mesh_through(tmp_path: Path) -> None:
    dropping = (
        "table ip filter {\n chain FORWARD {\n  type filter hook forward priority 0; policy drop;\n }\n}\n"
    )
    nft("-f", "-", text=dropping)
    layout = layout_at(tmp_path, "0a0b0c04")
    async with real_network(layout.namespaces) as net:
        await uplink.connect(layout, net.network)
        assert nft("list", "table", "ip", "filter").count('comment "tulle_0a0b0c04"') == 2
        await uplink.disconnect(layout)
        assert "comment" not in nft("list", "table", "ip", "filter")


@pytest.mark.usefixtures("host")
async def test_an_uplink_that_fails_half_way_leaves_nothing_on_the_host(tmp_path: Path) -> None:
    layout = layout_at(tmp_path, "0a0b0c08")
    with pytest.raises(NetworkError):
        await uplink.connect(layout, NETWORK)
    assert await uplink.leftovers(layout) == ()
    assert FORWARDING.read_text() == "0\n"
