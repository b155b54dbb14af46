"""What the control plane is told of a workload's proxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tulle.app.bulletin import Bulletin
from tulle.model.agentapi import Instance, Phase

WEB = Instance(namespace="shop", name="web", phase=Phase.RUNNING, ready=True)


class _Server:
    """Proxies that connect and leave as a test says."""

    def __init__(self) -> None:
        self.nodes: set[str] = set()
        self.watchers: list[Callable[[], None]] = []

    def subscription(self, node: str) -> object | None:
        return self if node in self.nodes else None

    def watch(self, _node: str, callback: Callable[[], None]) -> Callable[[], None]:
        self.watchers.append(callback)
        return lambda: self.watchers.remove(callback)

    def tell(self) -> None:
        for each in tuple(self.watchers):
            each()


def test_a_proxy_s_coming_and_going_is_told_and_nothing_else() -> None:
    server: Any = _Server()
    told: list[Instance] = []
    bulletin = Bulletin(server, lambda _namespace, _name: 7.0, told.append)
    bulletin.put(WEB)
    server.nodes.add("shop/web")
    server.tell()
    server.tell()
    bulletin.put(WEB.model_copy(update={"restarts": 1}))
    server.nodes.clear()
    server.tell()
    assert [(each.restarts, each.proxy_connected) for each in told] == [
        (0, False),
        (0, True),
        (1, True),
        (1, False),
    ]
    assert {each.certificate_expires for each in told} == {7.0}


def test_a_workload_that_is_gone_is_not_told_of_again() -> None:
    server: Any = _Server()
    told: list[Instance] = []
    bulletin = Bulletin(server, lambda _namespace, _name: 0.0, told.append)
    bulletin.put(WEB)
    bulletin.remove("shop", "web")
    server.nodes.add("shop/web")
    server.tell()
    assert len(told) == 1
    assert server.watchers == []


def test_another_certificate_is_told_when_its_proxy_has_acknowledged_it() -> None:
    server: Any = _Server()
    told: list[Instance] = []
    expires = [7.0]
    bulletin = Bulletin(server, lambda _namespace, _name: expires[0], told.append)
    bulletin.put(WEB)
    expires[0] = 8.0
    server.tell()
    server.tell()
    assert [each.certificate_expires for each in told] == [7.0, 8.0]
