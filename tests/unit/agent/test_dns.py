"""The nameserver, the helper and a nameserver of the machine, on real sockets of the loopback."""

import asyncio
import contextlib
import select
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from tulle.agent import resolver
from tulle.agent.dns import Nameserver
from tulle.agent.resolver import Configuration
from tulle.model.agentapi import NameTable

TABLE = NameTable(
    addresses={"reviews.shop.svc.cluster.local": ("10.79.128.1",)},
    aliases={"search.shop.svc.cluster.local": "www.example.org"},
)
Answer = Callable[[dns.message.Message], list[bytes]]


class Machine(asyncio.DatagramProtocol):
    """A nameserver by UDP and TCP whose answers a test decides."""

    def __init__(self) -> None:
        self.asked: list[dns.message.Message] = []
        self.over_tcp = 0
        self.by_udp: Answer = lambda query: [self.plain(query)]
        self.by_tcp: Answer = lambda query: [self.plain(query)]

    @staticmethod
    def plain(query: dns.message.Message, *addresses: str, rcode: int = dns.rcode.NOERROR) -> bytes:
        response = dns.message.make_response(query)
        response.set_rcode(dns.rcode.Rcode(rcode))
        if rcode == dns.rcode.NOERROR:
            name = query.question[0].name
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", *(addresses or ("192.0.2.1",))))
        return response.to_wire()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        self.asked.append(query)
        for answer in self.by_udp(query):
            self.transport.sendto(answer, addr)  # type: ignore[attr-defined]

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        self.over_tcp += 1
        for answer in self.by_tcp(dns.message.from_wire(await reader.readexactly(length))):
            writer.write(struct.pack("!H", len(answer)) + answer)
        writer.close()


class Place:
    """The addresses of one running set."""

    def __init__(self, folder: Path) -> None:
        self.resolv_conf = folder / "resolv.conf"
        self.socket = folder / "dns.sock"
        self.machine = Machine()
        self.nameserver = Nameserver(self.socket)
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.tcp = socket.socket()
        for each in (self.udp, self.tcp):
            each.bind(("127.0.0.1", 0))
        self.udp_address = self.udp.getsockname()
        self.tcp_address = self.tcp.getsockname()

    async def packet(self, packet: bytes) -> bytes:
        """Send a packet by UDP and wait for the answer."""
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as asker:
            asker.setblocking(False)
            asker.connect(self.udp_address)
            await loop.sock_sendall(asker, packet)
            return await asyncio.wait_for(loop.sock_recv(asker, 65535), 20)

    async def ask(self, name: str, kind: str = "A", **options: object) -> dns.message.Message:
        query = dns.message.make_query(name, kind, **options)  # type: ignore[arg-type]
        answer = dns.message.from_wire(await self.packet(query.to_wire()))
        assert query.is_response(answer)
        return answer

    async def ask_by_tcp(self, *names: str) -> list[dns.message.Message]:
        """Several questions over one connection, all sent before the first answer is read."""
        reader, writer = await asyncio.open_connection(*self.tcp_address)
        queries = [dns.message.make_query(name, "A") for name in names]
        for query in queries:
            wire = query.to_wire()
            writer.write(struct.pack("!H", len(wire)) + wire)
        answers: list[dns.message.Message] = []
        for query in queries:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            answers.append(dns.message.from_wire(await reader.readexactly(length)))
            assert query.is_response(answers[-1])
        writer.close()
        return answers


@asynccontextmanager
async def machine_of(place: Place) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    tcp = await asyncio.start_server(place.machine.connection, "127.0.0.1", 0)
    port = tcp.sockets[0].getsockname()[1]
    transport, _ = await loop.create_datagram_endpoint(lambda: place.machine, local_addr=("127.0.0.1", port))
    yield port
    transport.close()
    tcp.close()


@asynccontextmanager
async def running(*tasks: asyncio.Task[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path)
    place.nameserver.update(TABLE)
    place.resolv_conf.write_text("nameserver 127.0.0.1\n")
    async with machine_of(place) as port:
        helper = resolver.serve(place.socket, Configuration(place.resolv_conf, port))
        serving = place.nameserver.serve(place.udp, place.tcp)
        async with running(asyncio.create_task(helper), asyncio.create_task(serving)):
            async with asyncio.timeout(10):
                while not place.socket.exists():
                    await asyncio.sleep(0)
            yield place


def addresses(answer: dns.message.Message) -> list[str]:
    return [str(value) for rrset in answer.answer if rrset.rdtype == 1 for value in rrset]


async def test_names_of_the_mesh_do_not_leave_the_host(place: Place) -> None:
    assert addresses(await place.ask("reviews.shop.svc.cluster.local")) == ["10.79.128.1"]
    assert (await place.ask("reviews.shop.svc.cluster.local", "AAAA")).rcode() == dns.rcode.NOERROR
    assert (await place.ask("example.com.shop.svc.cluster.local")).rcode() == dns.rcode.NXDOMAIN
    assert place.machine.asked == []
    assert place.nameserver.counts == {"answered": 3}


async def test_a_workloads_own_name_is_what_a_service_makes_of_it_and_else_itself(place: Place) -> None:
    place.nameserver.know({"127.0.0.1": "Reviews", "127.0.0.2": "other"})
    by_search = await place.ask("reviews.shop.svc.cluster.local")
    assert addresses(by_search) == ["10.79.128.1"], "what a resolver asks first"
    assert addresses(await place.ask("reviews")) == ["127.0.0.1"]
    assert (await place.ask("reviews", "AAAA")).rcode() == dns.rcode.NOERROR
    assert [addresses(each) for each in await place.ask_by_tcp("reviews")] == [["127.0.0.1"]]
    assert place.machine.asked == []
    await place.ask("other")
    assert place.machine.asked != [], "it is the name of another workload"


async def test_what_was_asked_before_the_names_are_known_waits_for_them(tmp_path: Path) -> None:
    """A question that comes while the agent starts is no failure: programs do not ask again."""
    place = Place(tmp_path)
    serving = asyncio.create_task(place.nameserver.serve(place.udp, place.tcp))
    asked = asyncio.create_task(place.ask("reviews.shop.svc.cluster.local"))
    while not select.select([place.udp], [], [], 0)[0]:  # until the question is there
        await asyncio.sleep(0)
    for _ in range(20):  # turns of the loop in which it could be answered too early
        await asyncio.sleep(0)
    place.nameserver.update(TABLE)
    async with running(serving):
        assert (await asked).rcode() == dns.rcode.NOERROR


async def test_other_names_are_asked_of_the_machine(place: Place) -> None:
    assert addresses(await place.ask("www.example.com")) == ["192.0.2.1"]
    answers = await place.ask_by_tcp("reviews.shop.svc.cluster.local", "www.example.com", "example.com")
    assert [addresses(answer) for answer in answers] == [["10.79.128.1"], ["192.0.2.1"], ["192.0.2.1"]]
    assert place.nameserver.counts == {"answered": 1, "forwarded": 3}


async def test_an_external_name_is_an_alias_with_its_addresses(place: Place) -> None:
    answer = await place.ask("search.shop.svc.cluster.local")
    assert [str(rrset).split("\n")[0].split(" ", 2)[2] for rrset in answer.answer] == [
        "IN CNAME www.example.org.",
        "IN A 192.0.2.1",
    ]
    place.machine.by_udp = lambda query: [Machine.plain(query, rcode=dns.rcode.NXDOMAIN)]
    assert (await place.ask("search.shop.svc.cluster.local")).rcode() == dns.rcode.NXDOMAIN


async def test_a_long_answer_is_fetched_by_tcp_and_cut_for_udp(place: Place) -> None:
    many = [f"192.0.2.{number}" for number in range(200)]

    def cut(query: dns.message.Message) -> list[bytes]:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.TC
        return [response.to_wire()]

    place.machine.by_udp = cut
    place.machine.by_tcp = lambda query: [Machine.plain(query, *many)]
    by_udp = await place.ask("long.example.com", use_edns=0, payload=4096)
    assert by_udp.flags & dns.flags.TC
    assert by_udp.answer == []
    (by_tcp,) = await place.ask_by_tcp("long.example.com")
    assert sorted(addresses(by_tcp)) == sorted(many)


async def test_forged_answers_are_not_taken(place: Place) -> None:
    def forge(query: dns.message.Message) -> list[bytes]:
        other_id = bytearray(Machine.plain(query, "203.0.113.1"))
        other_id[0] ^= 0xFF
        other_name = Machine.plain(
            dns.message.make_query("other.example.com", "A", id=query.id), "203.0.113.2"
        )
        return [bytes(other_id), other_name, b"", b"\x00", query.to_wire(), Machine.plain(query)]

    place.machine.by_udp = forge
    assert addresses(await place.ask("www.example.com")) == ["192.0.2.1"]


async def test_the_identifier_that_leaves_the_host_is_not_the_workloads(place: Place) -> None:
    for _ in range(20):
        await place.ask("www.example.com", id=7)
    assert len({query.id for query in place.machine.asked}) > 10


async def test_a_nameserver_that_is_away_or_fails_is_passed_over(place: Place) -> None:
    place.resolv_conf.write_text("nameserver 127.0.0.9\nnameserver 127.0.0.1\n")
    assert addresses(await place.ask("www.example.com")) == ["192.0.2.1"]
    place.machine.by_udp = lambda query: [Machine.plain(query, rcode=dns.rcode.SERVFAIL)]
    assert (await place.ask("www.example.com")).rcode() == dns.rcode.SERVFAIL


async def test_a_changed_resolv_conf_counts_at_once(place: Place) -> None:
    place.resolv_conf.write_text("nameserver 127.0.0.9\n")
    assert (await place.ask("www.example.com")).rcode() == dns.rcode.SERVFAIL
    place.resolv_conf.write_text("# again\nnameserver 127.0.0.1\n")
    assert addresses(await place.ask("www.example.com")) == ["192.0.2.1"]
    place.resolv_conf.unlink()
    assert addresses(await place.ask("www.example.com")) == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("127.0.0.1",)),
        ("search a b\noptions ndots:5\n", ("127.0.0.1",)),
        ("nameserver 127.0.0.53\n", ("127.0.0.53",)),
        ("#nameserver 1.1.1.1\n nameserver\t9.9.9.9 # x\nnameserver\n", ("9.9.9.9",)),
        ("".join(f"nameserver 10.0.0.{n}\n" for n in range(5)), ("10.0.0.0", "10.0.0.1", "10.0.0.2")),
        ("nameserver fe80::1%eth0\n", ("fe80::1%eth0",)),
    ],
)
def test_reads_a_resolv_conf(text: str, expected: tuple[str, ...]) -> None:
    assert resolver.nameservers(text) == expected


async def test_without_the_helper_the_failure_is_told_at_once_and_the_mesh_is_answered(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    async with running(asyncio.create_task(place.nameserver.serve(place.udp, place.tcp))):
        assert (await place.ask("reviews.shop.svc.cluster.local")).rcode() == dns.rcode.SERVFAIL
        place.nameserver.update(TABLE)
        assert (await place.ask("www.example.com")).rcode() == dns.rcode.SERVFAIL
        assert (await place.ask("search.shop.svc.cluster.local")).rcode() == dns.rcode.SERVFAIL
        assert addresses(await place.ask("reviews.shop.svc.cluster.local")) == ["10.79.128.1"]
        assert place.nameserver.counts == {"failed": 3, "answered": 1}


GARBAGE = [
    b"",
    b"x",
    b"\xff" * 12,
    b"\x00" * 11,
    bytes(500),
    dns.message.make_response(dns.message.make_query("a.example.com", "A")).to_wire(),
    dns.message.make_query("a.example.com", "A").to_wire()[:-1],
    dns.message.make_query("a.example.com", "A").to_wire() + b"more",
    b"\x00\x01\x01\x00\x00\x01" + bytes(6) + b"\xc0\x0c\x00\x01\x00\x01",  # a name that points at itself
]


async def test_garbage_is_dropped_and_counted(place: Place) -> None:
    sender = socket.socket(type=socket.SOCK_DGRAM)
    for packet in GARBAGE:
        sender.sendto(packet, place.udp_address)
    sender.close()
    assert addresses(await place.ask("reviews.shop.svc.cluster.local")) == ["10.79.128.1"]
    assert place.nameserver.counts["dropped"] == len(GARBAGE)
    reader, writer = await asyncio.open_connection(*place.tcp_address)
    writer.write(b"\x00\x0cgarbage it is")
    assert await reader.read() == b""
    writer.close()


async def test_what_is_no_plain_question_is_answered_so(place: Place) -> None:
    query = dns.message.make_query("a.example.com", "A")
    for opcode, expected in ((2, dns.rcode.NOTIMP), (4, dns.rcode.NOTIMP)):
        packet = bytearray(query.to_wire())
        packet[2] |= opcode << 3
        assert dns.message.from_wire(await place.packet(bytes(packet))).rcode() == expected
    empty = query.to_wire()[:4] + bytes(8)
    assert dns.message.from_wire(await place.packet(empty)).rcode() == dns.rcode.FORMERR
    assert (await place.ask("a.example.com", use_edns=1)).rcode() == dns.rcode.BADVERS
    assert place.machine.asked == []


async def test_a_bad_address_in_the_table_spoils_only_its_own_name(place: Place) -> None:
    bad = {"bad.shop.svc.cluster.local": ("not an address",), "long.local": ("::1",)}
    place.nameserver.update(NameTable(addresses={**TABLE.addresses, **bad}))
    assert (await place.ask("bad.shop.svc.cluster.local")).rcode() == dns.rcode.SERVFAIL
    assert addresses(await place.ask("reviews.shop.svc.cluster.local")) == ["10.79.128.1"]


async def test_many_questions_at_once_have_all_their_answers(place: Place) -> None:
    answers = await asyncio.gather(*(place.ask(f"n{number}.example.com") for number in range(200)))
    assert all(addresses(answer) == ["192.0.2.1"] for answer in answers)


async def test_the_helper_is_a_program_that_only_its_owner_can_ask(tmp_path: Path) -> None:
    path = tmp_path / "dns.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tulle.agent.resolver", "--socket", str(path), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_unix_connection(path)
                break
            await asyncio.sleep(0.01)
    writer.write(b"\x00\x03ab")  # still open when the helper ends
    assert path.stat().st_mode & 0o777 == 0o600
    process.send_signal(signal.SIGTERM)
    _, said = await process.communicate()
    assert (process.returncode, said) == (0, b"")
    assert not path.exists()
    writer.close()
