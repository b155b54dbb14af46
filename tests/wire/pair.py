"""A client and a server side of the mesh in one Envoy, for tests: services, what is called, and who calls.

Both sides are in one process here, so client and server have the same SVID. Connections are not redirected:
the outbound listeners are bound, and the inbound one listens on the application's declared ports itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.envoy import Proxy, bootstrap, running, unprivileged
from tests.unit.xds import views
from tests.wire.application import free_port
from tulle.identity.svid import Svid
from tulle.mesh.view import (
    Cluster,
    ConnectionPool,
    Depth,
    Discovery,
    Endpoint,
    EndpointSet,
    HttpChain,
    Inbound,
    InboundMtls,
    InboundPort,
    MutualTls,
    Outbound,
    OutboundChain,
    OutboundListener,
    Protocol,
    RequestMatch,
    RouteTable,
    TcpChain,
    WeightedCluster,
)
from tulle.xds.translate import translate_endpoints, translate_inbound, translate_outbound

ME = views.identity("a")
NO_LIMITS = ConnectionPool()


@dataclass(frozen=True)
class Service:
    """A port of the one workload: what it speaks, how it is entered, and where its program listens."""

    protocol: Protocol
    mtls: InboundMtls
    application: int
    declared: int
    caller: int
    identities: tuple[str, ...] = (ME,)
    meshed: bool = True
    depth: Depth | None = None
    towards: ConnectionPool = NO_LIMITS
    """Of the caller's proxy."""
    inside: ConnectionPool = NO_LIMITS
    """Of the server's, to its application."""

    @property
    def name(self) -> str:
        return f"outbound|{self.declared}||service"


def inbound(services: tuple[Service, ...]) -> Inbound:
    return Inbound(
        namespace="shop",
        workload="a",
        address="127.0.0.1",
        identity=ME,
        trust_domain=views.TRUST_DOMAIN,
        ports=tuple(
            InboundPort(
                one.declared, one.protocol, one.mtls, f"inbound|{one.declared}||", views.HERE, one.depth
            )
            for one in services
        ),
        clusters=tuple(
            Cluster(
                f"inbound|{one.declared}||",
                Discovery.STATIC,
                views.HERE,
                protocol=one.protocol,
                addresses=(("127.0.0.1", one.application),),
                source_address="127.0.0.6",
                pool=one.inside,
            )
            for one in services
        ),
    )


def outbound(services: tuple[Service, ...]) -> Outbound:
    listeners: list[OutboundListener] = []
    clusters: list[Cluster] = []
    tables: list[RouteTable] = []
    for one in services:
        http = one.protocol.is_http
        if http:
            then = HttpChain(str(one.declared), "outbound")
            routes = (views.route("all", RequestMatch(), (one.name, 1)),)
            tables.append(
                RouteTable(
                    str(one.declared),
                    (views.host(f"service:{one.declared}", *routes, domains=("*",)),),
                    views.HERE,
                )
            )
        else:
            then = TcpChain((WeightedCluster(one.name),), "outbound")
        chain = OutboundChain("all", then, views.HERE)
        listeners.append(
            OutboundListener(f"to_{one.declared}", "127.0.0.1", one.caller, (), chain, views.HERE)
        )
        shallow = one.depth is not None and one.depth.shallow
        mtls = MutualTls(
            one.identities, "tulle-http" if shallow else "tulle", f"outbound_.{one.declared}_._.service"
        )
        clusters.append(
            Cluster(one.name, Discovery.EDS, views.HERE, protocol=one.protocol, mtls=mtls, pool=one.towards)
        )
    return Outbound("outbound/shop", False, tuple(listeners), tuple(tables), tuple(clusters))


def endpoints(one: Service) -> EndpointSet:
    return EndpointSet(one.name, (Endpoint("127.0.0.1", one.declared, mtls=one.meshed),), views.HERE)


def listening_on_declared_ports(tree: dict[str, Any], services: tuple[Service, ...]) -> dict[str, Any]:
    addresses = [
        {"address": {"socket_address": {"address": "127.0.0.1", "port_value": one.declared}}}
        for one in services
    ]
    for listener in tree["static_resources"]["listeners"]:
        if listener["name"] == "virtualInbound":
            listener["address"] = addresses[0]["address"]
            listener["additional_addresses"] = addresses[1:]
    tree["static_resources"]["listeners"] = [
        one for one in tree["static_resources"]["listeners"] if one["name"] != "virtualOutbound"
    ]
    return tree


@contextlib.asynccontextmanager
async def mesh(directory: Path, svid: Svid, *services: Service) -> AsyncIterator[Proxy]:
    resources = translate_outbound(outbound(services)) + translate_inbound(inbound(services))
    for one in services:
        resources += translate_endpoints(endpoints(one))
    tree = listening_on_declared_ports(unprivileged(bootstrap(resources, svid)), services)
    async with running(tree, directory) as proxy:
        yield proxy


def service(protocol: Protocol, application: int, mtls: InboundMtls = InboundMtls.PERMISSIVE) -> Service:
    return Service(protocol, mtls, application, free_port(), free_port())


def client_context(svid: Svid, directory: Path, alpn: str) -> ssl.SSLContext:
    """A caller with a certificate of the mesh that is no proxy of it."""
    files = {"key": svid.key_pem, "chain": svid.chain_pem, "root": svid.root_pem}
    for name, content in files.items():
        (directory / name).write_bytes(content)
    context = ssl.create_default_context(cafile=str(directory / "root"))
    context.check_hostname = False
    context.load_cert_chain(directory / "chain", directory / "key")
    context.set_alpn_protocols([alpn])
    return context


async def ask(port: int, **headers: str) -> httpx2.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx2.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{port}/", headers=sent)


async def greeting(port: int, context: ssl.SSLContext | None = None) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="" if context else None
    )
    try:
        return await reader.readline()
    finally:
        writer.close()
