"""Loads the scripts of `plan.py` into a workload's network namespace."""

from __future__ import annotations

from pathlib import Path

from tulle.agent.network import NetworkError
from tulle.agent.program import ProgramError, run


async def load(script: str, namespace: Path) -> None:
    """Load a script into the namespace, all of it or nothing. Raises NetworkError."""
    try:
        await run("nft", "-f", "-", text=script, namespace=namespace)
    except ProgramError as error:
        raise NetworkError(f"cannot load the redirect rules of {namespace.name}: {error}") from error
