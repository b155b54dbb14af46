"""What a process sees of the file system, as instructions for its keeper (`keeper/view.py`). Pure but for
`references`, which asks the file system where names lead.

A process keeps the host's files, with a private /tmp, /run and /dev and without the mesh's own directories.
Directories of the host below the private ones come back when the command needs them: a fresh clone, a virtual
environment or a test's directory often stands under /tmp.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Required, TypedDict

from tulle.model.agentapi import FileMount

PRIVATE: Final = {"/tmp": 0o1777, "/run": 0o755, "/dev/shm": 0o1777}  # noqa: S108  that is the point
"""Directories that every process has to itself, and their modes."""

DEVICES: Final = "/dev"
"""Every process has one with what any program may expect there (`keeper/device.py`)."""
_EXPECTED: Final = frozenset(
    (
        *("console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin"),
        *("stdout", "tty", "urandom", "zero"),
    )
)
"""What a process has of its own there, and the terminals of the host that it never has."""

_CODE_VARIABLES: Final = frozenset(("HOME", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "VIRTUAL_ENV"))
"""Inherited variables whose paths a command needs; XDG_RUNTIME_DIR and its like shall stay hidden."""


class Hide(TypedDict, total=False):
    """An empty directory over a path, one with the devices that every program may expect, or what the host
    has at a path visible again."""

    devices: str
    empty: str
    mode: int
    keep: str


class Place(TypedDict, total=False):
    """A file or directory at `path`: of the host (`source`), with `content`, or a tree of `files`."""

    path: Required[str]
    source: str
    content: str
    files: list[tuple[str, str]]
    only: str
    """The one file of `files` that is placed, rather than the tree."""
    read_only: bool


@dataclass(frozen=True, slots=True)
class Mounts:
    hide: tuple[Hide, ...]
    place: tuple[Place, ...]


NO_MOUNTS: Final = Mounts((), ())


def plan_hide(masks: Iterable[Path], needed: Iterable[str]) -> tuple[Hide, ...]:
    """Private directories, the mesh's own directories (`masks`) emptied, and what is `needed` back.

    Of a needed path below a private directory its top-level entry there comes back, so that what a program
    finds beside itself is there too. An inner instruction follows an outer one, so that a mask inside of a
    directory that came back is still a mask. Of the host's devices those come back that a command names.
    """
    hide: dict[str, Hide] = {DEVICES: {"devices": DEVICES}}
    hide |= {path: {"empty": path, "mode": mode} for path, mode in PRIVATE.items()}
    for path in map(PurePosixPath, needed):
        for private in (*PRIVATE, DEVICES):
            if path != PurePosixPath(private) and path.is_relative_to(private):
                name = path.relative_to(private).parts[0]
                if private != DEVICES or name not in _EXPECTED:
                    top = str(PurePosixPath(private, name))
                    hide[top] = {"keep": top}
    for mask in masks:
        hide[str(mask)] = {"empty": str(mask), "mode": 0o755}
    return tuple(hide[path] for path in sorted(hide, key=_depth))


def references(
    argv: Sequence[str], workdir: str, env: Mapping[str, str], inherited: Mapping[str, str]
) -> tuple[str, ...]:
    """Paths of the host that a command names: in its arguments, its environment, by symbolic links."""
    search = {**inherited, **env}.get("PATH", os.defpath)
    words = [
        workdir,
        *argv,
        *env.values(),
        *(inherited[name] for name in sorted(_CODE_VARIABLES & inherited.keys())),
    ]
    if argv and (found := shutil.which(argv[0], path=search)):
        words.append(found)
    named = {path for word in words for path in re.split(r"[:=,;\s]", word) if path.startswith("/")}
    normal = {os.path.normpath(path) for path in named}
    return tuple(sorted(normal | {os.path.realpath(path) for path in normal}))


def plan_names(namespace: str, resolver: str, domain: str) -> tuple[Place, ...]:
    """resolv.conf, hosts and nsswitch.conf (decision 10), as Kubernetes writes them for a pod, but for its
    own name: the nameserver knows it, after the names of Services. A workload may be called like a Service,
    as no pod is on Kubernetes, and that is what its name means to everybody else."""
    search = f"{namespace}.svc.{domain} svc.{domain} {domain}"
    return (
        {
            "path": "/etc/resolv.conf",
            "content": f"nameserver {resolver}\nsearch {search}\noptions ndots:5\n",
        },
        # Without ::1: there is no IPv6 in the namespace (decision 7).
        {"path": "/etc/hosts", "content": "127.0.0.1\tlocalhost\n"},
        {
            "path": "/etc/nsswitch.conf",
            "content": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
            "protocols: files\nservices: files\nethers: files\nrpc: files\n",
        },
    )


def plan_files(mounts: Iterable[FileMount], volumes: Mapping[str, Path]) -> tuple[Place, ...]:
    """ConfigMap, Secret and emptyDir mounts; `volumes`: where each emptyDir is kept, by the mount's path."""
    return tuple(
        sorted((_plan_file(mount, volumes) for mount in mounts), key=lambda item: _depth(item["path"]))
    )


def _plan_file(mount: FileMount, volumes: Mapping[str, Path]) -> Place:
    path = os.path.normpath(mount.path)
    if mount.empty_dir:
        return {"path": path, "source": str(volumes[mount.path]), "read_only": mount.read_only}
    # Kubernetes mounts ConfigMaps and Secrets read-only whatever `readOnly` says.
    place: Place = {"path": path, "files": list(mount.files), "read_only": True}
    if mount.single_file:
        place["only"] = mount.files[0][0]
    return place


def _depth(path: str) -> tuple[int, str]:
    return (len(PurePosixPath(path).parts), path)
