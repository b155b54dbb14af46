"""The homes of all meshes of this host, so that no workload sees them: not its own mesh's, not another's.

A program that runs as uid 0 could read another mesh's keys, whatever their mode. A home may stand anywhere,
so each mesh notes where its own is; a note goes with the run directory that it stands in.
"""

from __future__ import annotations

import os
from pathlib import Path

from tulle.agent.layout import Layout


def note_home(layout: Layout) -> None:
    """Write down where the mesh's home is. The run directory must exist. Raises OSError."""
    layout.home_note.write_bytes(os.fsencode(layout.home))


def homes(layout: Layout) -> tuple[Path, ...]:
    """The home of the mesh and those that the other meshes of its user on this host have noted."""
    found = {layout.home}
    for note in layout.run.parent.glob(f"*/{layout.home_note.name}"):
        try:
            path = Path(os.fsdecode(note.read_bytes()))
        except OSError:
            continue  # that mesh has just ended
        if path.is_absolute():
            found.add(path)
    return tuple(sorted(found))
