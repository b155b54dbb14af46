"""What passes over the bridge of a mesh, by tcpdump."""

from __future__ import annotations

import signal
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.netns.traces import mounted
from tulle.agent.layout import Layout
from tulle.agent.network import BRIDGE


@dataclass
class Capture:
    """The payloads of the TCP segments to or from an address, complete when the block has ended."""

    segments: list[bytes] = field(default_factory=list)

    def has(self, text: str) -> bool:
        return text.encode() in b"".join(self.segments)

    @property
    def handshakes(self) -> int:
        """Segments that begin with a TLS handshake record (RFC 8446, section 5.1)."""
        return sum(each[:2] == b"\x16\x03" for each in self.segments)

    @property
    def plain(self) -> list[bytes]:
        """Segments that hold HTTP as text."""
        return [each for each in self.segments if b"HTTP/1.1" in each]


@contextmanager
def captured(layout: Layout, address: str, file: Path) -> Iterator[Capture]:
    """Record what passes while the block runs."""
    command = [
        "nsenter",
        f"--net={mounted(layout) / 'hub'}",
        "--",
        "tcpdump",
        "--immediate-mode",
        "-U",
        "-n",
        "-i",
        BRIDGE,
    ]
    command += ["-Z", "root", "-w", str(file), f"tcp and host {address}"]
    capture = Capture()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            for line in process.stderr:
                if "listening on" in line:
                    break
            yield capture
        finally:
            process.send_signal(signal.SIGINT)
    capture.segments += payloads(file.read_bytes())


def payloads(pcap: bytes) -> Iterator[bytes]:
    """The TCP payloads of a capture file (libpcap's format, Ethernet, IPv4)."""
    at = 24
    while at < len(pcap):
        (length,) = struct.unpack_from("=I", pcap, at + 8)
        packet = pcap[at + 16 : at + 16 + length]
        at += 16 + length
        internet = packet[14:]
        segment = internet[(internet[0] & 0x0F) * 4 : int.from_bytes(internet[2:4])]
        if payload := segment[(segment[12] >> 4) * 4 :]:
            yield payload
