"""Becomes an ordinary user and runs a program: step_down.py UID PROGRAM ARGUMENT...

As root, in a mount namespace of its own. Where what the tests run by stands below a directory that is closed
to others (a Python in root's home), that directory shows the way there, and nothing else of it.
"""

import os
import stat
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEEDED = (sys.prefix, sys.base_prefix, os.path.realpath(sys.executable), os.path.realpath(ROOT))


def open_the_way(path: Path) -> None:
    """Let others reach a path."""
    for directory, child in zip(reversed(path.parents), path.parts[1:], strict=True):
        if directory.stat().st_mode & stat.S_IXOTH:
            continue
        shown = {child, *(_next(directory, Path(each)) for each in NEEDED)} - {""}
        kept = {name: os.open(directory / name, os.O_PATH) for name in shown}
        _mount("-t", "tmpfs", "-o", "mode=755", "step_down", str(directory))
        for name, descriptor in kept.items():
            (directory / name).mkdir()
            _mount("--bind", f"/proc/{os.getpid()}/fd/{descriptor}", str(directory / name))
            os.close(descriptor)


def _next(directory: Path, path: Path) -> str:
    return path.relative_to(directory).parts[0] if path.is_relative_to(directory) else ""


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", "--no-canonicalize", *arguments], check=True)


def main() -> None:
    uid, program = int(sys.argv[1]), sys.argv[2:]
    for each in NEEDED:
        open_the_way(Path(each))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if not os.access(".", os.X_OK):
        os.chdir("/")
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()
