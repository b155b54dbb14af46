"""A translated client and server side in the real Envoy: mTLS, identities, who speaks first."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import grpc.aio
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from tests.envoy import bootstrap, running, unprivileged
from tests.unit.xds import views
from tests.wire.application import free_port, greeting_application, http_application
from tests.wire.pair import (
    ME,
    ask,
    client_context,
    endpoints,
    greeting,
    inbound,
    listening_on_declared_ports,
    mesh,
    outbound,
    service,
)
from tulle.identity import authority, spiffe
from tulle.identity.svid import Svid
from tulle.kit.clock import SystemClock
from tulle.mesh.view import (
    ConnectionPool,
    DestinationRoutes,
    Endpoint,
    EndpointSet,
    InboundMtls,
    Protocol,
    RequestMatch,
    Respond,
    Route,
    RouteTable,
    Upstream,
    VirtualHost,
)
from tulle.xds.translate import translate_endpoints, translate_inbound, translate_outbound

GREETING = b"220 ready\r\n"


@pytest.fixture(scope="module")
def svid(tmp_path_factory: pytest.TempPathFactory) -> Svid:
    own = authority.create(tmp_path_factory.mktemp("authority"), views.TRUST_DOMAIN, SystemClock())
    return own.own(spiffe.workload(views.TRUST_DOMAIN, "shop", "a"))


async def test_a_meshed_call_carries_the_callers_identity(tmp_path: Path, svid: Svid) -> None:
    async with http_application("app") as port:
        one = service(Protocol.HTTP, port)
        async with mesh(tmp_path, svid, one) as proxy:
            answer = await ask(
                one.caller,
                x_forwarded_client_cert="URI=spiffe://forged",
                x_forwarded_for="198.51.100.4",
                x_envoy_retry_on="5xx",
            )
            received = answer.json()["headers"]
            assert received["x-forwarded-client-cert"] == f"By={ME};URI={ME}"
            assert received["x-forwarded-for"] == "198.51.100.4"
            assert not [name for name in received if name.startswith("x-envoy")]
            assert not [name for name in answer.headers if name.startswith("x-envoy")]
            assert "x-request-id" not in received
            assert await proxy.statistic("ssl.handshake") >= 1


async def test_a_plaintext_caller_is_served_and_cannot_forge_an_identity(tmp_path: Path, svid: Svid) -> None:
    async with http_application("app") as port:
        one = service(Protocol.HTTP, port)
        async with mesh(tmp_path, svid, one):
            answer = await ask(
                one.declared, x_forwarded_client_cert="URI=spiffe://forged", x_envoy_internal="true"
            )
            received = answer.json()["headers"]
            assert "x-forwarded-client-cert" not in received
            assert "x-envoy-internal" not in received


async def test_a_server_with_another_identity_is_refused(tmp_path: Path, svid: Svid) -> None:
    async with http_application("app") as port:
        one = replace(service(Protocol.HTTP, port), identities=(views.identity("b"),))
        async with mesh(tmp_path, svid, one) as proxy:
            assert (await ask(one.caller)).status_code == 503
            assert await proxy.statistic("ssl.fail_verify_san") >= 1


async def test_an_endpoint_without_a_proxy_is_called_in_plaintext(tmp_path: Path, svid: Svid) -> None:
    async with http_application("app") as port:
        one = replace(service(Protocol.HTTP, port), meshed=False)
        async with mesh(tmp_path, svid, one) as proxy:
            assert "x-forwarded-client-cert" not in (await ask(one.caller)).json()["headers"]
            assert await proxy.statistic("ssl.handshake") == 0


async def test_strict_refuses_plaintext(tmp_path: Path, svid: Svid) -> None:
    async with AsyncExitStack() as stack:
        http = service(
            Protocol.HTTP, await stack.enter_async_context(http_application("app")), InboundMtls.STRICT
        )
        tcp = service(
            Protocol.TCP, await stack.enter_async_context(greeting_application(GREETING)), InboundMtls.STRICT
        )
        await stack.enter_async_context(mesh(tmp_path, svid, http, tcp))
        with pytest.raises(httpx2.TransportError):
            await ask(http.declared)
        reader, writer = await asyncio.open_connection("127.0.0.1", tcp.declared)
        writer.write(b"hello in the clear")
        with contextlib.suppress(ConnectionError):
            assert GREETING not in await reader.read()  # but a TLS alert
        writer.close()
        assert (await ask(http.caller)).status_code == 200
        assert await greeting(tcp.caller) == GREETING


async def test_grpc_stays_http2_to_the_application(tmp_path: Path, svid: Svid) -> None:
    server = grpc.aio.server()
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("shop", health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    one = service(Protocol.GRPC, port)
    try:
        async with (
            mesh(tmp_path, svid, one),
            grpc.aio.insecure_channel(f"127.0.0.1:{one.caller}") as meshed,
            grpc.aio.insecure_channel(f"127.0.0.1:{one.declared}") as stranger,
        ):
            for channel in (meshed, stranger):
                answer = await health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(service="shop"), timeout=10
                )
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await server.stop(None)


async def test_an_upgrade_between_proxies_is_none_for_the_application(tmp_path: Path, svid: Svid) -> None:
    """The application speaks HTTP/1.1 alone; between the proxies there is HTTP/2 (h2UpgradePolicy)."""
    async with http_application("app") as port:
        one = replace(
            service(Protocol.HTTP, port),
            towards=ConnectionPool(upstream=Upstream.HTTP2),
            inside=ConnectionPool(upstream=Upstream.HTTP1),
        )
        async with mesh(tmp_path, svid, one) as proxy:
            answer = await ask(one.caller)
            assert (answer.status_code, answer.json()["server"]) == (200, "app")
            assert await proxy.statistic("upstream_cx_http2_total") == 1
            assert await proxy.statistic("upstream_cx_http1_total") == 1


async def test_a_server_takes_no_more_than_its_own_limit(tmp_path: Path, svid: Svid) -> None:
    """What a Sidecar says of inbound connections holds for all callers together."""
    waiting, released = asyncio.Semaphore(0), asyncio.Event()

    async def status(_: object) -> int:
        waiting.release()
        await released.wait()
        return 200

    async with http_application("app", status=status) as port:
        one = replace(service(Protocol.HTTP, port), inside=ConnectionPool(requests=1))
        async with mesh(tmp_path, svid, one):
            first = asyncio.ensure_future(ask(one.caller))
            await waiting.acquire()
            assert (await ask(one.caller)).status_code == 503
            assert (await ask(one.declared)).status_code == 503
            released.set()
            assert (await first).status_code == 200


async def test_only_a_plaintext_caller_waits_for_a_server_that_speaks_first(
    tmp_path: Path, svid: Svid
) -> None:
    async with greeting_application(GREETING) as port:
        one = service(Protocol.TCP, port)
        async with mesh(tmp_path, svid, one) as proxy:
            assert await greeting(one.caller) == GREETING
            assert await greeting(one.declared, client_context(svid, tmp_path, "tulle")) == GREETING
            assert await proxy.statistic("downstream_pre_cx_timeout") == 0
            assert await greeting(one.declared) == GREETING
            assert await proxy.statistic("downstream_pre_cx_timeout") == 1


async def test_the_applications_own_tls_passes_through(tmp_path: Path, svid: Svid) -> None:
    own = client_context(svid, tmp_path, "own")
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(tmp_path / "chain", tmp_path / "key")

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=served)
    async with server:
        port = server.sockets[0].getsockname()[1]
        services = tuple(service(protocol, port) for protocol in (Protocol.TLS, Protocol.TCP, Protocol.HTTP))
        async with mesh(tmp_path, svid, *services):
            for one in services:
                assert await greeting(one.declared, own) == GREETING
            for one in services[:2]:
                assert await greeting(one.caller, own) == GREETING


async def test_a_tcp_caller_of_an_http_port_cannot_forge_headers(tmp_path: Path, svid: Svid) -> None:
    async with http_application("app") as port:
        one = service(Protocol.HTTP, port)
        async with mesh(tmp_path, svid, one):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", one.declared, ssl=client_context(svid, tmp_path, "tulle"), server_hostname=""
            )
            writer.write(
                b"GET / HTTP/1.1\r\nhost: service\r\nx-forwarded-client-cert: URI=forged\r\n"
                b"x_forwarded_client_cert: URI=forged\r\nx_forwarded-client_cert: URI=forged\r\n"
                b"x-forwarded_client-cert: URI=forged\r\nx-forwarded-client_cert: URI=forged\r\n"
                b"x-envoy-peer-metadata: forged\r\nx_envoy_peer_metadata: forged\r\nconnection: close\r\n\r\n"
            )
            answer = (await reader.read()).decode()
            writer.close()
            assert f"By={ME};URI={ME}" in answer
            assert "forged" not in answer


async def test_an_idle_connection_to_an_http_port_is_neither_closed_nor_misjudged(
    tmp_path: Path, svid: Svid
) -> None:
    async with http_application("app") as port:
        one = service(Protocol.HTTP, port)
        async with mesh(tmp_path, svid, one) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", one.declared)
            late_reader, late_writer = await asyncio.open_connection("127.0.0.1", one.declared)
            while await proxy.statistic("downstream_pre_cx_active") < 2:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)  # longer than detection would last on a TCP port
            request = b"GET / HTTP/1.1\r\nhost: service\r\nconnection: close\r\n\r\n"
            writer.write(request)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
            late_reader, late_writer = await upgraded(
                late_reader, late_writer, client_context(svid, tmp_path, "tulle")
            )
            late_writer.write(request)
            assert f"By={ME};URI={ME}".encode() in await late_reader.read()
            late_writer.close()


async def test_a_service_is_its_address_too_under_a_name_that_nobody_knows(
    tmp_path: Path, svid: Svid
) -> None:
    async with http_application("app") as port:
        one = service(Protocol.HTTP, port)
        side = outbound((one,))
        by_destination = tuple(
            DestinationRoutes(address, (views.route("by-address", RequestMatch(), (cluster, 1)),))
            for address, cluster in (("127.0.0.9", "nowhere"), ("127.0.0.1", one.name))
        )
        refused = Route("block_all", RequestMatch(), Respond(502), views.HERE)
        host = VirtualHost("block_all", ("*",), (refused,), views.HERE, by_destination)
        table = RouteTable(str(one.declared), (host,), views.HERE)
        other = replace(side.listeners[0], name="other", address="127.0.0.2", port=free_port())
        side = replace(side, route_tables=(table,), listeners=(*side.listeners, other))
        resources = translate_outbound(side) + translate_inbound(inbound((one,)))
        resources += translate_endpoints(endpoints(one))
        tree = listening_on_declared_ports(unprivileged(bootstrap(resources, svid)), (one,))
        async with running(tree, tmp_path), httpx2.AsyncClient() as client:
            known = await client.get(f"http://127.0.0.1:{one.caller}/", headers={"host": "kept.example"})
            assert known.json()["headers"]["host"] == "kept.example"
            unknown = await client.get(f"http://127.0.0.2:{other.port}/", headers={"host": "kept.example"})
            assert unknown.status_code == 502


async def test_a_websocket_passes_both_proxies(tmp_path: Path, svid: Svid) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert b"upgrade: websocket" in request.lower()
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        while received := await reader.read(65536):
            writer.write(received.upper())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        one = service(Protocol.HTTP, server.sockets[0].getsockname()[1])
        async with mesh(tmp_path, svid, one) as proxy:
            for port in (one.caller, one.declared):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(
                    b"GET /socket HTTP/1.1\r\nhost: service\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                    b"sec-websocket-version: 13\r\nsec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"
                )
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
                writer.write(b"both ways")
                assert await reader.readexactly(9) == b"BOTH WAYS"
                writer.close()
            assert await proxy.statistic("ssl.handshake") >= 1


async def upgraded(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    await writer.start_tls(context, server_hostname="")
    return reader, writer


async def test_a_request_that_no_application_saw_is_tried_elsewhere(tmp_path: Path, svid: Svid) -> None:
    """Two replicas, one of whose programs is dead behind a live proxy: no POST fails."""
    async with http_application("app") as port:
        alive = service(Protocol.HTTP, port)
        dead = service(Protocol.HTTP, free_port())
        both = EndpointSet(
            alive.name,
            (
                Endpoint("127.0.0.1", alive.declared, mtls=True),
                Endpoint("127.0.0.1", dead.declared, mtls=True),
            ),
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
            assert await proxy.statistic("upstream_rq_retry_success") > 0
            assert (await client.get(f"http://127.0.0.1:{dead.caller}/")).status_code == 503


async def test_an_application_cannot_have_its_requests_repeated(tmp_path: Path, svid: Svid) -> None:
    """It has seen the request, whatever it says: a POST is not to happen twice."""
    async with (
        http_application("app", answers=(("x-tulle-unreached", "true"),)) as port,
        http_application("app", answers=(("x-tulle-unreached", "true"),)) as other_port,
    ):
        one, other = service(Protocol.HTTP, port), service(Protocol.HTTP, other_port)
        both = EndpointSet(
            one.name,
            tuple(Endpoint("127.0.0.1", each.declared, mtls=True) for each in (one, other)),
            views.HERE,
        )
        services = (one, other)
        resources = translate_outbound(outbound(services)) + translate_inbound(inbound(services))
        resources += translate_endpoints(both) + translate_endpoints(endpoints(other))
        tree = listening_on_declared_ports(unprivileged(bootstrap(resources, svid)), services)
        async with running(tree, tmp_path) as proxy, httpx2.AsyncClient() as client:
            for caller in (one.caller, one.declared):
                answer = await client.post(f"http://127.0.0.1:{caller}/", content=b"x")
                assert answer.status_code == 200
                assert await proxy.statistic("upstream_rq_retry") == 0
                assert "x-tulle-unreached" not in answer.headers
