"""Where the mesh that a command speaks to keeps its state and its sockets."""

from __future__ import annotations

import os
from pathlib import Path

from tulle.agent.layout import Layout, LayoutError
from tulle.agent.layout import layout as layout_of
from tulle.cli.failure import Failure


def home() -> Path:
    """`$TULLE_HOME`, by default ~/.local/state/tulle."""
    given = os.environ.get("TULLE_HOME", "")
    return Path(given).absolute() if given else Path.home() / ".local" / "state" / "tulle"


def layout() -> Layout:
    """The paths of the mesh of this home. Raises Failure."""
    try:
        return layout_of(home(), os.geteuid(), os.environ)
    except LayoutError as error:
        raise Failure(str(error)) from error


def error_log() -> Path:
    """Where the command line writes what it did not expect."""
    return home() / "logs" / "cli-error.log"
