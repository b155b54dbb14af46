"""Named bytes: all that this package knows of what it carries."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

_PREFIX = "type.googleapis.com/"
CLUSTER = _PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
EXTENSION = _PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
LISTENER = _PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = _PREFIX + "envoy.config.route.v3.RouteConfiguration"
SECRET = _PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
WORKLOAD = _PREFIX + "tulle.agent.v1.Workload"
"""Not Envoy's: what an agent shall run, as JSON of `model.agentapi.WorkloadAssignment`."""
NAMES = _PREFIX + "tulle.agent.v1.Names"
"""Not Envoy's: what an agent's DNS answers, as JSON of `model.agentapi.NameTable`."""


@dataclass(slots=True)
class Encoded:
    """The wire forms of a resource, kept beside it so that each is made once (see `wire.Encoder`)."""

    delta: bytes | None = None
    plain: bytes | None = None


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Resource:
    """One named resource. `body` is the serialised message (without its Any)."""

    type_url: str
    name: str
    body: bytes = field(repr=False)
    needs: tuple[tuple[str, str], ...] = ()
    """(type url, name) of what must be at the client before anything names this one:
    a cluster needs its endpoints. Makes make-before-break possible without knowing what the bytes mean."""
    version: str = ""
    """The hash of the bytes (set by itself)."""

    encoded: Encoded = field(default_factory=Encoded, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.version:
            object.__setattr__(self, "version", hashlib.blake2b(self.body, digest_size=8).hexdigest())

    @property
    def key(self) -> tuple[str, str]:
        """(type url, name)"""
        return self.type_url, self.name
