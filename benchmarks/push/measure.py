"""Connects 10, 100 and 1,000 proxies to one control plane, changes things, and kills it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from benchmarks.block import ratios, slope, spread
from benchmarks.push.subject import PER_CONNECTION, Change, subject
from benchmarks.push.world import REPLICAS, SERVICES
from benchmarks.report import Limit, Report, Row

_SIZES = (10, 100, 1000)
_LARGEST = _SIZES[-1]
_CALM_SECONDS = 3.0
"""After which what connecting needed in passing is given back."""
_STEADY_SECONDS = 31.0
"""After which the supervisor takes a death for the first one, and waits no longer than then."""


def measure(*, quick: bool, say: Callable[[str], None]) -> Report:
    return asyncio.run(_measure(quick, say))


async def _measure(quick: bool, say: Callable[[str], None]) -> Report:
    repeats = 5 if quick else 15
    rows: list[Row] = []
    memory: dict[float, float] = {}
    floor_memory: dict[float, float] = {}
    details: dict[str, Any] = {"memory": memory, "floor_memory": floor_memory}
    say(f"push: declaring {SERVICES * REPLICAS} workloads")
    async with subject() as measured:
        for size in _SIZES:
            await measured.connect(size)
            await asyncio.sleep(_CALM_SECONDS)
            memory[size] = await measured.memory()
            floor_memory[size] = await measured.floor_memory()
            say(f"push: {size} proxies, {repeats} changes of each kind")
            for kind, found in (await measured.changes(repeats)).items():
                rows += _rows(kind, size, found)
                details[f"{kind} {size}"] = list(map(_plain, found))
        say("push: kill -9 and back")
        storms = [await measured.storm()]
        for _ in range(0 if quick else 2):
            await asyncio.sleep(_STEADY_SECONDS)
            storms.append(await measured.storm())
        details["storms"] = storms
    return Report(
        title="Control plane",
        rows=(*rows, *_memory(memory, floor_memory), *_storm(storms)),
        notes=(
            f"{SERVICES} services of {REPLICAS} workloads; mTLS on the control plane's Unix socket, "
            f"{PER_CONNECTION} proxies a connection; each subscribes to everything",
            "from an agent's report, or the API's apply, to the last ACK that the control plane took",
            "floor: grpc.aio alone, as many messages of the same size to as many streams, each acknowledged",
        ),
        details=details,
    )


def _rows(kind: str, size: int, changes: list[Change]) -> list[Row]:
    case = f"{kind}, {size} proxies"
    limit = Limit(100) if (kind, size) == ("endpoint", _LARGEST) else None

    def row(metric: str, unit: str, samples: list[float], floor: list[float] | None = None) -> Row:
        compared = spread(ratios(samples, floor)) if floor else None
        return Row(
            case,
            metric,
            unit,
            spread(samples),
            "floor" if floor else "",
            compared,
            limit if metric == "last ACK" else None,
        )

    floor = [each.floor * 1e3 for each in changes]
    floor_cpu = [each.floor_cpu * 1e3 for each in changes]
    return [
        row("last ACK", "ms", [each.seconds * 1e3 for each in changes], floor),
        row("of it until all is put together", "ms", [each.turn * 1e3 for each in changes]),
        row("CPU of the control plane", "ms", [each.cpu * 1e3 for each in changes], floor_cpu),
        row("CPU of the simulated proxies", "ms", [each.fleet_cpu * 1e3 for each in changes]),
        row("messages", "", [float(each.messages) for each in changes]),
        row("bytes", "kB", [each.bytes / 1e3 for each in changes]),
        row("serialisations", "", [float(each.serialised) for each in changes]),
    ]


def _memory(memory: dict[float, float], floor: dict[float, float]) -> list[Row]:
    own, below = spread([slope(memory) / 1e3]), spread([slope(floor) / 1e3])
    compared = spread([own.median / below.median])
    case = "memory of the control plane"
    return [
        Row(case, "per connected proxy", "kB", own, "floor", compared, Limit(50)),
        Row(case, f"with {_LARGEST} proxies", "MB", spread([memory[_LARGEST] / 1e6])),
    ]


def _storm(storms: list[dict[str, float]]) -> list[Row]:
    case = f"kill -9, {_LARGEST} proxies"
    words = {
        "serving": ("the new one hears of the first", None),
        "first": ("the first in sync", None),
        "all": ("all in sync", Limit(3)),
    }
    return [
        Row(case, metric, "s", spread([each[name] for each in storms]), limit=limit)
        for name, (metric, limit) in words.items()
    ]


def _plain(one: Change) -> dict[str, float]:
    return {name: round(getattr(one, name), 6) for name in Change.__dataclass_fields__}
