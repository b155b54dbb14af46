"""`tulle up` and `tulle down`: a mesh on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tulle.app.settings import UpOptions
from tulle.cli import sources
from tulle.cli.command import add
from tulle.cli.failure import usage
from tulle.cli.options import DocumentsNamespace, Timeout, seconds
from tulle.cli.place import home


def register(app: typer.Typer) -> None:
    add(app, up, "up", "Run what files describe on this machine.", "Run")
    add(app, down, "down", "End the mesh of this machine.", "Run")


def up(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH...]", help="Files or folders: Apps, Kubernetes manifests, routes, policy."
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when everything is ready; the mesh goes on.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Apply the files again whenever they change.")
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images", help="YAML that maps image patterns to commands, for manifests without one."
        ),
    ] = None,
    namespace: DocumentsNamespace = None,
    timeout: Timeout = "60s",
) -> int:
    """Run what the files describe on this machine, each process behind a proxy of its own.

    Stays in the foreground until Ctrl-C, which ends the mesh and leaves nothing behind. With -d it returns
    when every workload is ready and every proxy in sync, and `tulle down` ends it.

    Examples:

      tulle up shop.yaml
      tulle up k8s/ routes/ --images images.yaml -d
      tulle up app.yaml --watch
    """
    for path in paths or []:
        sources.files(path)
    if images is not None and not images.is_file():
        raise usage(f"there is no file {images}", "--images takes a YAML file")
    if watch and detach:
        raise usage("--watch needs the foreground", "leave out -d, or apply changes with `tulle apply -f`")
    options = UpOptions(
        paths=tuple(paths or ()),
        home=home(),
        images=images,
        detach=detach,
        watch=watch,
        namespace=namespace,
        timeout_seconds=seconds(timeout),
    )
    from tulle.cli import up as flow

    return flow.up(options)


def down() -> int:
    """End the mesh of this machine. No process, namespace, rule or socket stays.

    Example:

      tulle down
    """
    from tulle.cli import up as flow

    return flow.down()
