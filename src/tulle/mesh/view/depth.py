"""How deep a call is looked into on its way between two proxies."""

from __future__ import annotations

from dataclasses import dataclass

from tulle.mesh.view.origin import Origin


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the server's side processes HTTP too."""

    text: str
    """For people: `its workloads have several identities`."""
    origin: Origin


@dataclass(frozen=True, slots=True)
class Depth:
    """What happens to the calls of meshed callers that have processed HTTP themselves (decision 24)."""

    reasons: tuple[Reason, ...]
    """Why the server's side processes HTTP as well. Empty: it passes the bytes on to its application."""

    @property
    def shallow(self) -> bool:
        return not self.reasons
