"""The client's end of one upstream stream, without any input or output: one node of the agent's cache is kept
equal to what the control plane has for it.

Upstream is asked for what the proxy behind this agent asks for, and for what its listeners and clusters need,
whether or not the proxy is there. A response is acknowledged upstream when the proxy has acknowledged its
content (or does not ask for it), and refused with the proxy's own words; what it refused goes back to what it
had, here and on disk, so that a proxy that starts again gets the last good content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from tulle.ads import wire
from tulle.ads.cache import Cache, Key
from tulle.ads.channel import Progress
from tulle.ads.resource import CLUSTER, LISTENER, SECRET, Resource
from tulle.ads.wire import DeltaRequest, DeltaResponse

PROXY_TYPES = (CLUSTER, LISTENER)
"""What a proxy is always given all of."""
SHARED_SECRETS = ("kubernetes://", "configmap://", "file-cert:", "file-root:")
"""Secrets whose names begin so come from upstream. All others are the agent's own: keys do not travel."""

_UNDECIDED = "?"  # no hash


class Asking(Protocol):
    """The subscription of the proxy behind the agent (`subscription.Subscription` and its sibling)."""

    revision: int

    @property
    def settled(self) -> bool: ...

    def types(self) -> tuple[str, ...]: ...

    def subscribed(self, type_url: str) -> frozenset[str]: ...

    def errors(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]: ...


class Downstream(Protocol):
    """Where the proxies behind the agent are connected (`server.Server`)."""

    def subscription(self, node: str) -> Asking | None: ...

    def progress(self, node: str, type_url: str, name: str, version: str | None) -> tuple[Progress, str]: ...

    def watch(self, node: str, callback: Callable[[], None]) -> Callable[[], None]: ...


@dataclass(slots=True)
class _Flight:
    """A response from upstream that is not answered yet."""

    nonce: str
    waiting: dict[str, str | None]  # name -> version (None: removed) that the proxy did not decide on
    refused: dict[str, str] = field(default_factory=dict[str, str])  # name -> the proxy's words


class Mirror:
    """Follows one node upstream. `start` after every connect; all methods return the requests to send."""

    def __init__(
        self,
        node_id: str,
        cache: Cache,
        node: str,
        *,
        part: str,
        wildcards: Iterable[str] = PROXY_TYPES,
        downstream: Downstream | None = None,
    ) -> None:
        """`node_id`: the name upstream; `node`: the name in `cache`, whose `part` is written here alone."""
        self.node = node
        self._node_id = node_id
        self._cache = cache
        self._part = part
        self._wildcards = tuple(wildcards)
        self._downstream = downstream
        self._asked: dict[str, set[str]] = {}  # type url -> names, on this stream
        self._flights: dict[str, _Flight] = {}  # by type url
        self._good: dict[Key, Resource | None] = {}  # what was there before content that is not decided on
        self._fallback: dict[Key, Resource] = {}  # what content replaced that no proxy has judged
        self._bad: dict[Key, tuple[str, str]] = {}  # (version, words) of what this proxy refused
        self._proxy: Asking | None = None
        self._proxy_revision = -1
        self._proxy_keys: set[Key] = set()
        self._extra: set[Key] = set()  # what the proxy asks for, also while it restarts
        self._wanted_is_stale = True
        self.unsaved = False
        """Whether `content` may be different from when this was last set to False."""

    # -- events ------------------------------------------------------------------------------------

    def start(self) -> list[DeltaRequest]:
        """A new stream: ask for everything, and say what is here already."""
        self._flights.clear()
        self._asked.clear()
        self._look_downstream()
        if self._proxy is not None and self._proxy.settled:
            self._extra = set(self._proxy_keys)  # what earlier incarnations of the proxy asked for is over
        self._wanted_is_stale = False
        wanted = self._wanted()
        self._asked = {type_url: set(names) for type_url, names in wanted.items()}
        for type_url, name in list(self._good):
            if type_url not in self._wildcards and name not in wanted.get(type_url, ()):
                del self._good[type_url, name]
        requests: list[DeltaRequest] = []
        for type_url in self._wildcards:
            requests.append(DeltaRequest(type_url, ("*",), versions=self._versions(type_url)))
        for type_url, names in wanted.items():
            known = self._versions(type_url)
            versions = {name: version for name, version in known.items() if name in names}
            requests.append(DeltaRequest(type_url, sorted(names), versions=versions))
        if requests:
            first = requests[0]
            requests[0] = DeltaRequest(
                first.type_url,
                first.subscribe,
                versions=first.versions,
                node_id=self._node_id,
                features=(wire.MIRROR,),
            )
        return requests

    def received(self, response: DeltaResponse) -> list[DeltaRequest]:
        """Upstream has something new. Raises MalformedError for a response that contradicts itself."""
        self._look_downstream()
        type_url = response.type_url
        if any(resource.type_url != type_url for resource in response.resources):
            raise wire.MalformedError(f"a response for {type_url} has resources of another type")
        flight = _Flight(response.nonce, {})
        upserts: list[Resource] = []
        for resource in response.resources:
            bad = self._bad.get(resource.key)
            if bad is not None and bad[0] == resource.version:
                flight.refused[resource.name] = bad[1]
                continue
            flight.waiting[resource.name] = resource.version
            upserts.append(resource)
        flight.waiting.update(dict.fromkeys(response.removed))
        removals = [(type_url, name) for name in response.removed]
        for key in (*(resource.key for resource in upserts), *removals):
            self._good.setdefault(key, self._cache.found(self._part, key))
        # Endpoints come all the time, and need nothing: what is wanted need not be gone through for them.
        self._wanted_is_stale |= type_url in self._wildcards or any(r.needs for r in upserts)
        self._flights[type_url] = flight
        with self._cache.transaction():
            self._cache.update(self._part, upserts, removals)
            if type_url in self._wildcards:
                self._cache.settle(self.node, type_url)
            else:
                self._cache.absent(self.node, removals)
        return self.advance()

    def advance(self) -> list[DeltaRequest]:
        """The proxy said something, or may have: ask for what it asks for, answer what it answered."""
        self._look_downstream()
        return [*self._follow(), *self.judge()]

    def judge(self) -> list[DeltaRequest]:
        """Answer what the proxy answered. While upstream is away this keeps the last good content right."""
        requests: list[DeltaRequest] = []
        for type_url, flight in list(self._flights.items()):
            if self._decided(type_url, flight):
                del self._flights[type_url]
                words = "; ".join(dict.fromkeys(flight.refused.values())) or "refused"
                refusal = words if flight.refused else None
                requests.append(DeltaRequest(type_url, nonce=flight.nonce, refusal=refusal))
        return [*requests, *self._judge_late()]

    def content(self) -> tuple[Resource, ...]:
        """What is here and not refused, nor waiting for the proxy's word: the last good content."""
        content: dict[Key, Resource | None] = {r.key: r for r in self._cache.content(self._part)}
        content |= self._good
        return tuple(resource for resource in content.values() if resource is not None)

    # -- within ------------------------------------------------------------------------------------

    def _versions(self, type_url: str) -> dict[str, str]:
        """What is here of a type, or was until the proxy is to agree to its removal. What the proxy did not
        decide on has a version that nothing has, so that its content or removal comes again and the proxy's
        word about it has a response to answer."""
        here = self._cache.content(self._part)
        versions = {resource.name: resource.version for resource in here if resource.type_url == type_url}
        return versions | {name: _UNDECIDED for type_of, name in self._good if type_of == type_url}

    def _look_downstream(self) -> None:
        proxy = None if self._downstream is None else self._downstream.subscription(self.node)
        if proxy is None or (proxy is self._proxy and proxy.revision == self._proxy_revision):
            return
        keys = {(type_url, name) for type_url in proxy.types() for name in proxy.subscribed(type_url)}
        if proxy is self._proxy:
            self._extra -= self._proxy_keys - keys  # it gave them up
        else:
            self._bad.clear()  # another incarnation may judge differently
        self._extra |= keys
        self._wanted_is_stale = True
        self._proxy, self._proxy_revision, self._proxy_keys = proxy, proxy.revision, keys

    def _wanted(self) -> dict[str, set[str]]:
        """type url -> names to ask for one by one."""
        wanted: dict[str, set[str]] = {}
        needs = (need for resource in self._cache.content(self._part) for need in resource.needs)
        for type_url, name in (*needs, *self._extra):
            own = type_url == SECRET and not name.startswith(SHARED_SECRETS)
            if type_url not in self._wildcards and not own:
                wanted.setdefault(type_url, set()).add(name)
        return wanted

    def _follow(self) -> list[DeltaRequest]:
        """Subscribe upstream to what is wanted now; forget what is not."""
        if not self._wanted_is_stale:
            return []
        self._wanted_is_stale = False
        wanted = self._wanted()
        requests: list[DeltaRequest] = []
        for type_url in sorted(wanted.keys() | self._asked.keys()):
            now, before = wanted.get(type_url, set[str]()), self._asked.get(type_url, set[str]())
            new, gone = now - before, before - now
            if not (new or gone):
                continue
            self._asked[type_url] = now
            self._cache.unknown(self.node, [(type_url, name) for name in new])
            gone_keys = [(type_url, name) for name in gone]
            for key in gone_keys:
                self._good.pop(key, None)
            self._cache.update(self._part, (), gone_keys)
            self.unsaved |= bool(gone)
            requests.append(DeltaRequest(type_url, sorted(new), sorted(gone)))
        return requests

    def _decided(self, type_url: str, flight: _Flight) -> bool:
        """Whether the proxy has said yes or no to all of a response; what it refuses goes back."""
        for name, version in list(flight.waiting.items()):
            state, words = Progress.UNASKED, ""
            if self._downstream is not None:
                state, words = self._downstream.progress(self.node, type_url, name, version)
            if state is Progress.WAITING:
                continue
            del flight.waiting[name]
            self.unsaved = True
            good = self._good.pop((type_url, name), None)
            if state is Progress.REJECTED:
                flight.refused[name] = words
                self._give_back((type_url, name), good, version or "", words)
            elif state is Progress.ACKNOWLEDGED:
                self._fallback.pop((type_url, name), None)
            elif good is not None:
                self._fallback.setdefault((type_url, name), good)
        return not flight.waiting

    def _judge_late(self) -> list[DeltaRequest]:
        """A proxy that starts may refuse what was accepted before it was there. Asking upstream for it once
        more brings a response, which then is refused with the proxy's words."""
        proxy = None if self._downstream is None else self._downstream.subscription(self.node)
        requests: list[DeltaRequest] = []
        for type_url, words, names in () if proxy is None else proxy.errors():
            flight = self._flights.get(type_url)
            for name in names:
                resource = self._cache.found(self._part, (type_url, name))
                if resource is None or (flight is not None and name in flight.waiting):
                    continue
                fallback = self._fallback.pop(resource.key, None)
                self._give_back(resource.key, fallback, resource.version, words)
                requests.append(DeltaRequest(type_url, (name,)))
        return requests

    def _give_back(self, key: Key, good: Resource | None, version: str, words: str) -> None:
        """Return to the last good content of what the proxy refused."""
        self._bad[key] = (version, words)
        self._wanted_is_stale = self.unsaved = True
        self._cache.update(self._part, () if good is None else [good], () if good is not None else [key])
