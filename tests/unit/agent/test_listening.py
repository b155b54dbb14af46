"""Ports that programs listen on, from the kernel's tables."""

from __future__ import annotations

import os
import socket

import pytest

from tulle.agent.listening import PortWatch, listening, missing_port, parse

TABLE = """\
   0: 00000000:2378 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:A5B2 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
"""


def test_only_sockets_in_the_state_count() -> None:
    assert parse(TABLE.splitlines(), "0A") == [("00000000", 9080), ("0100007F", 8080)]


def test_loopback_is_told_apart() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as loopback,
        socket.create_server(("0.0.0.0", 0)) as everywhere,
    ):
        inner, outer = loopback.getsockname()[1], everywhere.getsockname()[1]
        found, on_loopback = listening(os.getpid())
        assert outer in found
        assert inner in on_loopback
        assert inner not in found
        assert missing_port(os.getpid(), (outer,)) == ""
        assert "loopback address only" in missing_port(os.getpid(), (outer, inner))


def test_udp_counts() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", 0))
        assert missing_port(os.getpid(), (server.getsockname()[1],)) == ""


def test_a_closed_port_is_named() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
    assert missing_port(os.getpid(), (port,)) == f"does not listen on port {port} yet"


def test_a_process_that_has_gone_listens_on_nothing() -> None:
    assert listening(2**22 + 1) == (frozenset(), frozenset())


def test_a_watch_reads_the_tables_when_a_socket_came_or_went(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []

    def counted(pid: int) -> tuple[frozenset[int], frozenset[int]]:
        reads.append(pid)
        return listening(pid)

    monkeypatch.setattr("tulle.agent.listening.listening", counted)
    monkeypatch.setattr("tulle.agent.listening._sockets_in_use", lambda _pid: tuple(in_use))
    in_use = ["1"]
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
    watch = PortWatch(os.getpid(), (port,))
    assert [watch.lacking() for _ in range(5)] == [f"does not listen on port {port} yet"] * 5
    assert len(reads) == 1
    with socket.create_server(("0.0.0.0", port)):
        in_use = ["2"]
        assert watch.lacking() == ""
    assert len(reads) == 2


def test_a_watch_sees_a_port_open_and_close() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        watch = PortWatch(os.getpid(), (port,))
        assert watch.lacking() == ""
    assert watch.lacking() == f"does not listen on port {port} yet"


def test_no_ports_are_never_missed() -> None:
    assert PortWatch(2**22 + 1, ()).lacking() == ""
