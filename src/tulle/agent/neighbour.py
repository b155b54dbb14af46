"""The homes of all meshes of this host, so that no workload sees them: not its own mesh's, not another's.

A program that runs as uid 0 could read another mesh's keys, whatever their mode. A home may stand anywhere,
so each mesh notes where its own is; a note goes with the run directory that it stands in.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import structlog

from tulle.agent.layout import Layout
from tulle.kit import durable
from tulle.kit.quiet import Quiet

_END: Final = b"\0"
"""No path has it; a note without it is not whole."""
_quiet = Quiet()
_log = structlog.get_logger("tulle.agent")


def note_home(layout: Layout) -> None:
    """Write down where the mesh's home is. The run directory must exist. Raises OSError."""
    durable.replace(layout.home_note, os.fsencode(layout.home) + _END)


def homes(layout: Layout) -> tuple[Path, ...]:
    """The home of the mesh and those that the other meshes of its user on this host have noted."""
    found = {layout.home}
    for note in layout.run.parent.glob(f"*/{layout.home_note.name}"):
        try:
            path, end, _ = note.read_bytes().partition(_END)
        except OSError:
            continue  # that mesh has just ended
        if end:
            found.add(Path(os.fsdecode(path)))
        elif _quiet.first(note):
            _log.warning("the home of another mesh is not hidden: its note is damaged", note=str(note))
    return tuple(sorted(found))
