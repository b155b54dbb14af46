"""The command line that runs a program as a workload: in its namespaces, with its user and environment, and
with no privilege at all (decision 3). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """What the agent answers to `enter`; see `agent/api.py`."""

    pid: int
    netns: str
    uid: int
    gid: int
    env: Mapping[str, str]
    workdir: str
    mount: bool

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Entry:
        return cls(**{field: answer[field] for field in cls.__dataclass_fields__})


def command(
    entry: Entry,
    program: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    workdir: str | None = None,
) -> list[str]:
    """The argument vector. `env` comes on top of the workload's own.

    The directory is entered by `env --chdir`, last: before, it would be looked up in the caller's mounts.
    """
    enter = ["nsenter", f"--net={entry.netns}"]
    if entry.mount:
        enter += [f"--target={entry.pid}", "--mount", "--pid", "--ipc", "--uts"]
    drop = [
        "setpriv",
        f"--reuid={entry.uid}",
        f"--regid={entry.gid}",
        "--clear-groups",
        "--no-new-privs",
        "--inh-caps=-all",
        "--ambient-caps=-all",
        "--bounding-set=-all",
    ]
    variables = [f"{key}={value}" for key, value in {**entry.env, **(env or {})}.items()]
    directory = entry.workdir if workdir is None else workdir
    chdir = [f"--chdir={directory}"] if directory else []
    return [*enter, "--", *drop, "--", "env", "-i", *chdir, *variables, *program]
