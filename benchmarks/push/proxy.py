"""A simulated proxy: the agent's end of one delta stream, without anything behind it that could be slow.

It asks for what an agent asks for its Envoy (all clusters and listeners, and by name the endpoints and route
tables that these need), acknowledges at once, and after a reconnect says what it has.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

from benchmarks.push.http2 import Stream
from tulle.ads import wire
from tulle.ads.resource import CLUSTER, LISTENER, Resource
from tulle.ads.wire import DeltaRequest

_RESOURCES, _TYPE_URL, _NONCE, _REMOVED = 0x12, 0x22, 0x2A, 0x32  # tags of DeltaDiscoveryResponse


@dataclass(slots=True)
class Tally:
    """What all proxies of this process have received since it was last reset."""

    messages: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By type url."""
    bytes: int = 0
    last: float = 0.0
    """When the last message was acknowledged (CLOCK_MONOTONIC)."""


class Library:
    """Resources by their bytes: what a thousand proxies are given alike is read once."""

    def __init__(self) -> None:
        self._read: dict[bytes, Resource] = {}

    def read(self, content: bytes) -> Resource:
        found = self._read.get(content)
        if found is None:
            (found,) = wire.parse_resources(content)
            found = self._read[content] = Resource(
                found.type_url, found.name, b"", found.needs, found.version
            )
        return found


class Proxy:
    """One node. `attach` it to a new stream after every connect."""

    def __init__(
        self, node: str, library: Library, tally: Tally, types: tuple[str, ...] = (CLUSTER, LISTENER)
    ) -> None:
        """`types`: what it wants all of."""
        self.node = node
        self._library = library
        self._tally = tally
        self._types = types
        self._held: dict[str, dict[str, str]] = {}  # type url -> name -> version
        self._asked: dict[str, set[str]] = {}
        self._stream: Stream | None = None

    def attach(self, stream: Stream) -> None:
        """Ask for everything, and say what is here already."""
        self._stream = stream
        stream.received = self._receive
        node = self.node
        for type_url in self._types:
            held = self._held.get(type_url, {})
            features = (wire.MIRROR,) if node else ()
            request = DeltaRequest(type_url, ("*",), versions=held, node_id=node, features=features)
            stream.send(request.encode())
            node = ""
        for type_url, names in self._asked.items():
            held = self._held.get(type_url, {})
            stream.send(DeltaRequest(type_url, sorted(names), versions=held).encode())

    def _receive(self, content: bytes) -> None:
        assert self._stream is not None
        type_url, nonce = "", b""
        removed: list[str] = []
        resources: list[Resource] = []
        at = 0
        while at < len(content):
            tag, start = content[at], at
            length, at = _varint(content, at + 1)
            if tag == _RESOURCES:
                resources.append(self._library.read(content[start : at + length]))
            elif tag == _TYPE_URL:
                type_url = content[at : at + length].decode()
            elif tag == _NONCE:
                nonce = content[at : at + length]
            elif tag == _REMOVED:
                removed.append(content[at : at + length].decode())
            at += length
        held = self._held.setdefault(type_url, {})
        for resource in resources:
            held[resource.name] = resource.version
        for name in removed:
            held.pop(name, None)
        self._stream.send(_acknowledgement(type_url, nonce))
        self._ask(resources)
        self._tally.messages[type_url] += 1
        self._tally.bytes += len(content)
        self._tally.last = time.monotonic()

    def _ask(self, resources: list[Resource]) -> None:
        """For what the resources need."""
        new: dict[str, set[str]] = {}
        for resource in resources:
            for type_url, name in resource.needs:
                if name not in self._asked.setdefault(type_url, set()):
                    new.setdefault(type_url, set()).add(name)
        for type_url, names in new.items():
            self._asked[type_url] |= names
            assert self._stream is not None
            self._stream.send(DeltaRequest(type_url, sorted(names)).encode())


def _acknowledgement(type_url: str, nonce: bytes) -> bytes:
    """A DeltaDiscoveryRequest: type_url is field 2, response_nonce field 6; both are short."""
    name = type_url.encode()
    return b"\x12" + bytes((len(name),)) + name + b"\x32" + bytes((len(nonce),)) + nonce


def _varint(content: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
