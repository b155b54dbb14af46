"""Options that several commands share, with one wording."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from tulle.cli.failure import usage
from tulle.cli.output import Format

DEFAULT_NAMESPACE = "default"

Files = Annotated[
    list[str] | None,
    typer.Option(
        "--filename", "-f", help="A YAML file, a folder of them, or - for standard input. May be repeated."
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="The namespace (default: default).", show_default=False),
]
DocumentsNamespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="The namespace of objects that name none (default: default).",
        show_default=False,
    ),
]
OutputFormat = Annotated[Format, typer.Option("--output", "-o", help="How to print it.")]
Timeout = Annotated[
    str, typer.Option("--timeout", metavar="DURATION", help="How long to wait: 90s, 2m. 0: do not wait.")
]

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def seconds(duration: str) -> float:
    """`90`, `90s`, `1.5m`, `1h30m` in seconds. Raises Failure."""
    found = _DURATION.fullmatch(duration.strip())
    if found is None or not any(found.groups()):
        raise usage(f"'{duration}' is not a duration", "write for example 30s, 2m or 1h30m")
    hours, minutes, rest = (float(part) if part else 0.0 for part in found.groups())
    return hours * 3600 + minutes * 60 + rest


def workload(name: str, namespace: str | None) -> tuple[str, str]:
    """(namespace, name) of `name`, `name.ns` or `ns/name`, with -n. Raises Failure."""
    if "/" in name:
        given, _, bare = name.partition("/")
    else:
        bare, dot, given = name.rpartition(".")
        bare, given = (bare, given) if dot else (name, "")
    if given and namespace and given != namespace:
        raise usage(
            f"'{name}' names the namespace {given}, and -n the namespace {namespace}", "leave one out"
        )
    if not bare or "/" in bare:
        raise usage(f"'{name}' is no name of a workload", "write NAME, NAME.NAMESPACE or NAMESPACE/NAME")
    return given or namespace or DEFAULT_NAMESPACE, bare
