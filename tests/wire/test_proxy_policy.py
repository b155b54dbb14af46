"""What DestinationRules ask of the real Envoy: breakers trip, outliers are ejected, hashes stick, TLS begins.

Each rule goes the whole way: resolved by a mesh with one service, translated, and run with small local
programs as the service's endpoints.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import trustme

from tests.envoy import Proxy, bootstrap, running, unprivileged
from tests.golden.case import mesh
from tests.wire.application import free_port
from tulle.mesh.resolve import PartKind
from tulle.mesh.view import EndpointSet, Outbound
from tulle.xds.translate import translate_endpoints, translate_outbound

HOST = "reviews.shop.svc.cluster.local"
PORT = 9080


def resolved(policy: str, places: Sequence[str] = ("",)) -> tuple[Outbound, EndpointSet]:
    """The outbound side of a shop whose reviews have this trafficPolicy (YAML in one line), and their
    endpoints: one at each place. The caller is at west/1/x."""
    versions = "".join(
        f"\n        v{number}: {{command: reviews{f', locality: {place}' if place else ''}}}"
        for number, place in enumerate(places)
    )
    text = f"""
apiVersion: tulle.dev/v1
kind: App
metadata: {{name: shop, namespace: shop}}
spec:
  services:
    front: {{port: 80, command: front, locality: west/1/x}}
    reviews:
      ports: [{{port: {PORT}, name: http}}]
      versions:{versions}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews, namespace: shop}}
spec:
  host: reviews
  trafficPolicy: {policy}
"""
    world, resolution, findings = mesh(text, "rule.yaml")
    assert not [each for each in findings if ": error: " in str(each)]
    (part,) = (one for one in resolution.parts(("shop", "front")) if one.kind is PartKind.OUTBOUND)
    found = resolution.part(part)
    assert isinstance(found, Outbound)
    (cluster,) = (one for one in found.clusters if one.name.endswith(HOST))
    query = resolution.endpoint_queries(part)[cluster.endpoint_set or cluster.name]
    return found, world.endpoints(query)


class Program:
    """A server that answers as it is told, and counts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.status = 200
        self.requests = 0
        self.connections = 0
        self.heads: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
                self.requests += 1
                await self.hold.wait()
                body = self.name.encode()
                head = f"HTTP/1.1 {self.status} x\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        writer.close()


class Shop:
    """The programs behind reviews, the proxy in front of its caller, and the caller."""

    def __init__(self, programs: list[Program], proxy: Proxy, port: int, client: httpx2.AsyncClient) -> None:
        self.programs = programs
        self.proxy = proxy
        self._client = client
        self._url = f"http://127.0.0.1:{port}"

    async def get(self, path: str = "/", **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._client.get(self._url + path, headers={"host": f"reviews:{PORT}", **named})


@contextlib.asynccontextmanager
async def shop(
    directory: Path,
    policy: str,
    *,
    count: int = 1,
    places: Sequence[str] = (),
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        places = places or [""] * count
        programs = [Program(f"reviews-v{number}") for number in range(len(places))]
        ports: dict[str, int] = {}
        for each in programs:
            server = await asyncio.start_server(each.serve, "127.0.0.1", 0, ssl=tls)
            stack.push_async_callback(server.wait_closed)
            stack.callback(server.close)
            stack.callback(each.hold.set)
            ports[f"shop/{each.name}"] = server.sockets[0].getsockname()[1]
        outbound, there = resolved(policy, places)
        local = [
            replace(each, address="127.0.0.1", port=ports[each.workload], mtls=False)
            for each in there.endpoints
        ]
        here = translate_endpoints(replace(there, endpoints=tuple(local)))
        tree = unprivileged(bootstrap([*translate_outbound(outbound), *here]))
        port = free_port()
        listeners = tree["static_resources"]["listeners"]
        listeners[:] = [one for one in listeners if one["name"] == f"0.0.0.0_{PORT}"]
        listeners[0]["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
        for chain in listeners[0]["filter_chains"]:
            chain.pop("filter_chain_match", None)
        listeners[0]["filter_chains"] = listeners[0]["filter_chains"][-1:]
        proxy = await stack.enter_async_context(running(tree, directory))
        client = await stack.enter_async_context(httpx2.AsyncClient(timeout=30))
        yield Shop(programs, proxy, port, client)


async def test_a_breaker_trips(tmp_path: Path) -> None:
    limits = "{tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}}"
    async with shop(tmp_path, f"{{connectionPool: {limits}}}") as found:
        (program,) = found.programs
        program.hold.clear()
        first = asyncio.create_task(found.get())
        while program.requests < 1:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(found.get())
        while await found.proxy.statistic("upstream_rq_pending_active") < 1:
            await asyncio.sleep(0.01)
        # One is under way and one waits: nobody else may.
        assert {(await found.get()).status_code for _ in range(4)} == {503}
        assert await found.proxy.statistic("upstream_rq_pending_overflow") == 4
        program.hold.set()
        assert ((await first).status_code, (await second).status_code) == (200, 200)
        assert program.connections == 2  # one for each request


async def test_an_outlier_is_left_out(tmp_path: Path) -> None:
    policy = (
        "{outlierDetection: {consecutive5xxErrors: 2, interval: 1ms, baseEjectionTime: 10m,"
        " maxEjectionPercent: 100}}"
    )
    async with shop(tmp_path, policy, count=2) as found:
        bad, good = found.programs
        bad.status = 500
        while await found.proxy.statistic("ejections_active") == 0:
            await found.get()
        asked = bad.requests
        assert asked >= 2
        assert {(await found.get()).status_code for _ in range(20)} == {200}
        assert bad.requests == asked
        assert good.requests >= 20


async def test_what_counts_as_an_error_may_be_said(tmp_path: Path) -> None:
    policy = (
        "{outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100, baseEjectionTime: 10m,"
        " outlierDetectionHttpErrorCodes: [429]}}"
    )
    async with shop(tmp_path, policy, count=1) as found:
        (program,) = found.programs
        program.status = 500
        assert [(await found.get()).status_code for _ in range(3)] == [500] * 3
        program.status = 429
        while (await found.get()).status_code != 503:  # until nobody is left
            await asyncio.sleep(0.01)
        assert await found.proxy.statistic("ejections_active") == 1


@pytest.mark.parametrize("algorithm", ["ringHash: {}", "maglev: {tableSize: 257}", "minimumRingSize: 100"])
async def test_requests_with_one_key_meet_one_endpoint(tmp_path: Path, algorithm: str) -> None:
    policy = f"{{loadBalancer: {{consistentHash: {{httpHeaderName: x-user, {algorithm}}}}}}}"
    async with shop(tmp_path, policy, count=3) as found:
        met = {user: {(await found.get(x_user=user)).text for _ in range(4)} for user in "abcdefgh"}
        assert all(len(names) == 1 for names in met.values()), met
        assert len(set.union(*met.values())) > 1


async def test_a_cookie_is_made_for_who_brings_none(tmp_path: Path) -> None:
    cookie = "{name: user, path: /, ttl: 0s, attributes: [{name: SameSite, value: Lax}]}"
    async with shop(
        tmp_path, f"{{loadBalancer: {{consistentHash: {{httpCookie: {cookie}}}}}}}", count=3
    ) as found:
        first = await found.get()
        made = first.headers["set-cookie"]
        assert made.startswith('user="')
        assert "SameSite=Lax" in made
        again = [await found.get(cookie=made.split(";")[0]) for _ in range(5)]
        assert {one.text for one in again} == {first.text}
        assert all("set-cookie" not in one.headers for one in again)


async def test_a_query_parameter_may_be_the_key(tmp_path: Path) -> None:
    policy = "{loadBalancer: {consistentHash: {httpQueryParameterName: user}}}"
    async with shop(tmp_path, policy, count=3) as found:
        met = {user: {(await found.get(f"/?user={user}")).text for _ in range(3)} for user in "abcdefgh"}
        assert all(len(names) == 1 for names in met.values()), met
        assert len(set.union(*met.values())) > 1


async def test_a_caller_meets_one_endpoint_by_its_address(tmp_path: Path) -> None:
    policy = "{loadBalancer: {consistentHash: {useSourceIp: true}}}"
    async with shop(tmp_path, policy, count=3) as found:
        assert len({(await found.get()).text for _ in range(9)}) == 1


async def test_a_connection_begins_with_the_caller_of_the_proxy_protocol(tmp_path: Path) -> None:
    async with shop(tmp_path, "{proxyProtocol: {version: V1}}") as found:
        assert (await found.get()).status_code == 200
        assert found.programs[0].heads[0].startswith("PROXY TCP4 127.0.0.1 ")


# -- localities -------------------------------------------------------------------------------------


async def test_the_next_place_takes_over_when_the_nearest_fails(tmp_path: Path) -> None:
    policy = (
        "{outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 10m, maxEjectionPercent: 100},"
        " loadBalancer: {localityLbSetting: {failover: [{from: west, to: south}]}}}"
    )
    places = ("west/1/x", "west/1/y", "east/1/x", "south/1/x")
    async with shop(tmp_path, policy, places=places) as found:
        for at in (0, 1, 3):  # the zone, the region, the region to fail over to
            assert {(await found.get()).text for _ in range(8)} == {f"reviews-v{at}"}
            found.programs[at].status = 500
            while (await found.get()).text == f"reviews-v{at}":  # Envoy collects such changes for a second
                await asyncio.sleep(0.01)
        assert {(await found.get()).text for _ in range(8)} == {"reviews-v2"}


async def test_one_may_fail_over_whatever_the_percentage(tmp_path: Path) -> None:
    policy = "{outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 10m}}"
    async with shop(tmp_path, policy, places=("west/1/x", "west/1/y")) as found:
        found.programs[0].status = 500
        while (await found.get()).text == "reviews-v0":
            await asyncio.sleep(0.01)
        assert {(await found.get()).text for _ in range(8)} == {"reviews-v1"}


async def test_places_get_their_shares(tmp_path: Path) -> None:
    policy = (
        "{loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: west/1/*, to:"
        ' {"west/1/*": 80, "east/*": 20}}]}}}'
    )
    places = ("west/1/x", "west/1/y", "east/1/x", "south/1/x")
    async with shop(tmp_path, policy, places=places) as found:
        met = Counter([(await found.get()).text for _ in range(100)])
        assert met["reviews-v3"] == 0
        # Localities take turns by their weights, so that the shares are no matter of chance.
        assert 75 <= met["reviews-v0"] + met["reviews-v1"] <= 85
        assert 15 <= met["reviews-v2"] <= 25


# -- TLS to servers that are not the mesh's ---------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> trustme.CA:
    return trustme.CA()


def server(world: trustme.CA, name: str, demand: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    world.issue_cert(name).configure_cert(context)
    if demand:
        context.verify_mode = ssl.CERT_REQUIRED
        world.configure_trust(context)
    return context


def certificates(world: trustme.CA, directory: Path) -> str:
    world.cert_pem.write_to_path(directory / "ca.pem")
    client = world.issue_cert("client.example")
    client.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    client.private_key_pem.write_to_path(directory / "key.pem")
    return f"caCertificates: {directory}/ca.pem"


@pytest.mark.parametrize(
    ("name", "more", "status"),
    [
        ("reviews", "", 200),  # the Host header's name
        ("other.example", "", 503),
        ("other.example", ", subjectAltNames: [other.example]", 200),
        ("reviews", ", subjectAltNames: [other.example]", 503),
        ("other.example", ", sni: other.example", 200),
    ],
)
async def test_tls_is_begun_and_the_server_known(
    tmp_path: Path, world: trustme.CA, name: str, more: str, status: int
) -> None:
    policy = f"{{tls: {{mode: SIMPLE, {certificates(world, tmp_path)}{more}}}}}"
    async with shop(tmp_path, policy, tls=server(world, name)) as found:
        assert (await found.get()).status_code == status


async def test_nobody_is_trusted_but_who_is_named(tmp_path: Path, world: trustme.CA) -> None:
    stranger = server(trustme.CA(), "reviews")
    policy = f"{{tls: {{mode: SIMPLE, {certificates(world, tmp_path)}}}}}"
    async with shop(tmp_path, policy, tls=stranger) as found:
        assert (await found.get()).status_code == 503
    async with shop(tmp_path, "{tls: {mode: SIMPLE, insecureSkipVerify: true}}", tls=stranger) as found:
        assert (await found.get()).status_code == 200


async def test_a_client_shows_its_certificate(tmp_path: Path, world: trustme.CA) -> None:
    authority = certificates(world, tmp_path)
    own = f"clientCertificate: {tmp_path}/cert.pem, privateKey: {tmp_path}/key.pem"
    demanding = server(world, "reviews", demand=True)
    async with shop(tmp_path, f"{{tls: {{mode: MUTUAL, {authority}, {own}}}}}", tls=demanding) as found:
        assert (await found.get()).status_code == 200
    async with shop(tmp_path, f"{{tls: {{mode: SIMPLE, {authority}}}}}", tls=demanding) as found:
        assert (await found.get()).status_code == 503
