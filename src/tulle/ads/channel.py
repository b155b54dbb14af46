"""What a server keeps about the subscription to one type on one stream. See `subscription.py`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from weakref import WeakValueDictionary

from tulle.ads.resource import Resource

REMOVED = ""
"""The version of what does not exist."""

_asked: WeakValueDictionary[frozenset[str], frozenset[str]] = WeakValueDictionary()


def shared(names: Iterable[str]) -> frozenset[str]:
    """These names. A thousand clients ask for the same ones, and share one set of them."""
    wanted = frozenset(names)
    return _asked.setdefault(wanted, wanted)


@dataclass(frozen=True, slots=True)
class Response:
    """One response to put on the wire."""

    type_url: str
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()
    version: str = ""
    """Of the type as a whole; state of the world only."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A version of a resource that the client refused, on its own, and why."""

    version: str
    detail: str


class Progress(Enum):
    """How far one version of one resource has come at the client."""

    UNASKED = auto()
    WAITING = auto()
    ACKNOWLEDGED = auto()
    REJECTED = auto()


@dataclass(slots=True)
class Flight:
    """A response that is not acknowledged yet."""

    nonce: str
    versions: dict[str, str]


@dataclass(slots=True)
class Channel:
    """The subscription to one type.

    There are thousands: a container that is empty again is replaced, for it keeps its memory.
    """

    type_url: str
    wildcard: bool = False
    names: frozenset[str] = frozenset()  # `shared`
    held: dict[str, str] = field(default_factory=dict[str, str])  # what the client acknowledged
    resumed: bool = False  # whether the client came with resources from an earlier stream
    dirty: dict[str, None] = field(default_factory=dict[str, None])
    forced: set[str] = field(default_factory=set[str])  # to be answered whatever the client has
    waiting: set[str] = field(default_factory=set[str])  # asked for; not known whether it exists
    leaving: dict[str, None] = field(default_factory=dict[str, None])  # removals that are held back
    retries: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    rejected: dict[str, Rejection] = field(default_factory=dict[str, Rejection])
    unready: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    owed: bool = False  # a wildcard is answered even if there is nothing
    flight: Flight | None = None

    def wants(self, name: str) -> bool:
        """Whether the client asks for a name."""
        return self.wildcard or name in self.names

    def due(self) -> bool:
        """Whether there may be something to send, and nothing is on its way."""
        return self.flight is None and bool(self.dirty or self.retries or self.owed or self.leaving)

    def busy(self) -> bool:
        """Whether something is to be sent, or sent and not answered."""
        return bool(self.flight or self.dirty or self.retries or self.owed)

    def forget_unwanted(self) -> None:
        """Forget all that is not asked for (any more)."""
        known = {*self.held, *self.rejected, *self.unready, *self.forced, *self.waiting}
        for name in known:
            if not self.wants(name):
                self.forget(name)

    def forget(self, name: str) -> None:
        """The client does not ask for a name any more."""
        self.held.pop(name, None)
        self.rejected.pop(name, None)
        self.unready.pop(name, None)
        self.forced.discard(name)
        self.waiting.discard(name)
