"""The server's end of one state-of-the-world xDS stream, without any input or output.

For gRPC's own xDS clients (decision 20): they ask for a listener by name, then for the routes, clusters
and endpoints that follow from it, and put a new configuration to use only when it is whole (gRFC A74).
Semantics: Envoy's documentation, "xDS REST and gRPC protocol", the parts about "SotW".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from tulle.ads.caution import Content
from tulle.ads.channel import Progress, Rejection, Response
from tulle.ads.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource
from tulle.ads.subscription import WILDCARD
from tulle.ads.wire import StateOfTheWorldRequest

_FULL = frozenset({LISTENER, CLUSTER})
"""Types whose responses hold all that the client is to have: what is missing is deleted."""
_ORDER = {CLUSTER: 0, ENDPOINT: 1, LISTENER: 2, ROUTE: 3}


@dataclass(slots=True)
class _Channel:
    type_url: str
    wildcard: bool = False
    named: bool = False  # ends the legacy wildcard
    names: frozenset[str] = frozenset()
    held: dict[str, str] = field(default_factory=dict[str, str])  # name -> version, as acknowledged
    due: bool = False  # something changed that may have to be sent
    asked: set[str] = field(default_factory=set[str])  # to be sent even if unchanged
    rejected: dict[str, Rejection] = field(default_factory=dict[str, Rejection])
    nonce: str = ""
    flight: dict[str, str] | None = None

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names


class StateOfTheWorld:
    """What one client asked for, has, and is being given. The same face as `Subscription`."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._channels: dict[str, _Channel] = {}
        self._nonce = 0
        self.revision = 0
        """Counts the changes of what is subscribed to."""

    # -- events ------------------------------------------------------------------------------------

    def request(self, request: StateOfTheWorldRequest) -> None:
        """The client says something. With a stale nonce it does not count: it will be said again with the
        nonce of the response that is on its way."""
        channel = self._channels.setdefault(request.type_url, _Channel(request.type_url))
        if request.nonce and request.nonce != channel.nonce:
            return
        if request.nonce and channel.flight is not None:
            flight, channel.flight = channel.flight, None
            if request.refusal is None:
                channel.rejected.clear()
                channel.held = flight if channel.type_url in _FULL else channel.held | flight
            else:
                for name, version in flight.items():
                    if channel.held.get(name) != version:
                        channel.rejected[name] = Rejection(version, request.refusal)
        self._subscribe(channel, frozenset(request.names))

    def _subscribe(self, channel: _Channel, names: frozenset[str]) -> None:
        wildcard = WILDCARD in names or (not names and not channel.named and channel.type_url in _FULL)
        channel.named = channel.named or bool(names)
        names -= {WILDCARD}
        if wildcard == channel.wildcard and names == channel.names:
            return
        self.revision += 1
        channel.asked |= names - channel.names
        channel.due = True
        channel.wildcard, channel.names = wildcard, names
        channel.held = {name: version for name, version in channel.held.items() if channel.wants(name)}
        channel.rejected = {name: why for name, why in channel.rejected.items() if channel.wants(name)}

    def changed(self, keys: Iterable[tuple[str, str]]) -> bool:
        """These keys may be different in the cache now. Returns whether there may be something to send."""
        concerned = False
        for type_url, name in keys:
            channel = self._channels.get(type_url)
            if channel is not None and channel.wants(name):
                channel.due = concerned = True
        return concerned or any(channel.due for channel in self._channels.values())

    def poll(self) -> list[Response]:
        """What is to be sent now; to be asked after each event."""
        channels = sorted(self._channels.values(), key=lambda channel: _ORDER.get(channel.type_url, 4))
        return [response for response in map(self._send, channels) if response is not None]

    def _send(self, channel: _Channel) -> Response | None:
        if channel.flight is not None or not channel.due:
            return None
        if not all(self._content.knows(channel.type_url, name) for name in channel.asked) or (
            channel.wildcard and not self._content.knows_all(channel.type_url)
        ):
            return None
        full = channel.type_url in _FULL
        wanted = channel.names | (self._content.names(channel.type_url) if channel.wildcard else set[str]())
        found = [self._content.resource(channel.type_url, name) for name in sorted(wanted)]
        current = [resource for resource in found if resource is not None]
        new = [resource for resource in current if self._is_due(channel, resource)]
        gone = channel.held.keys() - {resource.name for resource in current}
        channel.due = False
        # The first answer to a full type is given even if it is empty: it says that nothing exists.
        if not (new or (full and (gone or channel.asked or not channel.nonce))):
            channel.asked.clear()
            return None
        self._nonce += 1
        channel.nonce = str(self._nonce)
        channel.asked.clear()
        sent = current if full else new
        channel.flight = {resource.name: resource.version for resource in sent}
        return Response(channel.type_url, channel.nonce, tuple(sent), version=_fingerprint(current))

    def _is_due(self, channel: _Channel, resource: Resource) -> bool:
        rejection = channel.rejected.get(resource.name)
        if rejection is not None and rejection.version == resource.version:
            return resource.name in channel.asked
        return resource.name in channel.asked or channel.held.get(resource.name) != resource.version

    # -- questions ---------------------------------------------------------------------------------

    @property
    def settled(self) -> bool:
        """Whether the client has acknowledged all that it is to have now."""
        return bool(self._channels) and not any(
            channel.flight is not None or channel.due or channel.rejected
            for channel in self._channels.values()
        )

    @property
    def moving(self) -> bool:
        """Whether an answer of the client is outstanding."""
        return any(channel.flight is not None for channel in self._channels.values())

    def errors(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """(type url, the client's detail, names) of what it refuses at its current content."""
        found: dict[tuple[str, str], list[str]] = {}
        for channel in self._channels.values():
            for name, rejection in channel.rejected.items():
                resource = self._content.resource(channel.type_url, name)
                if resource is not None and resource.version == rejection.version:
                    found.setdefault((channel.type_url, rejection.detail), []).append(name)
        return tuple(sorted((type_url, detail, tuple(sorted(n))) for (type_url, detail), n in found.items()))

    def types(self) -> tuple[str, ...]:
        """The types that were asked for."""
        return tuple(self._channels)

    def subscribed(self, type_url: str) -> frozenset[str]:
        """The names that were asked for one by one."""
        channel = self._channels.get(type_url)
        return channel.names if channel is not None else frozenset()

    def acknowledged(self, type_url: str) -> dict[str, str]:
        """name -> version of what the client has."""
        channel = self._channels.get(type_url)
        return dict(channel.held) if channel is not None else {}

    def count(self) -> int:
        """How many names and resources this subscription remembers."""
        return sum(len(channel.names) + len(channel.held) for channel in self._channels.values())

    def progress(self, type_url: str, name: str, version: str | None) -> tuple[Progress, str]:
        """How far a version (None: the removal) of a resource has come; the client's detail if refused."""
        channel = self._channels.get(type_url)
        if channel is None or not channel.wants(name):
            return Progress.UNASKED, ""
        rejection = channel.rejected.get(name)
        if rejection is not None and rejection.version == version:
            return Progress.REJECTED, rejection.detail
        if version is None and type_url not in _FULL:
            return Progress.ACKNOWLEDGED, ""  # the protocol has no word for it
        waiting = channel.due or channel.flight is not None
        return (Progress.WAITING if waiting else Progress.ACKNOWLEDGED), ""


def _fingerprint(resources: Iterable[Resource]) -> str:
    """The version of a type: that of all its resources together."""
    digest = hashlib.blake2b(digest_size=8)
    for resource in resources:
        digest.update(f"{resource.name}\0{resource.version}\0".encode())
    return digest.hexdigest()
