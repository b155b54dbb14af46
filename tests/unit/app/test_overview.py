"""How `tulle status` puts together what agents report and what the control plane knows of a proxy."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.mesh.worldly import world_of
from tulle.ads.cache import Cache
from tulle.ads.status import NodeStatus
from tulle.app.overview import Overview
from tulle.app.pipeline import Pipeline
from tulle.mesh.resolve import Resolution
from tulle.model.agentapi import Instance, Phase

APP = """
apiVersion: tulle.dev/v1
kind: App
metadata: {name: a, namespace: shop}
spec:
  services:
    web: {port: 80, protocol: http, command: serve}
"""


class _Acknowledging:
    """To the control plane every node is in sync: agents acknowledge for proxies that are not there."""

    def status(self, node: str) -> NodeStatus:
        return NodeStatus(node, "synced", 5.0)


def shown(phase: Phase, connected: bool) -> str:
    world = world_of(APP)
    instance = Instance(
        namespace="shop", name="web", phase=phase, ready=phase is Phase.RUNNING, proxy_connected=connected
    )
    world.report(("shop", "web"), instance, lapsed=False)
    resolution = Resolution(world)
    server: Any = _Acknowledging()
    (workload,) = Overview(world, resolution, Pipeline(world, resolution, Cache()), server).workloads()
    return workload.proxy.state


@pytest.mark.parametrize(
    ("phase", "connected", "state"),
    [
        (Phase.RUNNING, True, "synced"),
        (Phase.RUNNING, False, "disconnected"),
        (Phase.PENDING, False, "disconnected"),
        (Phase.SUCCEEDED, False, "none"),
        (Phase.FAILED, False, "none"),
    ],
)
def test_the_state_of_a_proxy_is_the_proxy_s_own(phase: Phase, connected: bool, state: str) -> None:
    assert shown(phase, connected) == state
