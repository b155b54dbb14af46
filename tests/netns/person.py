"""An ordinary user of this machine for a test: a number that nobody has, with directories of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_FIRST = 61_000
_STEP_DOWN = Path(__file__).with_name("step_down.py")


@dataclass(frozen=True)
class Person:
    uid: int
    folder: Path
    """Theirs, and short: sockets stand below it."""

    @property
    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder / "run")}

    def command(self, *arguments: str) -> list[str]:
        """The command that runs `arguments` as this user, with root's environment as it is given."""
        return ["unshare", "--mount", sys.executable, str(_STEP_DOWN), str(self.uid), *arguments]


@contextmanager
def person() -> Iterator[Person]:
    """Somebody without any privilege, gone again afterwards with all that they had."""
    taken = {each.pw_uid for each in pwd.getpwall()}
    uid = next(uid for uid in range(_FIRST, _FIRST + 1000) if uid not in taken)
    folder = Path(tempfile.mkdtemp(prefix="person-"))
    try:
        (folder / "run").mkdir(mode=0o700)
        for path in (folder, folder / "run"):
            os.chown(path, uid, uid)
        yield Person(uid, folder)
    finally:
        shutil.rmtree(folder)
