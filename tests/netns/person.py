"""An ordinary user of this machine for a test: a number that nobody has, with directories of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_FIRST = 61_000
_STEP_DOWN = Path(__file__).with_name("step_down.py")


@dataclass(frozen=True)
class Person:
    uid: int
    folder: Path
    """Theirs, and short: sockets stand below it."""
    before: tuple[str, ...] = ()
    """What root does first: the command that enters the machine which this user sits at."""

    @property
    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder / "run")}

    def command(self, *arguments: str) -> list[str]:
        """The command that runs `arguments` as this user, with root's environment as it is given."""
        return [
            *self.before,
            "unshare",
            "--mount",
            sys.executable,
            str(_STEP_DOWN),
            str(self.uid),
            *arguments,
        ]


def _somebody_new() -> tuple[int, Path]:
    """A number that neither a real user has nor a person of another process: limits are counted by number."""
    taken = {each.pw_uid for each in pwd.getpwall()}
    for uid in range(_FIRST, _FIRST + 1000):
        folder = Path(tempfile.gettempdir(), f"person-{uid}")
        if uid not in taken:
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                return uid, folder
    raise RuntimeError(f"there are persons of earlier tests in {tempfile.gettempdir()}")


@contextmanager
def person() -> Iterator[Person]:
    """Somebody without any privilege, gone again afterwards with all that they had."""
    uid, folder = _somebody_new()
    try:
        (folder / "run").mkdir(mode=0o700)
        for path in (folder, folder / "run"):
            os.chown(path, uid, uid)
        yield Person(uid, folder)
    finally:
        shutil.rmtree(folder)
