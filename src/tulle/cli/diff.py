"""`tulle diff`: what `apply` would change."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import typer
from rich.text import Text

from tulle.api.contract import Result
from tulle.cli import client, sources
from tulle.cli.command import add
from tulle.cli.options import DEFAULT_NAMESPACE, Files
from tulle.cli.output import answer, note, plural


def register(app: typer.Typer) -> None:
    add(app, diff, "diff", "What `apply` would change.", "Change")


def diff(filename: Files = None) -> int:
    """What `apply` would change in what people wrote. Ends with 1 if anything would change.

    Example:

      tulle diff -f policy/
    """
    from tulle.cli import offline  # the whole middle of the mesh: half a second that `status` does not need

    documents = sources.read(filename or [])
    mesh = client.mesh()
    results = mesh.apply(documents, dry_run=True).results
    written = {
        (each.key.group, each.key.kind, each.key.namespace, each.key.name): each.document
        for each in offline.read(documents).resources
    }
    changed = [each for each in results if each.result is not Result.UNCHANGED]
    for each in changed:
        stored = mesh.resources(group=each.group, kind=each.kind, namespace=each.namespace, name=each.name)
        before = _as_written(stored[0]) if stored else []
        after = _as_written(written[each.group, each.kind, each.namespace, each.name])
        title = f"{each.kind} {each.namespace}/{each.name}"
        for line in difflib.unified_diff(before, after, f"{title} (in the mesh)", f"{title} (in the files)"):
            answer(Text(line.rstrip("\n"), style={"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")))
    note(f"{plural(len(changed), 'object')} would change" if changed else "nothing would change")
    return 1 if changed else 0


def _as_written(item: Mapping[str, Any]) -> list[str]:
    """Lines of an object without what the mesh adds to it."""
    import yaml

    own = {key: value for key, value in item.items() if key != "status"}
    kept = ("generation", "creationTimestamp", "uid", "resourceVersion")
    metadata: Mapping[str, Any] = own.get("metadata", {})
    own["metadata"] = {key: value for key, value in metadata.items() if key not in kept}
    own["metadata"].setdefault("namespace", DEFAULT_NAMESPACE)
    return yaml.safe_dump(own, sort_keys=True, allow_unicode=True).splitlines(keepends=True)
