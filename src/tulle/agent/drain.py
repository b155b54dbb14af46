"""How a workload leaves without anybody noticing: its callers go elsewhere, what is under way is finished.

Used by `footprint.py` between "not ready" and SIGTERM. All of it together takes the one deadline at most.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

import structlog

from tulle.agent.envoy import DRAIN_SECONDS, Admin, AdminError
from tulle.agent.host import Host
from tulle.kit.mark import APPLICATION_SOURCE, INBOUND_PORT

_UNKNOWN_SECONDS: Final = 1.0
"""For callers to notice by themselves, where nobody says that they did."""
_POLL_SECONDS: Final = 0.02
_CALM_POLLS: Final = 5
"""An acknowledgement precedes the last request of a worker thread that did not hear of it yet, by less than
this many polls."""
_ESTABLISHED: Final = "01"

_log = structlog.get_logger("tulle.agent")


async def drain(host: Host, namespace: str, name: str, proxy: int | None) -> None:
    """Wait until nobody calls it any more and its last request is answered, at most DRAIN_SECONDS. `proxy`: a
    process in its network namespace, if it has a proxy."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            if not await host.left(namespace, name):
                await asyncio.sleep(_UNKNOWN_SECONDS)
            if proxy is None:
                return
            with contextlib.suppress(AdminError):  # for callers outside the mesh: "connection: close"
                await Admin(host.layout.admin_socket(namespace, name)).post(
                    "/drain_listeners?inboundonly&graceful"
                )
            await _calm(proxy)
    except TimeoutError:
        _log.warning("stopped with open connections", workload=f"{namespace}/{name}", seconds=DRAIN_SECONDS)


async def _calm(pid: int) -> None:
    """Wait until nothing comes in."""
    calm = 0
    while calm < _CALM_POLLS:
        await asyncio.sleep(_POLL_SECONDS)
        calm = 0 if busy(_table(pid)) else calm + 1


def _table(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/net/tcp").read_text()
    except OSError:  # it has ended
        return ""


def busy(table: str) -> bool:
    """Whether a network namespace's TCP connections (proc(5), /proc/net/tcp) say that something is under way.

    Callers that went elsewhere close their connections to the proxy. One outside the mesh may keep an idle
    one, but behind it the proxy has none to its application (`APPLICATION_IDLE_SECONDS`).
    """
    ours = [line.split()[1].split(":") for line in table.splitlines()[1:] if line.split()[3] == _ESTABLISHED]
    callers = any(int(port, 16) == INBOUND_PORT for _, port in ours)
    return callers and any(address == _SOURCE for address, _ in ours)


_SOURCE: Final = "".join(f"{int(part):02X}" for part in reversed(APPLICATION_SOURCE.split(".")))
"""As the kernel writes it on a little-endian machine."""
