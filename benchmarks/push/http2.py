"""gRPC streams over one HTTP/2 connection, as little of it as a discovery client needs.

A client that is to cost less than the server that it measures cannot be grpcio: here a read of the socket
serves all streams of the connection, and everything that they answer to it leaves in one write. Headers of
the server are not decoded, so a refused stream is only known to have ended; the control plane's log says why.
RFC 9113 (HTTP/2), RFC 7541 (literal fields of HPACK alone), and gRPC's "PROTOCOL-HTTP2.md".
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_INITIAL_WINDOW_SIZE = 4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_MOST = 2**31 - 1
_DEFAULT_WINDOW = 65_535
_FRAME = 16_384


class Stream:
    """One call. `received` gets each message; `ended` is called once, when no more can come."""

    def __init__(self, connection: Connection, number: int, path: str) -> None:
        self._connection = connection
        self._number = number
        self._parts = bytearray()
        self.window = connection.initial_window
        self.unsent: deque[bytes] = deque()
        self.received: Callable[[bytes], None] = lambda _message: None
        connection.write_headers(number, path)

    def send(self, message: bytes) -> None:
        """One message. It leaves with the connection's next flush, or when the server has room for it."""
        framed = b"\0" + len(message).to_bytes(4, "big") + message
        self.unsent.extend(framed[at : at + _FRAME] for at in range(0, len(framed), _FRAME))
        self.drain()

    def drain(self) -> None:
        while self.unsent and len(self.unsent[0]) <= min(self.window, self._connection.window):
            content = self.unsent.popleft()
            self.window -= len(content)
            self._connection.write_data(self._number, content)

    def take(self, content: bytes) -> None:
        """A DATA frame's content: parts of messages, whole ones, or several."""
        parts = self._parts
        parts += content
        at = 0
        while len(parts) - at >= 5:
            end = at + 5 + int.from_bytes(parts[at + 1 : at + 5], "big")
            if len(parts) < end:
                break
            self.received(bytes(parts[at + 5 : end]))
            at = end
        del parts[:at]


class Connection(asyncio.Protocol):
    """One connection; `lost` is called when it is gone, or when the server ends one of its streams."""

    def __init__(self, authority: str, lost: Callable[[], None]) -> None:
        self._authority = authority
        self._lost = lost
        self._transport: Any = None
        self._incoming = bytearray()
        self._outgoing: list[bytes] = []
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self._unacknowledged = 0
        self.window = _DEFAULT_WINDOW
        self.initial_window = _DEFAULT_WINDOW

    def open(self, path: str) -> Stream:
        """A new call."""
        stream = self._streams[self._next] = Stream(self, self._next, path)
        self._next += 2
        return stream

    def close(self) -> None:
        self._lost = lambda: None
        if self._transport is not None:
            self._transport.abort()

    def flush(self) -> None:
        """Hand everything that was said to the kernel."""
        if self._outgoing and self._transport is not None:
            self._transport.write(b"".join(self._outgoing))
            self._outgoing.clear()

    # -- writing -----------------------------------------------------------------------------------

    def write_headers(self, number: int, path: str) -> None:
        block = b"\x83\x87" + b"".join(  # :method POST, :scheme https (RFC 7541, appendix A)
            b"\0" + _text(name) + _text(value)
            for name, value in (
                (":path", path),
                (":authority", self._authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
            )
        )
        self._frame(_HEADERS, _END_HEADERS, number, block)

    def write_data(self, number: int, content: bytes) -> None:
        self.window -= len(content)
        self._frame(_DATA, 0, number, content)

    def _frame(self, kind: int, flags: int, number: int, content: bytes) -> None:
        self._outgoing.append(
            len(content).to_bytes(3, "big") + bytes((kind, flags)) + number.to_bytes(4, "big") + content
        )

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:  # uvloop's is no subclass of asyncio's
        self._transport = transport
        self._outgoing.insert(0, _PREFACE)
        self._frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, _MOST))
        self._frame(_WINDOW_UPDATE, 0, 0, (_MOST - _DEFAULT_WINDOW).to_bytes(4, "big"))
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost()

    def data_received(self, data: bytes) -> None:
        incoming = self._incoming
        incoming += data
        at = 0
        while len(incoming) - at >= 9:
            end = at + 9 + int.from_bytes(incoming[at : at + 3], "big")
            if len(incoming) < end:
                break
            number = int.from_bytes(incoming[at + 5 : at + 9], "big")
            self._handle(incoming[at + 3], incoming[at + 4], number, bytes(incoming[at + 9 : end]))
            at = end
        del incoming[:at]
        self.flush()

    def _handle(self, kind: int, flags: int, number: int, content: bytes) -> None:
        if kind == _DATA:
            self._unacknowledged += len(content)
            if self._unacknowledged > 2**30:
                self._frame(_WINDOW_UPDATE, 0, 0, self._unacknowledged.to_bytes(4, "big"))
                self._unacknowledged = 0
            self._streams[number].take(content)
        elif kind == _SETTINGS and not flags & _ACK:
            self._settings(content)
            self._frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            self._frame(_PING, _ACK, 0, content)
        elif kind == _WINDOW_UPDATE:
            self._widen(number, int.from_bytes(content, "big"))
        if kind in (_RST_STREAM, _GOAWAY) or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            lost, self._lost = self._lost, lambda: None
            self.close()
            lost()

    def _settings(self, content: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", content):
            if name == _INITIAL_WINDOW_SIZE:
                for number, stream in self._streams.items():
                    stream.window += value - self.initial_window
                    self._widen(number, 0)
                self.initial_window = value

    def _widen(self, number: int, by: int) -> None:
        if number:
            stream = self._streams[number]
            stream.window += by
            stream.drain()
        else:
            self.window += by
            for stream in self._streams.values():
                stream.drain()


def _text(text: str) -> bytes:
    """A string literal without Huffman coding (RFC 7541, 5.2)."""
    content = text.encode()
    length = len(content)
    if length < 0x7F:
        return bytes((length,)) + content
    return b"\x7f" + bytes((length - 0x7F,)) + content  # up to 254 bytes
