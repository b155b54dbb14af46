"""What an agent logs of its streams to the control plane: a line for each change, not for each stream."""

from __future__ import annotations

from typing import Final

import grpc
import structlog

ENDED: Final = "the control plane ended the stream"
ANEW: Final = "connecting anew"
_log = structlog.get_logger("tulle.ads")


class Outage:
    """A control plane that goes takes all streams with it: that is one line, and its return another."""

    def __init__(self) -> None:
        self._away = False

    def tell(self, node: str, connected: bool, reason: str) -> None:
        """How the stream of a node stands now; `reason`: why it is not connected."""
        if connected:
            if self._away:
                _log.info("connected to the control plane again")
            self._away = False
        elif reason == ENDED or reason.startswith(grpc.StatusCode.UNAVAILABLE.name):
            if not self._away:
                _log.warning("not connected to the control plane", reason=reason)
            self._away = True
        elif reason != ANEW:
            _log.warning("the control plane does not serve a node", node=node, reason=reason)
