"""How many files and sockets this process may have open at once."""

from __future__ import annotations

import resource
from typing import Final

INHERITED: Final = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
"""The soft limit that this process was started with. Programs may count on it: descriptors over 1,024 break
those that use select(2), which is why the soft limit is low and the hard one high (systemd.exec(5),
LimitNOFILE)."""


def raise_limit() -> None:
    """From now on as many as the hard limit allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def lower_limit_of(pid: int) -> None:
    """Give a process that this one has just started the soft limit that this one was started with. Raises
    OSError."""
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(INHERITED, hard), hard))
