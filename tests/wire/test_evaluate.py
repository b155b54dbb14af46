"""The evaluator and the real Envoy, asked the same: random route tables, random requests.

Every pair must agree on the status, the route and the cluster. TULLE_EVALUATE_PAIRS makes it more,
TULLE_EVALUATE_SEED the same again.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

from tests.envoy import bootstrap, managers, running, unprivileged
from tests.unit.xds import views
from tests.wire.application import free_port
from tests.wire.http import Answer, ask
from tests.wire.random_routes import clusters, random_request, random_table
from tulle.mesh.evaluate import Outcome, Request, evaluate_outbound
from tulle.mesh.view import Cluster, Discovery, HttpChain, Outbound, OutboundChain, OutboundListener, Protocol
from tulle.xds.translate import translate_outbound

_TABLES = 40
_PAIRS = int(os.environ.get("TULLE_EVALUATE_PAIRS", "2000"))
_SEED = int(os.environ.get("TULLE_EVALUATE_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)

# What Envoy decided, in the answer itself.
_SAID = [
    {"header": {"key": "x-said-route", "value": "%ROUTE_NAME%"}},
    {"header": {"key": "x-said-cluster", "value": "%UPSTREAM_CLUSTER_RAW%"}},
]


@dataclass(frozen=True)
class Tables:
    """Random tables, each on a port of its own."""

    outbound: Outbound
    ports: tuple[int, ...]


def make(chance: random.Random, upstream: int) -> Tables:
    ports = tuple(free_port() for _ in range(_TABLES))
    return Tables(
        Outbound(
            scope="outbound/shop",
            allow_any=True,
            listeners=tuple(
                OutboundListener(
                    f"0.0.0.0_{port}",
                    "0.0.0.0",
                    port,
                    (),
                    OutboundChain("http", HttpChain(str(port), "outbound"), views.HERE),
                    views.HERE,
                )
                for port in ports
            ),
            route_tables=tuple(random_table(chance, str(port)) for port in ports),
            clusters=tuple(
                Cluster(
                    name,
                    Discovery.STATIC,
                    views.HERE,
                    protocol=Protocol.HTTP,
                    addresses=(("127.0.0.1", upstream),),
                )
                for name in clusters()
            ),
        ),
        ports,
    )


def disagreement(outcome: Outcome, answer: Answer) -> str:
    """What the two do not agree on; "" if nothing."""
    if outcome.status is not None and outcome.status != answer.status:
        return f"status {outcome.status} here, {answer.status} there"
    if outcome.status is None and answer.status not in (200, 500):
        return f"forwarded here, {answer.status} there"
    said = answer.headers.get("x-said-route", "")
    if said and (outcome.route is None or outcome.route.name != said):
        return f"route {outcome.route.name if outcome.route else None} here, {said} there"
    cluster = answer.headers.get("x-said-cluster", "-")
    if outcome.status is None:
        possible = {each.cluster for each in outcome.clusters}
        if answer.status == 200 and cluster not in possible:
            return f"one of {possible} here, {cluster} there"
        if answer.status == 500 and not possible - set(clusters()):
            return "every cluster is there, and 500"
    return ""


async def test_random_requests_end_where_envoy_sends_them(tmp_path: Path) -> None:
    chance = random.Random(_SEED)
    upstream = free_port()
    tables = make(chance, upstream)
    tree = unprivileged(bootstrap(translate_outbound(tables.outbound)))
    static = tree["static_resources"]
    static["listeners"] = [each for each in static["listeners"] if each["name"] != "virtualOutbound"]
    for listener in static["listeners"]:
        for manager in managers(listener):
            manager["route_config"]["response_headers_to_add"] = _SAID
    static["listeners"].append(_answering(upstream))
    calls: dict[int, list[Request]] = {}
    for _ in range(_PAIRS):
        port = chance.choice(tables.ports)
        calls.setdefault(port, []).append(random_request(chance, port))
    wrong: list[str] = []
    async with running(tree, tmp_path):
        for port, requests in calls.items():
            for request, answer in zip(requests, await ask(port, requests), strict=True):
                found = evaluate_outbound(tables.outbound, request)
                difference = disagreement(found, answer)
                if difference:
                    steps = "\n  ".join(f"{each.step}: {each.result}" for each in found.steps)
                    wrong.append(f"{difference}\n  {request}\n  {steps}")
    assert not wrong, f"seed {_SEED}: {len(wrong)} of {_PAIRS} disagree\n" + "\n".join(wrong[:5])


def _answering(port: int) -> dict[str, object]:
    """A server that says 200 to everything."""
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager",
        "stat_prefix": "server",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
    }
    return {
        "name": "server",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
