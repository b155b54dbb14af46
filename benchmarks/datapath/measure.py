"""Runs the blocks and puts the numbers side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import block
from benchmarks.block import ratios, spread
from benchmarks.datapath.path import Way, ways
from benchmarks.mesh import own_mesh
from benchmarks.process import cpu_seconds_of_all
from benchmarks.report import Limit, Report, Row

_RATE = 400.0
"""Requests a second: a small part of what any of the paths can do, so that nothing queues."""
_WARM_SECONDS = 1.0
_LIMIT = Limit(1.15, of="ratio")
_REFERENCES = {"bare": "bare", "haproxy": "bare", "mesh": "bare", "bare tcp": "bare", "mesh tcp": "bare tcp"}
_PROMISED = ("mesh", "mesh tcp")


@dataclass(frozen=True, slots=True)
class Block:
    """What one block of one way found, in microseconds per request."""

    proxies: float
    servers: float
    generator: float
    p50: float
    p99: float


def measure(*, quick: bool, say: Callable[[str], None]) -> Report:
    rounds, seconds = (4, 1.0) if quick else (12, 2.0)
    with own_mesh() as mesh, tempfile.TemporaryDirectory(prefix="tulle-bare-") as folder:
        say("data path: starting the mesh and the bare pairs")
        with ways(mesh, Path(folder)) as found:
            for way in found.values():
                way.generator.send(way.target, _RATE, _WARM_SECONDS)
            say(f"data path: {rounds} rounds of {len(found)} blocks of {seconds:g} s")
            blocks = block.measure(
                {name: partial(_block, way, seconds) for name, way in found.items()}, rounds
            )
    notes = [
        f"GET of 128 bytes, HTTP/1.1, {_RATE:g} requests/s, open loop, 16 kept connections",
        "CPU of the proxies from the scheduler's accounting; added latency: over the direct path's median; "
        "ratios: to the reference's block of the same round",
    ]
    if "haproxy" not in blocks:
        notes.append("haproxy is not installed, its pair was left out: apt-get install haproxy")
    return Report(
        title="Data path, per request",
        rows=tuple(_rows(blocks)),
        notes=(*notes, *_check(blocks)),
        details={
            "rate": _RATE,
            "seconds": seconds,
            "blocks": {k: list(map(_plain, v)) for k, v in blocks.items()},
        },
    )


def _block(way: Way, seconds: float) -> Block:
    proxies, servers = cpu_seconds_of_all(way.proxies), cpu_seconds_of_all(way.servers)
    outcome = way.generator.send(way.target, _RATE, seconds)
    micro = 1e6 / outcome.requests
    return Block(
        proxies=(cpu_seconds_of_all(way.proxies) - proxies) * micro,
        servers=(cpu_seconds_of_all(way.servers) - servers) * micro,
        generator=outcome.own_cpu * 1e6,
        p50=outcome.p50 * 1e6,
        p99=outcome.p99 * 1e6,
    )


def _rows(blocks: dict[str, list[Block]]) -> list[Row]:
    direct = blocks["direct"]
    p50 = spread([each.p50 for each in direct])
    p99 = spread([each.p99 for each in direct])
    rows = [Row("direct", "latency p50", "µs", p50), Row("direct", "latency p99", "µs", p99)]
    for name in blocks:
        if name == "direct":
            continue
        rows += [
            _row(name, "CPU of the proxies", blocks, lambda one: one.proxies),
            _row(name, "added latency p50", blocks, lambda one: one.p50 - p50.median),
            _row(name, "added latency p99", blocks, lambda one: one.p99 - p99.median),
        ]
    return rows


def _row(name: str, metric: str, blocks: dict[str, list[Block]], value: Callable[[Block], float]) -> Row:
    own = list(map(value, blocks[name]))
    reference = _REFERENCES[name]
    compared = spread(found) if (found := ratios(own, list(map(value, blocks[reference])))) else None
    limit = _LIMIT if name in _PROMISED else None
    return Row(name, metric, "µs", spread(own), reference, compared, limit)


def _check(blocks: dict[str, list[Block]]) -> list[str]:
    """Whether what measures costs less than what is measured."""
    direct = blocks["direct"]
    generator = spread([each.generator for each in direct]).median
    server = spread([each.servers for each in direct]).median
    bare = spread([each.proxies for each in blocks["bare"]]).median
    verdict = "less" if generator + server < bare else "NOT LESS"
    return [
        f"the load generator spends {generator:.0f} µs and nginx {server:.0f} µs on a request: "
        f"{verdict} than the bare pair's {bare:.0f} µs"
    ]


def _plain(one: Block) -> dict[str, float]:
    return {name: round(getattr(one, name), 2) for name in Block.__dataclass_fields__}
