"""`tulle diff`: what `apply` would change."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import typer
from rich.text import Text

from tulle.api.contract import Result
from tulle.cli import client, sources
from tulle.cli.command import add
from tulle.cli.options import DEFAULT_NAMESPACE, DocumentsNamespace, Files
from tulle.cli.output import answer, note, plural
from tulle.cli.progress import some


def register(app: typer.Typer) -> None:
    add(app, diff, "diff", "What `apply` would change.", "Change")


def diff(filename: Files = None, namespace: DocumentsNamespace = None) -> int:
    """What `apply` would change: in what people wrote, and in the configuration of each Envoy.

    Ends with 1 if anything would change. Nothing is applied. For the Envoys everything is taken to be running
    and ready; proxies with the same difference are shown once.

    Example:

      tulle diff -f policy/
    """
    # The whole middle of the mesh: half a second that `status` does not need.
    from tulle.cli import offline, proxy_diff

    documents = sources.read(filename or [], namespace=namespace)
    mesh = client.mesh()
    results = mesh.apply(documents, dry_run=True).results
    coming = offline.read(documents).resources
    written = {
        (each.key.group, each.key.kind, each.key.namespace, each.key.name): each.document for each in coming
    }
    changed = [each for each in results if each.result is not Result.UNCHANGED]
    for each in changed:
        stored = mesh.resources(group=each.group, kind=each.kind, namespace=each.namespace, name=each.name)
        before = _as_written(stored[0]) if stored else []
        after = _as_written(written[each.group, each.kind, each.namespace, each.name])
        title = f"{each.kind} {each.namespace}/{each.name}"
        _print(difflib.unified_diff(before, after, f"{title} (in the mesh)", f"{title} (in the files)"))
    if not changed:
        note("nothing would change")
        return 0
    proxies = proxy_diff.proxy_diffs(proxy_diff.written(mesh.resources()), coming)
    for each in proxies:
        answer(Text(f"\nEnvoy of {some(each.proxies)}", style="bold"))
        _print(each.lines)
    concerned = sum(len(each.proxies) for each in proxies)
    said = plural(concerned, "proxy") if concerned else "no proxy"
    note(f"{plural(len(changed), 'object')} would change, and the configuration of {said}")
    return 1


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        answer(Text(line.rstrip("\n"), style={"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")))


def _as_written(item: Mapping[str, Any]) -> list[str]:
    """Lines of an object without what the mesh adds to it."""
    import yaml

    own = {key: value for key, value in item.items() if key != "status"}
    kept = ("generation", "creationTimestamp", "uid", "resourceVersion")
    metadata: Mapping[str, Any] = own.get("metadata", {})
    own["metadata"] = {key: value for key, value in metadata.items() if key not in kept}
    own["metadata"].setdefault("namespace", DEFAULT_NAMESPACE)
    return yaml.safe_dump(own, sort_keys=True, allow_unicode=True).splitlines(keepends=True)
