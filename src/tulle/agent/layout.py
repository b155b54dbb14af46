"""Where a mesh keeps its things on one host: paths alone, nothing is created here.

A mesh is the directory `$TULLE_HOME` (what lasts) and a run directory (sockets and namespaces; gone after a
reboot). Everything that this mesh leaves in places it shares with others (interfaces, nft tables) is named
by the eight hexadecimal digits of `Layout.mesh`, so that two meshes run side by side.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SOCKET_PATH_LIMIT = 107
"""Bytes of `sun_path` without its terminator (unix(7))."""

_PROXY = "_proxy"
_LONGEST_SOCKET_NAME = len("controlplane.sock")
_PROXY_NAME_LIMIT = 40
"""Bytes of a proxy's directory name; longer ones are shortened, so that only the run directory decides
whether its sockets' paths fit."""


class LayoutError(ValueError):
    """The directories cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one mesh on this host."""

    home: Path
    run: Path
    mesh: str
    """The first eight hexadecimal digits of the SHA-256 of the home directory's path."""
    rootless: bool = False
    """An ordinary user's: everything stands in a user namespace of theirs (`enclosure.py`)."""

    @property
    def api_socket(self) -> Path:
        return self.run / "api.sock"

    @property
    def controlplane_socket(self) -> Path:
        return self.run / "controlplane.sock"

    @property
    def join_socket(self) -> Path:
        return self.run / "join.sock"

    @property
    def agent_socket(self) -> Path:
        return self.run / "agent.sock"

    @property
    def home_note(self) -> Path:
        """Names the home, for the other meshes of this host (`neighbour.py`)."""
        return self.run / "home"

    @property
    def resolver_socket(self) -> Path:
        """The helper that asks the machine's own resolver."""
        return self.run / "dns.sock"

    @property
    def namespaces(self) -> Path:
        return self.run / "netns"

    @property
    def hub(self) -> Path:
        """The network namespace with the bridge and the agent's address."""
        return self.namespaces / "hub"

    def namespace(self, namespace: str, name: str, incarnation: str) -> Path:
        """A workload's network namespace. Unique to the incarnation: a path is never used twice."""
        return self.namespaces / f"{_short(f'{namespace}.{name}', 200)}.{_digest(incarnation, 12)}"

    def proxy(self, namespace: str, name: str) -> Path:
        """The directory with a proxy's own sockets: its path is the proxy's identity (decision 5)."""
        return self.run / "proxy" / _short(f"{namespace}.{name}", _PROXY_NAME_LIMIT)

    def xds_socket(self, namespace: str, name: str) -> Path:
        return self.proxy(namespace, name) / "xds.sock"

    def admin_socket(self, namespace: str, name: str) -> Path:
        return self.proxy(namespace, name) / "admin.sock"

    @property
    def processes(self) -> Path:
        """One directory for each process that a keeper holds."""
        return self.home / "process"

    def process(self, process: str) -> Path:
        return self.processes / process

    @property
    def volumes(self) -> Path:
        return self.home / "volume"

    def volume(self, namespace: str, name: str, incarnation: str) -> Path:
        """Where an incarnation's emptyDir volumes are on disk."""
        return self.volumes / f"{_short(f'{namespace}.{name}', 200)}.{_digest(incarnation, 12)}"

    @property
    def footprints(self) -> Path:
        """Notes of what was made for each incarnation of each workload (`footprint.py`)."""
        return self.run / "workload"

    def footprint(self, namespace: str, name: str, incarnation: str) -> Path:
        return self.footprints / f"{_short(f'{namespace}.{name}', 200)}.{_digest(incarnation, 12)}.json"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    def log(self, process: str) -> Path:
        """What a process wrote; the older half stands in the same path with `.1` after it."""
        return self.logs / f"{process}.log"

    @property
    def host_interface(self) -> str:
        """The uplink's end in the host's own network namespace; at most 15 characters (IFNAMSIZ)."""
        return f"tul{self.mesh}"

    @property
    def host_table(self) -> str:
        """The nft table (family ip) of the uplink in the host's own network namespace."""
        return f"tulle_{self.mesh}"

    def workload_interface(self, namespace: str, name: str, incarnation: str) -> str:
        """The end in the hub of a workload's pair of interfaces."""
        return "w" + _digest(f"{namespace}/{name}/{incarnation}", 14)


def process_name(namespace: str, workload: str, container: str) -> str:
    """The name of a container's process: of its directory, its record and its log."""
    return f"{_short(f'{namespace}.{workload}', 130)}.{_short(container, 70)}"


def proxy_process_name(namespace: str, workload: str) -> str:
    """The name of the process of a workload's Envoy. No container's name has an underscore (RFC 1123)."""
    return process_name(namespace, workload, _PROXY)


def is_proxy(process: str) -> bool:
    """Whether a name is one of `proxy_process_name`."""
    return process.endswith(f".{_PROXY}")


def layout(home: Path, uid: int, environ: Mapping[str, str]) -> Layout:
    """The paths of the mesh whose home is `home`, for the host's user `uid`.

    Raises LayoutError.
    """
    home = home.expanduser().absolute()
    mesh = _digest(str(home), 8)
    run = Path("/run/tulle") / mesh if uid == 0 else _users_run(home, mesh, uid, environ)
    longest = max(_LONGEST_SOCKET_NAME, len("proxy//admin.sock") + _PROXY_NAME_LIMIT)
    if len(str(run).encode()) + 1 + longest > SOCKET_PATH_LIMIT:
        variable = "TULLE_HOME" if run.is_relative_to(home) else "XDG_RUNTIME_DIR"
        raise LayoutError(f"the run directory {run} is too long for a socket in it: set a shorter {variable}")
    return Layout(home=home, run=run, mesh=mesh, rootless=uid != 0)


def _users_run(home: Path, mesh: str, uid: int, environ: Mapping[str, str]) -> Path:
    """An ordinary user's run directory: below the one that their log-in has made, else in the home.

    `su` leaves the variable unset, or as somebody else's directory. Each terminal of the user shall find the
    same mesh, whatever its variables: so a mesh that stands in its home is found there first, and the usual
    place (pam_systemd(8)) is tried without the variable too.
    """
    own = home / "run"
    if own.is_dir():
        return own
    for runtime in (environ.get("XDG_RUNTIME_DIR"), f"/run/user/{uid}"):
        if runtime and os.access(runtime, os.W_OK | os.X_OK):
            return Path(runtime) / "tulle" / mesh
    return own


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _short(name: str, limit: int) -> str:
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", name)
    if safe == name and len(name) <= limit:
        return name
    return f"{safe[: limit - 9]}-{_digest(name, 8)}"
