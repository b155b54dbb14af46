"""What every workload of a host needs to know of it, and what the agent's other parts do for a workload.

Made by the composition root; read by `workload.py` and what stands below it.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from tulle.agent import enclosure
from tulle.agent.layout import Layout
from tulle.agent.network import Network
from tulle.agent.probe import RunExec, Verdict
from tulle.agent.process import NO_CAPABILITIES, User
from tulle.model.agentapi import Instance, Probe, WorkloadAssignment

# CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE (capabilities(7)): of a
# container runtime's usual set what a server needs that starts as root and becomes somebody else. Never
# NET_ADMIN or NET_RAW: either could set the proxy's mark.
_ROOT_CAPABILITIES: Final = (0, 1, 3, 4, 5, 6, 7, 10)
_NOT_INHERITED: Final = ("DBUS_", "LISTEN_", "NOTIFY_", "SUDO_", "TULLE_", "XDG_")
_NOT_INHERITED_NAMES: Final = frozenset(("HOSTNAME", "OLDPWD", "PWD", "SSH_AUTH_SOCK", "TMPDIR", "_"))
"""What speaks of the host's session or of directories that a workload does not see."""


class Check(Protocol):
    """One attempt of a probe (`probe.Prober.check`)."""

    async def __call__(
        self, probe: Probe, namespace: Path | None, address: str, run_exec: RunExec
    ) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Host:
    layout: Layout
    network: Network
    user: User
    """Whom workloads run as where an assignment does not say otherwise; proxies run as `user.unnested`."""
    check: Check
    open_proxy: Callable[[WorkloadAssignment], Awaitable[None]]
    """Before a proxy starts, and again before it is restarted: its socket, its part of the configuration,
    its keys. Raises OSError."""
    close_proxy: Callable[[str, str], Awaitable[None]]
    """(namespace, name) After a proxy has gone for good."""
    report: Callable[[Instance], None]
    gone: Callable[[str, str], None]
    """(namespace, name) does not run here any more."""
    left: Callable[[str, str], Awaitable[bool]]
    """(namespace, name) Returns when no proxy sends there any more, after it was reported as not ready; False
    if nobody can say, which is so while the control plane is away."""
    cluster_domain: str = "cluster.local"
    environment: Mapping[str, str] = field(default_factory=dict)
    """What processes inherit under their own environment: that of `up`."""


def invoking_user(environ: Mapping[str, str]) -> User:
    """Who started the mesh: under sudo the person behind it, with all their groups."""
    whose = enclosure.caller(environ)
    if whose is not None:
        return User(whose.uid, whose.gid, None, nested=True)
    if os.geteuid() != 0 or "SUDO_UID" not in environ:
        return User(os.geteuid(), os.getegid(), () if os.geteuid() == 0 else None)
    return _named(int(environ["SUDO_UID"]), int(environ.get("SUDO_GID", environ["SUDO_UID"])))


def credentials(host: Host, assignment: WorkloadAssignment) -> tuple[User, tuple[int, ...]]:
    """Whom a workload runs as, and its capabilities: none, unless its manifest names root (decision 3)."""
    if assignment.user is None:
        return host.user, NO_CAPABILITIES
    if host.user.nested:
        # There is only one user to be, by whatever number; to become another one is not offered.
        user = User(assignment.user, assignment.user, None, nested=True)
        return user, _ROOT_CAPABILITIES if assignment.user == 0 else NO_CAPABILITIES
    if assignment.user == 0:
        return User(0, 0), _ROOT_CAPABILITIES
    return _named(assignment.user, assignment.user), NO_CAPABILITIES


def environment(host: Host, user: User, hostname: str) -> dict[str, str]:
    """What a process of a workload inherits."""
    inherited = {
        name: value
        for name, value in host.environment.items()
        if not name.startswith(_NOT_INHERITED) and name not in _NOT_INHERITED_NAMES
    }
    inherited["HOSTNAME"] = hostname
    if user.uid != os.geteuid() and not user.nested:
        try:
            person = pwd.getpwuid(user.uid)
        except KeyError:
            inherited["HOME"] = "/"
        else:
            inherited.update(HOME=person.pw_dir, USER=person.pw_name, LOGNAME=person.pw_name)
    return inherited


def _named(uid: int, gid: int) -> User:
    try:
        person = pwd.getpwuid(uid)
    except KeyError:
        return User(uid, gid)
    return User(uid, person.pw_gid, tuple(os.getgrouplist(person.pw_name, person.pw_gid)))
