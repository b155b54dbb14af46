"""The nameserver of the mesh on one host: UDP and TCP on the hub's address.

Workloads' packets arrive here (their resolv.conf names this address); the composition root gives bound
sockets and every new `NameTable`. `names.py` decides what is answered here; the rest goes to the
machine's own resolver through the helper `resolver.py`, over its Unix socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import dns.exception
import dns.message
import dns.opcode
import dns.rcode
import structlog

from tulle.agent.names import Elsewhere, Names, joined, over_udp, own_answer, response_to, wire
from tulle.model.agentapi import NameTable

_FORWARD_SECONDS = 6.0
"""A little more than the helper takes to give up: its SERVFAIL says more than ours."""
_NAMES_SECONDS = 3.0
"""For the names of the mesh to be known, while questions wait in the sockets: less than who asks waits before
it asks again (resolv.conf(5), `timeout`)."""
_MOST_FORWARDS = 512
_MOST_CONNECTIONS = 64
_IDLE_SECONDS = 10.0
_HEADER_BYTES = 12

_log = structlog.get_logger("tulle.dns")


class Nameserver:
    """Answers until cancelled. `counts` says how many questions were `answered` here, `forwarded`,
    `failed` (SERVFAIL), and how many packets were `dropped` because they are no questions."""

    def __init__(self, resolver: Path) -> None:
        """`resolver` is the helper's socket."""
        self._resolver = resolver
        self._names: Names | None = None
        self._known = asyncio.Event()
        self._own: Mapping[str, str] = {}
        self._forwards = 0
        self._connections: set[asyncio.StreamWriter] = set()
        self.counts: Counter[str] = Counter()

    def update(self, table: NameTable) -> None:
        """What the names of the mesh are from now on."""
        self._names = Names(table)
        self._known.set()

    def know(self, hostnames: Mapping[str, str]) -> None:
        """What each workload is called, by its address. The name means the workload to itself alone, where
        nothing else has it."""
        self._own = hostnames

    async def serve(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Answer on a bound UDP socket and a bound TCP socket, until cancelled. Closes both.

        What was asked while an earlier agent was gone is answered when the names are known: a failure for one
        of the two questions that a program asks for a host (A and AAAA) would be one for the program.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_NAMES_SECONDS):
                await self._known.wait()
        loop = asyncio.get_running_loop()
        tcp.setblocking(False)
        udp.setblocking(False)
        async with asyncio.TaskGroup() as tasks:
            transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self, tasks), sock=udp)
            server = await asyncio.start_server(self._connection, sock=tcp)
            try:
                await server.serve_forever()
            finally:
                transport.close()
                for connection in self._connections:
                    connection.close()  # its task reads the end and ends

    def immediate(self, packet: bytes, asker: str) -> tuple[dns.message.Message, bytes | Elsewhere] | None:
        """A query, with its answer or the news that it is for the resolver. None: not to be answered.
        `asker`: the address that it came from."""
        if len(packet) < _HEADER_BYTES or packet[2] & 0x80:
            self.counts["dropped"] += 1
            return None
        try:
            query = dns.message.from_wire(packet)
        except (dns.exception.DNSException, ValueError):
            self.counts["dropped"] += 1
            return None
        if query.opcode() != dns.opcode.QUERY:
            return query, self._plain(query, dns.rcode.NOTIMP)
        if len(query.question) != 1:
            return query, self._plain(query, dns.rcode.FORMERR)
        if query.edns > 0:
            return query, self._plain(query, dns.rcode.BADVERS)
        if self._names is None:
            # Which names are the mesh's is not known yet, so that none can be said not to exist.
            return query, self._failure(query)
        try:
            answer = self._names.answer(query)
            if isinstance(answer, Elsewhere):
                own = own_answer(query, self._own.get(asker, ""), asker)
                if own is None:
                    return query, answer
                answer = own
            encoded = wire(answer)
        except (dns.exception.DNSException, ValueError):  # a name or an address that DNS cannot carry
            return query, self._failure(query)
        self.counts["answered"] += 1
        return query, encoded

    async def forwarded(self, packet: bytes, query: dns.message.Message, elsewhere: Elsewhere) -> bytes:
        """Ask the machine's resolver."""
        if self._forwards >= _MOST_FORWARDS:
            return self._failure(query)
        self._forwards += 1
        try:
            if not elsewhere.aliased:
                answer = await self._ask(packet)
                if answer[:2] != packet[:2]:
                    return self._failure(query)
                self.counts["forwarded"] += 1
                return answer
            question = dns.message.make_query(
                elsewhere.target, query.question[0].rdtype, use_edns=0, payload=4096
            )
            answer = dns.message.from_wire(await self._ask(question.to_wire()))
            self.counts["forwarded"] += 1
            return wire(joined(elsewhere, answer))
        except (OSError, EOFError, TimeoutError, dns.exception.DNSException, ValueError):
            return self._failure(query)
        finally:
            self._forwards -= 1

    async def _ask(self, packet: bytes) -> bytes:
        """One connection for one question: a helper that dies takes only its own questions along."""
        async with asyncio.timeout(_FORWARD_SECONDS):
            reader, writer = await asyncio.open_unix_connection(self._resolver)
            try:
                writer.write(struct.pack("!H", len(packet)) + packet)
                return await _framed(reader)
            finally:
                writer.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Questions over TCP, one after the other (RFC 7766 allows to answer in order)."""
        if len(self._connections) >= _MOST_CONNECTIONS:
            writer.close()
            return
        self._connections.add(writer)
        asker = str(writer.get_extra_info("peername")[0])
        try:
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    packet = await _framed(reader)
                decided = self.immediate(packet, asker)
                if decided is None:
                    return
                query, answer = decided
                if isinstance(answer, Elsewhere):
                    answer = await self.forwarded(packet, query, answer)
                writer.write(struct.pack("!H", len(answer)) + answer)
                async with asyncio.timeout(_IDLE_SECONDS):
                    await writer.drain()
        except (OSError, EOFError, TimeoutError):
            return
        finally:
            self._connections.discard(writer)
            writer.close()

    def _failure(self, query: dns.message.Message) -> bytes:
        self.counts["failed"] += 1
        return wire(response_to(query, dns.rcode.SERVFAIL))

    def _plain(self, query: dns.message.Message, rcode: dns.rcode.Rcode) -> bytes:
        self.counts["answered"] += 1
        return wire(response_to(query, rcode))


class _Datagrams(asyncio.DatagramProtocol):
    """Questions over UDP."""

    def __init__(self, nameserver: Nameserver, tasks: asyncio.TaskGroup) -> None:
        self._nameserver = nameserver
        self._tasks = tasks

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        decided = self._nameserver.immediate(data, addr[0])
        if decided is None:
            return
        query, answer = decided
        if isinstance(answer, Elsewhere):
            self._tasks.create_task(self._forward(data, addr, query, answer))
        else:
            self._transport.sendto(over_udp(query, answer), addr)

    async def _forward(
        self, packet: bytes, asker: tuple[str, int], query: dns.message.Message, elsewhere: Elsewhere
    ) -> None:
        answer = await self._nameserver.forwarded(packet, query, elsewhere)
        self._transport.sendto(over_udp(query, answer), asker)


async def _framed(reader: asyncio.StreamReader) -> bytes:
    """One message of DNS over a stream (RFC 1035 4.2.2). Raises IncompleteReadError, an EOFError."""
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    return await reader.readexactly(length)
