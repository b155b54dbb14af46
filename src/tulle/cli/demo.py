"""`tulle demo`: the bookshop on a mesh, and a tour of what the mesh does for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tulle.app.settings import UpOptions
from tulle.cli.command import add
from tulle.cli.failure import Failure
from tulle.cli.options import Timeout, seconds
from tulle.cli.place import home


def register(app: typer.Typer) -> None:
    add(app, demo, "demo", "A bookshop on a mesh, with a guided tour.", "Run")


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after the tour (so does a demo without a terminal).")
    ] = False,
    timeout: Timeout = "120s",
) -> int:
    """A bookshop of eleven processes on a mesh: a tour by itself, then yours to look at until Ctrl-C.

    The tour calls the shop through its gateway, moves readers from one version of a service to another by an
    HTTPRoute, kills a replica under load, and counts what the callers saw.

    Examples:

      tulle demo
      tulle demo --once
    """
    from tulle.app import supervisor
    from tulle.cli import tour, up

    if supervisor.running(home()) is not None:
        raise Failure(
            "a mesh is running here already", remedy="`tulle down` ends it, or set another $TULLE_HOME"
        )
    # The shop's programs need what stands beside this command: its Python has their libraries.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    options = UpOptions(paths=(tour.bookshop(),), home=home(), timeout_seconds=seconds(timeout))
    return up.up(options, tour.walk, stay=not once and sys.stdout.isatty())
