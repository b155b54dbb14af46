"""How the command line runs a program as a workload: what the agent answers, made into an `Entrance`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tulle.agent.enter import Entrance
from tulle.agent.process import User


def entrance(
    answer: Mapping[str, Any], *, env: Mapping[str, str] | None = None, workdir: str | None = None
) -> Entrance:
    """The agent's answer to `enter` (`agent/api.py`). `env` comes on top of the workload's own."""
    return Entrance(
        pid=answer["pid"],
        user=User(
            answer["uid"],
            answer["gid"],
            answer["groups"] and tuple(answer["groups"]),
            nested=answer.get("nested", False),
        ),
        env={**answer["env"], **(env or {})},
        workdir=answer["workdir"] if workdir is None else workdir,
    )
