import asyncio
from collections.abc import Iterable, Mapping

import pytest

from tulle.model.agentapi import Instance, Phase, Report
from tulle.source.agents import Agents
from tulle.source.registry import LEASE_SECONDS, Name, Registry


class NoRegistrar:
    """Nobody signs here."""

    root_pem = ""

    def host_of(self, auth_context: Mapping[str, Iterable[bytes]]) -> str | None:
        return None

    def renew(self, host: str, csr_pem: str) -> str:
        raise PermissionError

    def sign(self, identity: str, csr_pem: str, for_proxy: bool) -> str:
        raise PermissionError


async def nobody_calls(_: Name) -> None:
    """Whoever leaves has left."""


@pytest.mark.looptime
async def test_a_lease_lapses_when_it_ends_and_not_before() -> None:
    loop = asyncio.get_running_loop()
    lapses: list[float] = []

    def publish(_name: Name, _instance: Instance | None, lapsed: bool) -> None:
        if lapsed:
            lapses.append(loop.time())

    registry = Registry(lambda *_: "spiffe://td/x", publish, loop.time)
    agents = Agents(registry, NoRegistrar(), lambda *_: None, lambda *_: True, nobody_calls)
    watching = asyncio.create_task(agents.watch_leases())
    orders = Instance(namespace="shop", name="orders", phase=Phase.RUNNING, ready=True)
    await asyncio.sleep(3)
    registry.report("one", Report(sequence=1, full=True, instances=(orders,)))
    await asyncio.sleep(LEASE_SECONDS - 1)
    registry.report("one", Report(sequence=2, full=False))
    last = loop.time()
    await asyncio.sleep(10 * LEASE_SECONDS)
    watching.cancel()
    assert lapses == [pytest.approx(last + LEASE_SECONDS, abs=0.06)]
