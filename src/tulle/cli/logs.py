"""`tulle logs`: what a workload or its proxy wrote."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tulle.cli import client
from tulle.cli.command import add
from tulle.cli.options import Namespace
from tulle.cli.workload import WorkloadName, find


def register(app: typer.Typer) -> None:
    add(app, logs, "logs", "What a workload or its proxy wrote.", "Look")


def logs(
    workload: WorkloadName,
    namespace: Namespace = None,
    proxy: Annotated[bool, typer.Option("--proxy", help="Its Envoy's output instead of its own.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what it writes, until Ctrl-C.")
    ] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Only the last lines.")] = None,
) -> None:
    """What a workload (or its proxy) wrote to its standard output and error.

    Examples:

      tulle logs reviews-v1 -n shop --tail 20
      tulle logs storefront-1.shop --proxy -f
    """
    found = find(client.mesh().status(), workload, namespace)
    for chunk in client.agent().logs(found.namespace, found.name, proxy=proxy, follow=follow, tail=tail):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
