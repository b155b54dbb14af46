"""Runs the system programs that the agent builds on: `ip`, `nft`, `unshare`, `nsenter`, `umount`.

Always a list of arguments and never a shell. The agent has gRPC threads, so it does not fork itself to
enter a namespace; these programs do that between their own start and what they execute.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

PACKAGES = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "umount": "mount",
    "unshare": "util-linux",
}
"""The Debian package of each program that is used."""


class ProgramError(RuntimeError):
    """A system program is missing or refused; the text is for a person."""


async def run(*arguments: str, text: str = "", namespace: Path | None = None) -> str:
    """Run a program to its end inside the network namespace `namespace` (None: the agent's own).

    `text` is its standard input; returns its standard output. Raises ProgramError.
    """
    command = inside(namespace, *arguments)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise ProgramError(missing(command[0])) from error
    output, complaint = await process.communicate(text.encode())
    if process.returncode == 0:
        return output.decode(errors="replace")
    said = complaint.decode(errors="replace").strip() or f"exit status {process.returncode}"
    if process.returncode == 127 and "No such file" in said:
        raise ProgramError(missing(arguments[0]))
    raise ProgramError(f"{' '.join(arguments[:3])}: {said}")


def inside(namespace: Path | None, *arguments: str) -> tuple[str, ...]:
    """The command that runs `arguments` inside a network namespace."""
    return arguments if namespace is None else ("nsenter", f"--net={namespace}", "--", *arguments)


def script(name: str) -> tuple[str, ...]:
    """The command that runs a file or folder beside this one as a program of the standard library alone."""
    return (sys.executable, "-I", "-S", str(Path(__file__).parent / name))


def missing(program: str) -> str:
    package = PACKAGES.get(program)
    remedy = f"install it (Debian: apt-get install {package})" if package else "install it"
    return f"the program {program} is not there: {remedy}"
