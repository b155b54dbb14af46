"""The server's end of one incremental ("delta") xDS stream, without any input or output.

Semantics: Envoy's documentation, "xDS REST and gRPC protocol", section "Incremental xDS". Fed by
`server.py` with requests and with the keys that changed in the cache; asked by it for what to send.

Make-before-break (same page, "Eventual consistency considerations"), in three stages:

1. clusters and endpoints that are new or different;
2. when these are acknowledged, and the endpoints that a new cluster needs were asked for, sent and
   acknowledged: listeners and routes;
3. after their acknowledgement: the removal of clusters, then of endpoints.

So no route names a cluster that the client was not given before, and none that it has given up.
One response of each type is on its way at a time: a slow client is sent the newest content once
instead of every content in between, and an acknowledgement says something about all that was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tulle.ads.caution import Content, names_one
from tulle.ads.channel import REMOVED, Channel, Flight, Progress, Rejection, Response, shared
from tulle.ads.resource import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    NAMES,
    ROUTE,
    SECRET,
    WORKLOAD,
    Resource,
)
from tulle.ads.wire import DeltaRequest

WILDCARD = "*"
_MAKE = (CLUSTER, ENDPOINT)
_ORDER = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
_FREE = frozenset({SECRET, WORKLOAD, NAMES})
"""What nothing else waits for, and what waits for nothing."""
_NAMED_ONLY = frozenset({ENDPOINT, ROUTE, EXTENSION, SECRET})
"""Types that no client has ever meant all of when it named none: Envoy may send an empty request for them
after a reconnect, when it has given up its last one."""
_NEEDED = {CLUSTER: ENDPOINT, LISTENER: ROUTE}
"""Which of its needs a resource is not ready without."""


class Subscription:
    """What one client asked for, has, and is being given. Every method is cheap when nothing changed."""

    def __init__(self, content: Content, *, resend_needs: bool = True) -> None:
        """`resend_needs`: whether an updated cluster is followed by its endpoints even if these are the same.
        Envoy builds an updated cluster anew and has it wait for endpoints, which it does not ask for again;
        a client that keeps its own copy of everything does not want them."""
        self._content = content
        self._resend_needs = resend_needs
        self._channels: dict[str, Channel] = {}
        self._free: list[Channel] = []  # the same channels by stage, in the order of sending
        self._make: list[Channel] = []
        self._use: list[Channel] = []
        self._nonce = 0
        self.revision = 0
        """Counts the changes of what is subscribed to."""

    # -- events ------------------------------------------------------------------------------------

    def request(self, request: DeltaRequest) -> None:
        """The client says something: an acknowledgement, a refusal, another subscription, or several at once.

        A stale nonce acknowledges nothing, but what it subscribes to counts ("the server must honor
        changes to the subscription state even if the nonce is stale").
        """
        channel = self._channels.get(request.type_url)
        first = channel is None
        if channel is None:
            channel = self._open(request.type_url)
        if channel.flight is not None and request.nonce == channel.flight.nonce:
            if request.refusal is None:
                self._acknowledge(channel)
            else:
                self._refuse(channel, request.refusal)
        if first:
            channel.held.update(request.versions)
            channel.resumed = bool(request.versions)
        self._subscribe(channel, request, first)

    def changed(self, keys: Iterable[tuple[str, str]]) -> bool:
        """These keys may be different in the cache now, or it became known what exists. Returns whether there
        may be something to send."""
        concerned = False
        for channel in self._channels.values():
            if channel.waiting:
                channel.dirty.update(dict.fromkeys(channel.waiting))
            if channel.waiting or channel.owed:
                concerned = True
        for type_url, name in keys:
            channel = self._channels.get(type_url)
            if channel is not None and (channel.wants(name) or name in channel.held):
                channel.dirty[name] = None
                concerned = True
        return concerned

    def poll(self) -> list[Response]:
        """What is to be sent now; to be asked after each event."""
        for channel in self._channels.values():
            if channel.due():
                return [response for response in self._responses() if response is not None]
        return []  # most acknowledgements end here

    # -- questions ---------------------------------------------------------------------------------

    @property
    def settled(self) -> bool:
        """Whether the client has acknowledged all that it is to have now."""
        return not self.moving and not any(
            c.busy() or c.leaving or c.rejected for c in self._channels.values()
        )

    @property
    def moving(self) -> bool:
        """Whether it is for the client to say something: an answer is outstanding, or it did not ask yet for
        what it needs. One that asked for nothing, or for clusters and not for listeners, is starting."""
        if not self._channels or (CLUSTER in self._channels and LISTENER not in self._channels):
            return True
        for channel in self._channels.values():
            if channel.flight is not None or (channel.unready and self._unready(channel)):
                return True
        return False

    def errors(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """(type url, the client's detail, names) of what it refuses at its current content."""
        found: dict[tuple[str, str], list[str]] = {}
        for channel in self._channels.values():
            for name, rejection in channel.rejected.items() if channel.rejected else ():
                resource = self._content.resource(channel.type_url, name)
                if resource is None or resource.version != rejection.version:
                    continue  # about to be tried again
                found.setdefault((channel.type_url, rejection.detail), []).append(name)
        if not found:
            return ()
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
        return sum(len(c.names) + len(c.held) for c in self._channels.values())

    def progress(self, type_url: str, name: str, version: str | None) -> tuple[Progress, str]:
        """How far a version (None: the removal) of a resource has come; the client's detail if refused."""
        channel = self._channels.get(type_url)
        if channel is None or not channel.wants(name):
            return Progress.UNASKED, ""
        rejection = channel.rejected.get(name)
        if rejection is not None and rejection.version == (version or REMOVED):
            return Progress.REJECTED, rejection.detail
        flying = channel.flight is not None and name in channel.flight.versions
        if channel.held.get(name) == version and not flying and name not in channel.dirty:
            return Progress.ACKNOWLEDGED, ""
        return Progress.WAITING, ""

    # -- what the client said ----------------------------------------------------------------------

    def _open(self, type_url: str) -> Channel:
        channel = self._channels[type_url] = Channel(type_url)
        stage = self._free if type_url in _FREE else self._make if type_url in _MAKE else self._use
        stage.append(channel)
        stage.sort(key=lambda one: _ORDER.index(one.type_url) if one.type_url in _ORDER else len(_ORDER))
        return channel

    def _subscribe(self, channel: Channel, request: DeltaRequest, first: bool) -> None:
        subscribe = set(request.subscribe)
        if first and not subscribe and not request.unsubscribe and channel.type_url not in _NAMED_ONLY:
            subscribe = {WILDCARD}  # "the server should treat that identically"
        if subscribe or request.unsubscribe:
            self.revision += 1
        if WILDCARD in subscribe:
            subscribe.discard(WILDCARD)
            channel.wildcard = True
            channel.owed = channel.owed or not channel.held
            channel.dirty.update(dict.fromkeys(sorted(self._content.names(channel.type_url))))
            channel.dirty.update(dict.fromkeys(channel.held))
        if subscribe:
            channel.names = shared(channel.names | subscribe)
        for name in sorted(subscribe):
            channel.dirty[name] = None
            if name not in request.versions:
                # "The server must still provide those resources": the client may have forgotten them.
                channel.forced.add(name)
        if first:
            # What a client brings along without asking for it is none of ours.
            channel.forget_unwanted()
            for name in channel.held if channel.type_url in _NEEDED else ():
                self._note_needs(channel, self._content.resource(channel.type_url, name))
        for name in request.unsubscribe:
            self._unsubscribe(channel, name)

    def _unsubscribe(self, channel: Channel, name: str) -> None:
        if name == WILDCARD:
            channel.wildcard = channel.owed = False
            channel.forget_unwanted()
        elif name in channel.names:
            channel.names = shared(channel.names - {name})
            if channel.wildcard:
                # It may be part of the wildcard: "the server must send a response" that tells.
                channel.forced.add(name)
                channel.dirty[name] = None
            else:
                channel.forget(name)

    def _acknowledge(self, channel: Channel) -> None:
        assert channel.flight is not None
        flight, channel.flight = channel.flight, None
        for name, version in flight.versions.items():
            if version == REMOVED:
                channel.held.pop(name, None)
            elif channel.wants(name):
                channel.held[name] = version
        # Before the next response can take one of them into the air again.
        for other in self._channels.values():
            self._cross_off(other)

    def _refuse(self, channel: Channel, detail: str) -> None:
        """A refusal is about a whole response: find out which resource it means by sending them again, those
        that the detail does not mention together and each of the others alone. The good ones arrive."""
        assert channel.flight is not None
        flight, channel.flight = channel.flight, None
        if len(flight.versions) <= 1:
            for name, version in flight.versions.items():
                if version == REMOVED:
                    channel.held.pop(name, None)  # a removal that is refused is not tried for ever
                elif channel.wants(name):
                    channel.rejected[name] = Rejection(version, detail)
                    channel.unready.pop(name, None)  # nobody asks for what it needs
            return
        mentioned = [name for name in flight.versions if name in detail]
        others = [name for name in flight.versions if name not in detail]
        if mentioned and others:
            channel.retries.append(tuple(others))
            channel.retries.extend((name,) for name in mentioned)
        else:
            channel.retries.extend((name,) for name in flight.versions)
        channel.forced.update(name for name in flight.versions if channel.wants(name))

    # -- what to send ------------------------------------------------------------------------------

    def _responses(self) -> Iterator[Response | None]:
        for channel in self._free:
            if channel.due():
                yield self._send(channel, remove=True)
        for channel in self._make:
            if channel.due():
                yield self._send(channel)
        if not self._later():
            return
        if self._made():
            refused = tuple(name.encode() for channel in self._make for name in channel.rejected)
            for channel in self._use:
                # Routes that no listener names any more go after the listeners that named them.
                remove = channel.type_url != ROUTE or self._quiet(LISTENER)
                yield self._send(channel, remove=remove, refused=refused)
            if self._used():
                for channel in self._make:
                    if channel.type_url != ENDPOINT or self._quiet(CLUSTER):
                        yield self._send(channel, remove=True)

    def _later(self) -> bool:
        """Whether there may be something to do in the later stages."""
        return any(channel.due() for channel in self._use) or any(channel.leaving for channel in self._make)

    def _made(self) -> bool:
        """Whether the client has all clusters, each with the endpoints that it needs."""
        clusters = self._channels.get(CLUSTER)
        return clusters is None or not (clusters.busy() or self._unready(clusters))

    def _used(self) -> bool:
        """Whether the client uses the current listeners and routes, so that what is old may go."""
        clusters = self._channels.get(CLUSTER)
        if clusters is not None and clusters.resumed and LISTENER not in self._channels:
            return False  # the first requests of a stream come one by one: listeners are yet to be asked for
        return not any(
            channel.busy() or channel.leaving or channel.rejected or self._unready(channel)
            for channel in self._use
        )

    def _quiet(self, type_url: str) -> bool:
        channel = self._channels.get(type_url)
        return channel is None or not (channel.busy() or channel.leaving)

    def _unready(self, channel: Channel) -> bool:
        """Whether something that the client has still lacks what it needs. Up to the first that does, what
        does not is crossed off."""
        below = _NEEDED.get(channel.type_url, "")
        complete: list[str] = []
        lacking = False
        for name, needs in channel.unready.items():
            lacking = not self._are_there(below, needs)
            if lacking:
                break
            if self._exist(below, needs):
                complete.append(name)
        for name in complete:
            del channel.unready[name]
        return lacking

    def _cross_off(self, channel: Channel) -> None:
        """Everything that the client has and that has all it needs. What it needs and does not exist is not
        waited for, but it may come while the client has it, and then it is."""
        below = _NEEDED.get(channel.type_url, "")
        if channel.unready:
            channel.unready = {
                name: needs
                for name, needs in channel.unready.items()
                if not (self._exist(below, needs) and self._are_there(below, needs))
            }

    def _exist(self, type_url: str, names: Iterable[str]) -> bool:
        return all(self._content.resource(type_url, name) is not None for name in names)

    def _are_there(self, type_url: str, names: Iterable[str]) -> bool:
        return all(self._is_there(type_url, name) for name in names)

    def _is_there(self, type_url: str, name: str) -> bool:
        if self._content.resource(type_url, name) is None:
            return True  # what does not exist cannot be waited for
        channel = self._channels.get(type_url)
        if channel is None:
            return False
        if name in channel.rejected:
            return True  # it is held against the later stages there
        flying = channel.flight is not None and name in channel.flight.versions
        return name in channel.held and name not in channel.forced and not flying

    def _note_needs(self, channel: Channel, resource: Resource | None) -> None:
        below = _NEEDED.get(channel.type_url)
        if resource is None or below is None:
            return
        channel.unready.pop(resource.name, None)
        needs = tuple(name for type_url, name in resource.needs if type_url == below)
        if needs:
            channel.unready[resource.name] = needs

    def _send(
        self, channel: Channel, *, remove: bool = False, refused: tuple[bytes, ...] = ()
    ) -> Response | None:
        """The next response of one type, if there is one and the last one was answered.

        `remove`: whether what the client has may be taken away now. `refused`: see `_hold_back`.
        """
        if channel.flight is not None:
            return None
        if remove and channel.leaving:
            channel.dirty.update(channel.leaving)
            channel.leaving.clear()
        if not (channel.dirty or channel.retries or channel.owed):
            return None
        blank = not channel.held
        resources: list[Resource] = []
        removed: list[str] = []
        while not (resources or removed):
            last = not channel.retries
            names = tuple(channel.dirty) if last else channel.retries.pop(0)
            held_back = self._hold_back(channel, names, refused, blank) if refused else frozenset[str]()
            for name in names:
                resource = self._content.resource(channel.type_url, name)
                if name in held_back:
                    channel.dirty[name] = None
                    continue
                channel.dirty.pop(name, None)
                channel.waiting.discard(name)
                if not channel.wants(name):
                    channel.forget(name)
                elif resource is None:
                    self._send_removal(channel, name, removed, remove)
                elif self._is_due(channel, name, resource):
                    resources.append(resource)
            if last:
                break
        if not channel.dirty:
            channel.dirty = {}
        if not (resources or removed or (channel.owed and self._content.knows_all(channel.type_url))):
            return None
        return self._dispatch(channel, resources, removed)

    def _hold_back(
        self, channel: Channel, names: tuple[str, ...], refused: tuple[bytes, ...], blank: bool
    ) -> frozenset[str]:
        """The client refused clusters or endpoints: what names one of them stays as it is until their
        content changes, and what goes as part of the same change stays with it. All else is sent. What the
        client lacks altogether it gets: to a proxy that starts, a configuration with one hole is better than
        none."""
        gone: list[str] = []
        held_back: set[str] = set()
        for name in names:
            resource = self._content.resource(channel.type_url, name)
            if name in channel.held and resource is None:
                gone.append(name)
            elif (
                (name in channel.held or not (blank or name in channel.names))
                and self._is_due(channel, name, resource)
                and names_one(self._content, resource, refused)
            ):
                held_back.add(name)
        return frozenset(held_back.union(gone)) if held_back else frozenset()

    def _is_due(self, channel: Channel, name: str, resource: Resource | None) -> bool:
        if resource is None or not channel.wants(name):
            return False
        rejection = channel.rejected.get(name)
        if rejection is not None and rejection.version != resource.version:
            del channel.rejected[name]
            rejection = None
        if name in channel.forced:
            return True
        return rejection is None and channel.held.get(name) != resource.version

    def _send_removal(self, channel: Channel, name: str, removed: list[str], remove: bool) -> None:
        channel.rejected.pop(name, None)
        channel.unready.pop(name, None)
        if not self._content.knows(channel.type_url, name):
            if name in channel.forced:
                channel.waiting.add(name)
            return
        if name in channel.held and not remove:
            channel.leaving[name] = None
        elif name in channel.held or name in channel.forced:
            removed.append(name)

    def _dispatch(self, channel: Channel, resources: list[Resource], removed: list[str]) -> Response:
        self._nonce += 1
        nonce = str(self._nonce)
        channel.owed = False
        versions = {resource.name: resource.version for resource in resources}
        channel.flight = Flight(nonce, versions | dict.fromkeys(removed, REMOVED))
        endpoints = self._channels.get(ENDPOINT)
        for resource in resources:
            channel.forced.discard(resource.name)
            channel.leaving.pop(resource.name, None)
            channel.rejected.pop(resource.name, None)
            self._note_needs(channel, resource)
            if channel.type_url == CLUSTER and self._resend_needs and endpoints is not None:
                for type_url, name in resource.needs:
                    if type_url == ENDPOINT and name in endpoints.held:
                        endpoints.forced.add(name)
                        endpoints.dirty[name] = None
        channel.forced.difference_update(removed)
        if not channel.forced:
            channel.forced = set()
        return Response(channel.type_url, nonce, tuple(resources), tuple(removed))
