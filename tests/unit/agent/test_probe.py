"""Probes against real servers on the loopback; the namespace has its own test (tests/netns/test_probe.py)."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import h11
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tulle.agent.inner_socket import InnerSockets
from tulle.agent.probe import Prober, Verdict
from tulle.model.agentapi import Probe


@pytest.fixture
def prober(monkeypatch: pytest.MonkeyPatch) -> Prober:
    """Without the mark, so that these tests need no privilege."""
    monkeypatch.setattr("tulle.agent.inner_socket.PROXY_MARK", 0)
    return Prober(InnerSockets())


async def no_exec(_command: tuple[str, ...], _seconds: float) -> tuple[int, str]:
    raise AssertionError("not an exec probe")


async def attempt(prober: Prober, **probe: object) -> Verdict:
    wished = Probe.model_validate({"timeout_seconds": 20, **probe})
    return await prober.check(wished, None, "127.0.0.1", no_exec)


@asynccontextmanager
async def server(
    answer: Callable[[bytes], bytes], context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server that answers what it read first; an empty answer keeps it waiting."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = answer(await reader.read(65536))
        if not said:
            await reader.read()
        writer.write(said)
        writer.close()

    listening = await asyncio.start_server(connection, "127.0.0.1", 0, ssl=context)
    yield listening.sockets[0].getsockname()[1]
    listening.close()


def http(status: int, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "content-length: 0", "", ""]).encode()


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (204, True), (304, True), (399, True), (400, False), (503, False)]
)
async def test_http_is_well_from_200_to_399(prober: Prober, status: int, ok: bool) -> None:
    async with server(lambda _: http(status)) as port:
        assert await attempt(prober, kind="http", port=port, path="/healthz") == Verdict(
            ok, f"HTTP {status} from /healthz"
        )


async def test_http_sends_what_was_written(prober: Prober) -> None:
    asked: list[h11.Request] = []

    def answer(data: bytes) -> bytes:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(data)
        request = connection.next_event()
        assert isinstance(request, h11.Request)
        asked.append(request)
        return http(200)

    async with server(answer) as port:
        headers = (("X-Token", "a b"), ("host", "shop.example.com"))
        assert (await attempt(prober, kind="http", port=port, path="ready?full=1", headers=headers)).ok
        assert (await attempt(prober, kind="http", port=port)).ok
    written, plain = asked
    assert written.target == b"/ready?full=1"
    assert dict(written.headers)[b"x-token"] == b"a b"
    assert [value for name, value in written.headers if name == b"host"] == [b"shop.example.com"]
    assert dict(plain.headers)[b"host"] == f"127.0.0.1:{port}".encode()
    assert dict(plain.headers)[b"user-agent"].startswith(b"kube-probe/")


async def test_redirects_to_the_same_host_are_followed_and_others_are_success(prober: Prober) -> None:
    def answer(data: bytes) -> bytes:
        match data.split(b" ")[1]:
            case b"/here":
                return http(302, location="/there")
            case b"/away":
                return http(301, location="http://192.0.2.1/")
            case b"/round":
                return http(307, location="/round")
            case _:
                return http(500)

    async with server(answer) as port:
        assert await attempt(prober, kind="http", port=port, path="/here") == Verdict(
            False, "HTTP 500 from /there"
        )
        assert (await attempt(prober, kind="http", port=port, path="/away")).ok
        assert await attempt(prober, kind="http", port=port, path="/round") == Verdict(
            False, "more than 10 redirects"
        )


async def test_https_asks_for_no_certificate_that_it_knows(prober: Prober) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("unknown.example.com").configure_cert(context)
    async with server(lambda _: http(200), context) as port:
        assert (await attempt(prober, kind="http", scheme="HTTPS", port=port)).ok
    async with server(lambda _: b"not TLS") as port:
        assert not (await attempt(prober, kind="http", scheme="HTTPS", port=port)).ok


@pytest.mark.parametrize("kind", ["http", "tcp", "grpc"])
async def test_a_closed_port_is_named(prober: Prober, kind: str) -> None:
    async with server(lambda _: b"x") as port:
        pass
    assert await attempt(prober, kind=kind, port=port) == Verdict(False, f"nothing listens on port {port}")


@pytest.mark.parametrize("kind", ["http", "grpc"])
async def test_no_answer_in_time_is_a_failure(prober: Prober, kind: str) -> None:
    async with server(lambda _: b"") as port:
        assert await attempt(prober, kind=kind, port=port, timeout_seconds=0.2) == Verdict(
            False, "no answer within 0.2 s"
        )


@pytest.mark.parametrize("answer", [b"\x00garbage", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nx" + b"y" * 99999])
@pytest.mark.parametrize("kind", ["http", "grpc"])
async def test_garbage_is_a_failure(prober: Prober, kind: str, answer: bytes) -> None:
    async with server(lambda _: answer) as port:
        verdict = await attempt(prober, kind=kind, port=port)
        assert not verdict.ok
        assert verdict.detail


async def test_tcp_wants_a_connection_and_nothing_more(prober: Prober) -> None:
    async with server(lambda _: b"") as port:
        assert (await attempt(prober, kind="tcp", port=port)).ok


async def test_grpc_asks_for_the_health_of_a_service(prober: Prober) -> None:
    servicer = health.aio.HealthServicer()
    grpc_server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, grpc_server)
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    await grpc_server.start()
    try:
        await servicer.set("ratings", health_pb2.HealthCheckResponse.SERVING)
        await servicer.set("broken", health_pb2.HealthCheckResponse.NOT_SERVING)
        await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        assert await attempt(prober, kind="grpc", port=port) == Verdict(True, "SERVING")
        assert await attempt(prober, kind="grpc", port=port, service="ratings") == Verdict(True, "SERVING")
        assert await attempt(prober, kind="grpc", port=port, service="broken") == Verdict(
            False, "NOT_SERVING"
        )
        unknown = await attempt(prober, kind="grpc", port=port, service="nobody")
        assert not unknown.ok
        assert unknown.detail.startswith("gRPC status 5")
    finally:
        await grpc_server.stop(0)


async def test_a_grpc_server_without_health_is_a_failure(prober: Prober) -> None:
    grpc_server = grpc.aio.server()
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    await grpc_server.start()
    try:
        verdict = await attempt(prober, kind="grpc", port=port)
        assert not verdict.ok
        assert verdict.detail.startswith("gRPC status 12")
    finally:
        await grpc_server.stop(0)


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (0, "", Verdict(True, "exit status 0")),
        (3, "no database\n", Verdict(False, "exit status 3: no database")),
    ],
)
async def test_exec_asks_whoever_can_start_processes(
    prober: Prober, status: int, output: str, expected: Verdict
) -> None:
    async def run(command: tuple[str, ...], seconds: float) -> tuple[int, str]:
        assert (command, seconds) == (("cat", "/ready"), 1)
        return status, output

    probe = Probe(kind="exec", command=("cat", "/ready"))
    assert await prober.check(probe, None, "127.0.0.1", run) == expected


async def test_a_namespace_that_is_gone_is_a_failure(prober: Prober, tmp_path: Path) -> None:
    probe = Probe(kind="tcp", port=1, timeout_seconds=20)
    gone = await prober.check(probe, tmp_path / "gone", "127.0.0.1", no_exec)
    assert not gone.ok
    (tmp_path / "file").touch()
    no_namespace = await prober.check(probe, tmp_path / "file", "127.0.0.1", no_exec)
    assert not no_namespace.ok
