"""The user namespace in which an ordinary user's mesh runs (ADR 20).

`tulle up` of an ordinary user starts the supervisor as root of a user namespace that has nobody in it but
that user, with a mount namespace for the files that keep network namespaces. Every network namespace of the
mesh is made in it and so belongs to it; the supervisor itself, the control plane, the relay and the resolver
stay in the host's network. Everything below the supervisor learns from the environment whose mesh it is.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_VARIABLE = "TULLE_CALLER"
_SETTINGS = Path("/proc/sys")
_OBSTACLES = (
    ("user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)
"""Kernel settings that forbid an ordinary user's namespaces: the value that does, and what undoes it. The
second is Debian's, the third Ubuntu's."""
_ENTER = ("unshare", "--user", "--map-root-user", "--mount")


@dataclass(frozen=True, slots=True)
class Caller:
    """The ordinary user whose mesh it is, by the numbers that the host knows them by."""

    uid: int
    gid: int


def command(*arguments: str) -> tuple[str, ...]:
    """The command that runs `arguments` in a new enclosure, in the same process."""
    return (*_ENTER, "--", *arguments)


def environment(caller: Caller) -> dict[str, str]:
    """What tells everything inside whose mesh it is."""
    return {_VARIABLE: f"{caller.uid}:{caller.gid}"}


def caller(environ: Mapping[str, str]) -> Caller | None:
    """Whose mesh it is; None: the machine's root has made it, and there is no enclosure."""
    uid, _, gid = environ.get(_VARIABLE, "").partition(":")
    return Caller(int(uid), int(gid)) if uid.isdigit() and gid.isdigit() else None


def owner(environ: Mapping[str, str], uid: int) -> int:
    """The user id, as the host knows it, of a process whose own user id is `uid`."""
    whose = caller(environ)
    return uid if whose is None else whose.uid


def obstacle(settings: Path = _SETTINGS) -> tuple[str, str] | None:
    """Why this user cannot have an enclosure on this machine, and what to do; None: they can.

    Tries all that a mesh needs: a process file system too, which some containers forbid.
    """
    trial = ("--net", "--pid", "--fork", "--mount-proc", "--", "true")
    try:
        done = subprocess.run((*_ENTER, *trial), capture_output=True, text=True)
    except OSError as error:
        return f"unshare cannot be run: {error.strerror}", "install the package util-linux"
    if done.returncode == 0:
        return None
    for name, forbids, remedy in _OBSTACLES:
        if _value(settings / name) == forbids:
            said = f"ordinary users may not make namespaces here ({name.replace('/', '.')} is {forbids})"
            return said, f"{remedy}, or run tulle with sudo"
    said = done.stderr.strip().removeprefix("unshare: ") or f"exit status {done.returncode}"
    return f"ordinary users may not make namespaces here ({said})", "allow it, or run tulle with sudo"


def _value(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
