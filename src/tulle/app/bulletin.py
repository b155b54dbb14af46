"""What an agent reports of a workload: its own state, its proxy's connection and its certificate as one."""

from __future__ import annotations

from collections.abc import Callable

from tulle.ads.server import Server
from tulle.app.pipeline import proxy_node
from tulle.model.agentapi import Instance

Name = tuple[str, str]


class Bulletin:
    """Passes workloads' states on, and again when the proxy of one connects, leaves or has got another
    certificate."""

    def __init__(
        self, server: Server, expires: Callable[[str, str], float], tell: Callable[[Instance], None]
    ) -> None:
        """`expires`: when the certificate of (namespace, name) ends, in seconds since the epoch."""
        self._server = server
        self._expires = expires
        self._tell = tell
        self._told: dict[Name, Instance] = {}
        self._stops: dict[Name, Callable[[], None]] = {}

    def put(self, instance: Instance) -> None:
        """The state of one workload now."""
        name = instance.namespace, instance.name
        if name not in self._stops:
            self._stops[name] = self._server.watch(proxy_node(name), lambda: self._moved(name))
        self._pass_on(instance)

    def remove(self, namespace: str, name: str) -> None:
        """That workload does not run here any more."""
        if stop := self._stops.pop((namespace, name), None):
            stop()
            del self._told[namespace, name]

    def _moved(self, name: Name) -> None:
        told = self._told[name]
        now = self._known(name)
        if (told.certificate_expires, told.proxy_connected) != now:  # each acknowledgement leads here
            self._pass_on(told)

    def _pass_on(self, instance: Instance) -> None:
        name = instance.namespace, instance.name
        expires, connected = self._known(name)
        self._told[name] = instance.model_copy(
            update={"certificate_expires": expires, "proxy_connected": connected}
        )
        self._tell(self._told[name])

    def _known(self, name: Name) -> tuple[float, bool]:
        """(when its certificate ends, whether its proxy is connected)"""
        return self._expires(*name), self._server.subscription(proxy_node(name)) is not None
