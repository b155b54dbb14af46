"""The helper that asks the machine's own resolver: `python -m tulle.agent.resolver --socket PATH`.

The agent and the workloads live in other network namespaces, from which a nameserver on the host's
loopback (127.0.0.53) cannot be reached; this process stays in the host's. It speaks DNS over a Unix
socket with the framing of TCP (RFC 1035 4.2.2), one question for each connection, and has no state.
Only the owner of the socket can ask (0600): it is no open relay.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import struct
from dataclasses import dataclass
from pathlib import Path

from tulle.kit.unix_socket import SocketError, listen

_CONFIGURATION = Path("/etc/resolv.conf")
_PORT = 53
_MOST_NAMESERVERS = 3
"""As the C library (resolv.conf(5))."""
_TRY_SECONDS = 1.5
_WHOLE_SECONDS = 5.0
_MOST_QUESTIONS = 512
_HEADER_BYTES = 12
_TRUNCATED = 0x02
_RESPONSE = 0x80
_RCODE = 0x0F
_ASK_THE_NEXT = {2, 4, 5}
"""SERVFAIL, NOTIMP, REFUSED: as the C library does."""


def nameservers(text: str) -> tuple[str, ...]:
    """The nameservers of a resolv.conf; none: the one on this machine (resolv.conf(5))."""
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            found.append(words[1])
    return tuple(found[:_MOST_NAMESERVERS]) or ("127.0.0.1",)


class Failed(Exception):  # noqa: N818  a state of the world
    """A nameserver gave no answer."""


@dataclass(slots=True)
class Configuration:
    """The machine's nameservers; the file is read again whenever it has changed."""

    path: Path = _CONFIGURATION
    port: int = _PORT
    _stamp: tuple[int, int, int] | None = None
    _nameservers: tuple[str, ...] = ("127.0.0.1",)

    def nameservers(self) -> tuple[str, ...]:
        """Those of now; those of before while the file cannot be read."""
        try:
            status = self.path.stat()
            stamp = status.st_mtime_ns, status.st_ino, status.st_size
            if stamp != self._stamp:
                self._nameservers = nameservers(self.path.read_text(errors="replace"))
                self._stamp = stamp
        except OSError:
            pass
        return self._nameservers


class Resolver:
    """Forwards questions, one nameserver after the other, by UDP, and by TCP where the answer is long."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._questions = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one question of the agent. No answer means that the machine has none: SERVFAIL."""
        self._open.add(writer)
        try:
            async with asyncio.timeout(_WHOLE_SECONDS):
                query = await _framed(reader)
            if len(query) >= _HEADER_BYTES and self._questions < _MOST_QUESTIONS:
                self._questions += 1
                try:
                    answer = await self._resolve(query)
                finally:
                    self._questions -= 1
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        except (OSError, EOFError, TimeoutError):
            return
        finally:
            self._open.discard(writer)
            writer.close()

    def close(self) -> None:
        """Leave the questions that are not answered yet."""
        for connection in self._open:
            connection.close()

    async def _resolve(self, query: bytes) -> bytes:
        answer = _servfail(query)
        try:
            async with asyncio.timeout(_WHOLE_SECONDS):
                for nameserver in self._configuration.nameservers():
                    try:
                        answer = await _ask(nameserver, self._configuration.port, query)
                    except (Failed, OSError, TimeoutError, EOFError):
                        continue
                    if answer[3] & _RCODE not in _ASK_THE_NEXT:
                        break
        except TimeoutError:
            pass
        return answer


async def _ask(nameserver: str, port: int, query: bytes) -> bytes:
    """One nameserver's answer. Raises Failed, OSError, EOFError, TimeoutError."""
    # An identifier of our own: the asker's was chosen by a workload, and is all that a forger has to guess
    # beside the port.
    own = secrets.token_bytes(2) + query[2:]
    async with asyncio.timeout(_TRY_SECONDS):
        answer = await _by_udp(nameserver, port, own)
    if answer[2] & _TRUNCATED:
        async with asyncio.timeout(_TRY_SECONDS):
            answer = await _by_tcp(nameserver, port, own)
    return query[:2] + answer[2:]


async def _by_udp(nameserver: str, port: int, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Asker(query, answer), remote_addr=(nameserver, port)
    )
    try:
        return await answer
    finally:
        transport.close()


async def _by_tcp(nameserver: str, port: int, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(nameserver, port)
    try:
        writer.write(struct.pack("!H", len(query)) + query)
        answer = await _framed(reader)
    finally:
        writer.close()
    if not _answers(answer, query):
        raise Failed
    return answer


class _Asker(asyncio.DatagramProtocol):
    """One question over a connected socket: the kernel lets only the nameserver's packets through."""

    def __init__(self, query: bytes, answer: asyncio.Future[bytes]) -> None:
        self._query = query
        self._answer = answer

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        transport.sendto(self._query)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if _answers(data, self._query) and not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(Failed())


def _answers(answer: bytes, query: bytes) -> bool:
    """Whether this is an answer to that query: the same identifier and the same question."""
    if len(answer) < _HEADER_BYTES or not answer[2] & _RESPONSE or answer[:2] != query[:2]:
        return False
    question = _question(query)
    # An error may come without the question (RFC 1035 4.1.1: FORMERR).
    return answer[4:6] == b"\x00\x00" or answer[_HEADER_BYTES:].startswith(question)


def _question(query: bytes) -> bytes:
    """The bytes of the first question. The agent has parsed it before: it is well-formed."""
    at = _HEADER_BYTES
    while at < len(query) and query[at]:
        at += query[at] + 1
    return query[_HEADER_BYTES : at + 5]


def _servfail(query: bytes) -> bytes:
    """The query as an answer without records: QR and RA set, the response code 2."""
    question = _question(query)
    flags = bytes([query[2] | _RESPONSE, 0x82])
    return query[:2] + flags + b"\x00\x01" + bytes(6) + question


async def _framed(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    return await reader.readexactly(length)


async def serve(path: Path, configuration: Configuration) -> None:
    """Serve on a Unix socket until cancelled. Raises SocketError."""
    resolver = Resolver(configuration)
    server = await asyncio.start_unix_server(resolver.connection, sock=listen(path))
    try:
        await server.serve_forever()
    finally:
        resolver.close()
        path.unlink(missing_ok=True)


async def _until_told_to_end(path: Path) -> None:
    serving = asyncio.ensure_future(serve(path, Configuration()))
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, serving.cancel)
    await asyncio.wait([serving])
    if not serving.cancelled():
        await serving


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(
        prog="tulle-resolver", description="Asks the machine's resolver for the agent."
    )
    parser.add_argument("--socket", type=Path, required=True, help="the Unix socket to make")
    options = parser.parse_args()
    try:
        asyncio.run(_until_told_to_end(options.socket))
    except SocketError as error:
        raise SystemExit(f"{parser.prog}: {error}") from None


if __name__ == "__main__":
    main()
