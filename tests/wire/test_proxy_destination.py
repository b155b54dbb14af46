"""A request under a name that nobody knows is routed by the address that its caller dialled."""

from __future__ import annotations

from pathlib import Path

import httpx2

from tests.envoy import bootstrap, running, unprivileged
from tests.unit.xds import views
from tests.wire.application import free_port
from tulle.mesh.view import (
    DestinationRoutes,
    HttpChain,
    Outbound,
    OutboundChain,
    OutboundListener,
    RequestMatch,
    Respond,
    Route,
    RouteTable,
    VirtualHost,
)
from tulle.xds.translate import translate_outbound


def outbound(port: int) -> Outbound:
    def answering(status: int) -> tuple[Route, ...]:
        return (Route("", RequestMatch(), Respond(status), views.HERE),)

    known = VirtualHost("known", ("known",), answering(201), views.HERE)
    rest = VirtualHost(
        "rest",
        ("*",),
        answering(404),
        views.HERE,
        (
            DestinationRoutes("127.0.0.0/24", answering(503)),
            DestinationRoutes("127.0.0.2", answering(202)),
        ),
    )
    chain = OutboundChain("all", HttpChain(str(port), "outbound"), views.HERE)
    return Outbound(
        "outbound/shop",
        False,
        (OutboundListener(f"0.0.0.0_{port}", "0.0.0.0", port, (), chain, views.HERE),),
        (RouteTable(str(port), (known, rest), views.HERE),),
        (),
    )


async def status(address: str, port: int, host: str) -> int:
    async with httpx2.AsyncClient() as client:
        return (await client.get(f"http://{address}:{port}/", headers={"host": host})).status_code


async def test_the_dialled_address_is_known_to_routes(tmp_path: Path) -> None:
    port = free_port()
    tree = unprivileged(bootstrap(translate_outbound(outbound(port))))
    listeners = tree["static_resources"]["listeners"]
    listeners[:] = [one for one in listeners if one["name"] != "virtualOutbound"]
    async with running(tree, tmp_path):
        assert await status("127.0.0.2", port, "known") == 201
        assert await status("127.0.0.2", port, "whoever.example.com") == 202
        assert await status("127.0.0.3", port, "whoever.example.com") == 503
        assert await status("127.0.1.1", port, "whoever.example.com") == 404
