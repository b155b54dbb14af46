"""HTTP that the server's side passes on without processing it: who gets there, what the application is told,
and what becomes of requests when the application is not there. By the real Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc.aio
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from tests.envoy import Proxy, bootstrap, running, unprivileged
from tests.unit.xds import views
from tests.wire.application import free_port, free_ports, http_application
from tests.wire.pair import (
    ME,
    Service,
    ask,
    client_context,
    endpoints,
    inbound,
    listening_on_declared_ports,
    mesh,
    outbound,
    service,
)
from tulle.identity import authority, spiffe
from tulle.identity.authority import Authority
from tulle.identity.svid import Svid
from tulle.kit.clock import SystemClock
from tulle.kit.mark import IDENTITY_VARIABLE
from tulle.mesh.view import Depth, Endpoint, EndpointSet, InboundMtls, Protocol
from tulle.xds.translate import translate_endpoints, translate_inbound, translate_outbound

XFCC = f"By={ME};URI={ME}"
PROXY = (spiffe.proxy_name(views.TRUST_DOMAIN),)
FORGED = (
    b"POST / HTTP/1.1\r\nhost: service\r\nx-forwarded-client-cert: URI=forged\r\n"
    b"x_forwarded_client_cert: URI=forged\r\nx-forwarded-client_cert: URI=forged\r\n"
    b"x-envoy-peer-metadata: forged\r\nx_envoy_peer_metadata: forged\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)
ACCOUNT = spiffe.workload(views.TRUST_DOMAIN, "shop", "a")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority.create(tmp_path_factory.mktemp("authority"), views.TRUST_DOMAIN, SystemClock())


@pytest.fixture(scope="module")
def svid(root: Authority) -> Svid:
    """A proxy's."""
    return root.own(ACCOUNT, PROXY)


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(IDENTITY_VARIABLE, ME)


def shallow(
    application: int, mtls: InboundMtls = InboundMtls.PERMISSIVE, protocol: Protocol = Protocol.HTTP
) -> Service:
    return replace(service(protocol, application, mtls), depth=Depth(reasons=()))


async def say(port: int, context: ssl.SSLContext | None, request: bytes = FORGED) -> str:
    """What a caller is answered who is no proxy, or pretends to be one; "" where it is refused."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="" if context else None
        )
        try:
            writer.write(request)
            return (await reader.read()).decode()
        finally:
            writer.close()
    return ""


async def passed_on(proxy: Proxy) -> int:
    """How many connections the server's side passed on, authorised or not."""
    return await proxy.statistic("_passed_on.downstream_cx_total")


@contextlib.asynccontextmanager
async def counting_application() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A port, and what each connection to it begins with."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(b"")
        seen[-1] = await reader.read(65536)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


@pytest.mark.parametrize("mtls", [InboundMtls.PERMISSIVE, InboundMtls.STRICT])
async def test_a_proxys_calls_are_passed_on_and_carry_its_identity(
    tmp_path: Path, svid: Svid, mtls: InboundMtls
) -> None:
    async with http_application("app") as port:
        one = shallow(port, mtls)
        async with mesh(tmp_path, svid, one) as proxy:
            for _ in range(3):
                answer = await ask(
                    one.caller,
                    x_forwarded_client_cert="URI=spiffe://forged",
                    x_forwarded_for="10.0.0.1",
                    x_envoy_peer_metadata="forged",
                )
                received = answer.json()["headers"]
                assert received["x-forwarded-client-cert"] == XFCC
                assert not [name for name in received if name.startswith("x-envoy")]
                assert not [name for name in answer.headers if name.startswith("x-envoy")]
            assert await passed_on(proxy) > 0
            assert await proxy.statistic(f"inbound_{one.declared}.downstream_rq_total") == 0


async def test_a_resumed_session_is_a_proxys_too(tmp_path: Path, svid: Svid) -> None:
    """Each call on a connection of its own: the second one resumes the session of the first."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        one = shallow(server.sockets[0].getsockname()[1])
        async with mesh(tmp_path, svid, one) as proxy, httpx2.AsyncClient() as client:
            for _ in range(4):
                assert (await client.post(f"http://127.0.0.1:{one.caller}/")).status_code == 200
            assert await proxy.statistic("ssl.session_reused") > 0


# -- attacks ------------------------------------------------------------------------------------------


async def test_an_application_with_its_own_certificate_is_no_proxy(
    tmp_path: Path, svid: Svid, root: Authority
) -> None:
    async with counting_application() as (port, seen):
        one = shallow(port)
        async with mesh(tmp_path, svid, one) as proxy:
            own = client_context(root.own(ACCOUNT), tmp_path, "tulle-http")
            assert await say(one.declared, own) == ""
            assert await passed_on(proxy) == 1, "it came to the chain that passes on"
            assert seen == [], "and nothing came to the application, not even a connection"


async def test_a_workloads_certificate_meets_http_processing_with_any_other_alpn(
    tmp_path: Path, svid: Svid, root: Authority
) -> None:
    async with http_application("app") as port:
        one = shallow(port)
        async with mesh(tmp_path, svid, one) as proxy:
            answer = await say(one.declared, client_context(root.own(ACCOUNT), tmp_path, "tulle"))
            assert XFCC in answer
            assert "forged" not in answer
            assert await passed_on(proxy) == 0


@pytest.mark.parametrize(
    "identity",
    [
        spiffe.host(views.TRUST_DOMAIN, "laptop"),
        spiffe.controlplane(views.TRUST_DOMAIN),
        spiffe.SpiffeId(views.TRUST_DOMAIN, "/ns/shop/sa/a/more"),
    ],
    ids=str,
)
async def test_a_proxys_name_without_a_workloads_identity_is_refused(
    tmp_path: Path, svid: Svid, root: Authority, identity: spiffe.SpiffeId
) -> None:
    async with counting_application() as (port, seen):
        one = shallow(port)
        async with mesh(tmp_path, svid, one) as proxy:
            context = client_context(root.own(identity, PROXY), tmp_path, "tulle-http")
            assert await say(one.declared, context) == ""
            assert await passed_on(proxy) == 1
            assert seen == []


@pytest.mark.parametrize("domain", [views.TRUST_DOMAIN, "elsewhere.example"])
async def test_a_certificate_of_another_authority_is_refused(tmp_path: Path, svid: Svid, domain: str) -> None:
    other = authority.create(tmp_path / "other", domain, SystemClock())
    names = (*PROXY, spiffe.proxy_name(domain))
    forged = other.own(spiffe.workload(domain, "shop", "a"), names)
    async with counting_application() as (port, seen):
        one = shallow(port)
        async with mesh(tmp_path, svid, one) as proxy:
            for alpn in ("tulle-http", "tulle"):
                context = client_context(replace(forged, root_pem=svid.root_pem), tmp_path, alpn)
                assert await say(one.declared, context) == ""
            assert await proxy.statistic("ssl.fail_verify_error") == 2
            assert seen == []


async def test_a_caller_without_a_certificate_is_no_proxy(tmp_path: Path, svid: Svid) -> None:
    async with counting_application() as (port, seen):
        one = shallow(port)
        async with mesh(tmp_path, svid, one):
            bare = ssl.create_default_context(cafile=None)
            bare.check_hostname = False
            bare.verify_mode = ssl.CERT_NONE
            bare.set_alpn_protocols(["tulle-http"])
            assert await say(one.declared, bare) == ""
            assert seen == []


async def test_plaintext_meets_http_processing(tmp_path: Path, svid: Svid) -> None:
    async with http_application("app") as port:
        one = shallow(port)
        async with mesh(tmp_path, svid, one) as proxy:
            answer = await say(one.declared, None)
            assert "200 OK" in answer
            assert "x-forwarded-client-cert" not in answer
            assert "forged" not in answer
            assert await passed_on(proxy) == 0


async def test_a_tcp_route_to_the_same_port_meets_http_processing(tmp_path: Path, svid: Svid) -> None:
    """The caller's own proxy passes on what it is given, as a proxy; but it offers `tulle`."""
    async with http_application("app") as port:
        one = shallow(port)
        tcp = replace(one, protocol=Protocol.TCP, depth=None)
        resources = translate_outbound(outbound((tcp,))) + translate_inbound(inbound((one,)))
        resources += translate_endpoints(endpoints(one))
        tree = listening_on_declared_ports(unprivileged(bootstrap(resources, svid)), (one,))
        async with running(tree, tmp_path) as proxy:
            answer = await say(one.caller, None)
            assert XFCC in answer
            assert "forged" not in answer
            assert await passed_on(proxy) == 0


# -- what becomes of requests -------------------------------------------------------------------------


async def test_a_post_that_no_application_saw_is_tried_elsewhere(tmp_path: Path, svid: Svid) -> None:
    async with http_application("app") as port:
        alive, dead = shallow(port), shallow(free_port())
        both = EndpointSet(
            alive.name,
            tuple(Endpoint("127.0.0.1", each.declared, mtls=True) for each in (alive, dead)),
            views.HERE,
        )
        services = (alive, dead)
        resources = translate_outbound(outbound(services)) + translate_inbound(inbound(services))
        resources += translate_endpoints(both) + translate_endpoints(endpoints(dead))
        tree = listening_on_declared_ports(unprivileged(bootstrap(resources, svid)), services)
        async with running(tree, tmp_path) as proxy, httpx2.AsyncClient() as client:
            for _ in range(30):
                answer = await client.post(f"http://127.0.0.1:{alive.caller}/", content=b"x")
                assert answer.status_code == 200
                assert answer.json()["headers"]["x-forwarded-client-cert"] == XFCC
            assert await proxy.statistic("upstream_rq_retry_success") > 0
            refused = await client.post(f"http://127.0.0.1:{dead.caller}/", content=b"x")
            assert refused.status_code == 503
            assert "x-tulle-unreached" not in refused.headers


async def test_an_application_that_is_slow_to_accept_is_waited_for(tmp_path: Path, svid: Svid) -> None:
    """Longer than Happy Eyeballs waits: then by HTTP processing, and its caller is still known."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            received.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    listening = socket.create_server(("127.0.0.1", 0), backlog=0)
    one = shallow(listening.getsockname()[1])
    async with mesh(tmp_path, svid, one) as proxy, httpx2.AsyncClient(timeout=30) as client:
        queue = [await asyncio.to_thread(socket.create_connection, listening.getsockname())]
        waiting = asyncio.create_task(client.post(f"http://127.0.0.1:{one.caller}/", content=b"x"))
        while not await proxy.statistic(f"application_{one.declared}.downstream_rq_total"):
            assert not waiting.done()
            await asyncio.sleep(0.02)
        server = await asyncio.start_server(serve, sock=listening, backlog=16)
        async with server:
            assert (await waiting).status_code == 200
            assert f"x-forwarded-client-cert: {XFCC}".encode() in received[-1]
            assert await proxy.statistic("upstream_rq_retry") == 0
            while await proxy.statistic(f"application_{one.declared}.downstream_cx_active"):
                await asyncio.sleep(0.02)
        for each in queue:
            each.close()


async def test_the_mark_of_a_request_that_nobody_saw_reaches_no_application(
    tmp_path: Path, svid: Svid
) -> None:
    """One that passes answers on would have its own callers repeat what it has seen."""
    async with http_application("app", answers=(("x-tulle-unreached", "true"),)) as port:
        one = shallow(port)
        async with mesh(tmp_path, svid, one):
            for caller in (one.caller, one.declared):
                assert "x-tulle-unreached" not in (await ask(caller)).headers


async def test_no_post_is_lost_to_an_application_that_closes_idle_connections(
    tmp_path: Path, svid: Svid
) -> None:
    """One that waits for five seconds, as Node does, and callers who come back at that very moment."""
    kept = 5.0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            while True:
                async with asyncio.timeout(kept):
                    await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async def call(one: Service, *pauses: float) -> list[str]:
        """What each request is answered; each caller has a service, and so a pool, of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", one.caller)
        answers: list[str] = []
        for pause in (*pauses, 0.0):
            writer.write(b"POST / HTTP/1.1\r\nhost: service\r\ncontent-length: 0\r\n\r\n")
            answers.append((await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n")[0])
            await asyncio.sleep(pause)
        writer.close()
        return answers

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        ports = free_ports(40)
        services = [
            replace(shallow(port), declared=declared, caller=caller)
            for declared, caller in zip(ports[::2], ports[1::2], strict=True)
        ]
        moments = [(number - 10) / 2500 for number in range(len(services))]
        async with mesh(tmp_path, svid, *services) as proxy:
            calls = [call(one, 1 + m, kept + m) for one, m in zip(services, moments, strict=True)]
            for answers in await asyncio.gather(*calls):
                assert answers == ["HTTP/1.1 200 OK"] * 3
            assert await proxy.statistic("upstream_rq_retry") == 0


@pytest.mark.parametrize("protocol", [Protocol.GRPC, Protocol.HTTP2])
async def test_http2_is_passed_on(tmp_path: Path, svid: Svid, protocol: Protocol) -> None:
    """End to end, and an application that leaves with GOAWAY is left without a failed call."""
    servicer = health.HealthServicer()
    await servicer.set("shop", health_pb2.HealthCheckResponse.SERVING)
    port = free_port()

    async def begin() -> grpc.aio.Server:
        server = grpc.aio.server(options=[("grpc.max_connection_age_ms", 300)])
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        return server

    server = await begin()
    one = shallow(port, protocol=protocol)
    try:
        async with (
            mesh(tmp_path, svid, one) as proxy,
            grpc.aio.insecure_channel(f"127.0.0.1:{one.caller}") as channel,
        ):
            stub = health_pb2_grpc.HealthStub(channel)
            before = await passed_on(proxy)
            while await passed_on(proxy) < before + 4:
                answer = await stub.Check(health_pb2.HealthCheckRequest(service="shop"), timeout=10)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await server.stop(None)
